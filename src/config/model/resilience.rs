//! What a backend does about endpoints that fail, as it is written.

use std::time::Duration;

use crate::types::Fraction;

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

/// A minimum of the success rate.
#[derive(Debug, Clone, PartialEq)]
pub struct SuccessRate {
    /// The minimum. Default 85 %.
    pub threshold: Fraction,
    /// Requests in the interval that it takes. Default 100.
    pub min_requests: u32,
}
