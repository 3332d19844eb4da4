//! What a route sends again: the file's form lowered to what a worker reads.

use std::time::Duration;

use super::balancing::ratio;
use crate::config::model;

/// Retries per second that are allowed whatever the budget's ratio says, over all workers, so that a route with little
/// traffic has any.
const MIN_PER_SECOND: f64 = 10.0;

/// What a route sends again beside what was certainly not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// A small number that belongs to the route's name; workers keep their budgets by it.
    pub id: usize,
    /// Most attempts on one backend, the first included.
    pub attempts: u32,
    /// Whether connections that could not be made lead to another attempt.
    pub connect_failure: bool,
    /// Whether connections do that ended before a response, though new.
    pub reset_before_response: bool,
    /// Whether streams do that the endpoint refused.
    pub refused_stream: bool,
    /// Statuses that do, inclusive ranges; also those that the client would get for want of an answer.
    pub statuses: Vec<(u16, u16)>,
    /// From an attempt's start to the response's head.
    pub per_try_timeout: Option<Duration>,
    /// How many requests may be sent again.
    pub budget: Budget,
    /// Bytes of a body that are kept to be sent again.
    pub max_body: usize,
    /// How long the pauses between attempts are.
    pub backoff: Backoff,
}

/// How many requests may be sent again within ten seconds, by each worker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// The part of its requests, 0 to 1.
    pub ratio: f64,
    /// So many per second in any case: the worker's share of what all may.
    pub min_per_second: f64,
}

/// Pauses that double from `base` up to `max`; what is waited is drawn between nothing and that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest that the first one can be; zero is no pause.
    pub base: Duration,
    /// The longest that any can be.
    pub max: Duration,
}

/// A route's `retry`; `id` is its number.
#[allow(clippy::cast_precision_loss, reason = "workers are few")]
pub(super) fn retry(retry: &model::Retry, id: usize, workers: usize) -> Retry {
    let has = |condition| retry.on.contains(&condition);
    let statuses = retry.on.iter().filter_map(|condition| match condition {
        model::RetryOn::Status(first, last) => Some((*first, *last)),
        model::RetryOn::GatewayError => Some((502, 504)),
        model::RetryOn::ServerError => Some((500, 599)),
        _ => None,
    });
    Retry {
        id,
        attempts: retry.attempts,
        connect_failure: has(model::RetryOn::ConnectFailure),
        reset_before_response: has(model::RetryOn::ResetBeforeResponse),
        refused_stream: has(model::RetryOn::RefusedStream),
        statuses: statuses.collect(),
        per_try_timeout: Some(retry.per_try_timeout).filter(|timeout| !timeout.is_zero()),
        budget: Budget { ratio: ratio(retry.budget), min_per_second: MIN_PER_SECOND / workers.max(1) as f64 },
        max_body: retry.max_body as usize,
        backoff: Backoff { base: retry.backoff.base, max: retry.backoff.max },
    }
}
