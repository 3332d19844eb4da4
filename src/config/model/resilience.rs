//! What is done about endpoints and requests that fail, as it is written.

use std::time::Duration;

use crate::types::{Fraction, Probe};

/// When endpoints are taken out because of their answers.
#[derive(Debug, Clone, PartialEq)]
pub struct OutlierDetection {
    /// Bad answers in a row; 0 is off. Default 5.
    pub consecutive_5xx: u32,
    /// Gateway failures in a row; 0 is off. Default 0.
    pub consecutive_gateway_failures: u32,
    /// A minimum of the success rate.
    pub success_rate: Option<SuccessRate>,
    /// How long a success rate is measured. Default 10s.
    pub interval: Duration,
    /// How long the first ejection lasts. Default 30s.
    pub base_ejection_time: Duration,
    /// How many may be out at once, 1 to 100. Default 50.
    pub max_ejection_percent: u32,
}

/// What a backend may be asked at once; `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Open connections; each worker has its share.
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    pub max_pending: Option<u32>,
    /// Requests under way.
    pub max_requests: Option<u32>,
}

/// A minimum of the success rate.
#[derive(Debug, Clone, PartialEq)]
pub struct SuccessRate {
    /// The minimum. Default 85 %.
    pub threshold: Fraction,
    /// Requests in the interval that it takes. Default 100.
    pub min_requests: u32,
}

/// Active health checks.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Between two probes, jittered by a tenth. Default 5s.
    pub interval: Duration,
    /// For a whole probe. Default 1s.
    pub timeout: Duration,
    /// Successes in a row that make an endpoint healthy. Default 2.
    pub healthy_threshold: u32,
    /// Failures in a row that make it unhealthy. Default 3.
    pub unhealthy_threshold: u32,
    /// Whether an endpoint without a verdict yet takes traffic. Default true (`initial_state: healthy`).
    pub initially_healthy: bool,
}

/// What is sent again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Most attempts on one backend. Default 3.
    pub attempts: u32,
    /// Which failures. Default: connections, resets and refusals.
    pub on: Vec<RetryOn>,
    /// From an attempt's start to the response's head; zero is for ever. Default 0s.
    pub per_try_timeout: Duration,
    /// How many requests may be sent again. Default 20 %.
    pub budget: Fraction,
    /// Bytes of a body that are kept. Default 64 KiB.
    pub max_body: u32,
    /// Pauses between attempts.
    pub backoff: Backoff,
}

/// A failure after which a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection.
    ConnectFailure,
    /// The connection ended before an answer.
    ResetBeforeResponse,
    /// The stream was refused.
    RefusedStream,
    /// 502, 503 and 504.
    GatewayError,
    /// 500 to 599.
    ServerError,
    /// Statuses, an inclusive range.
    Status(u16, u16),
}

/// Pauses between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// The longest that the first can be. Default 25ms.
    pub base: Duration,
    /// The longest that any can be. Default 250ms.
    pub max: Duration,
}

// === impl RetryOn ===

impl RetryOn {
    /// How it is written.
    #[must_use]
    pub fn to_text(self) -> String {
        match self {
            Self::ConnectFailure => "connect_failure".to_owned(),
            Self::ResetBeforeResponse => "reset_before_response".to_owned(),
            Self::RefusedStream => "refused_stream".to_owned(),
            Self::GatewayError => "gateway_error".to_owned(),
            Self::ServerError => "5xx".to_owned(),
            Self::Status(first, last) if first == last => first.to_string(),
            Self::Status(first, last) => format!("{first}-{last}"),
        }
    }
}
