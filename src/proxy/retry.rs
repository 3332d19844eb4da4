//! Whether a failed attempt may be made again, how often, and after how long.
//!
//! Only what is safe is sent again: what provably never reached an endpoint, or requests that are the same twice as once
//! (RFC 9110, section 9.2.2). Without a policy that is all. A policy adds failures, and a budget with them: in an outage,
//! retries would else multiply the load on what is left. Nothing here reads a clock or draws a number.

use std::time::Duration;

use tokio::time::Instant;

use super::error::ProxyError;
use crate::snapshot::retry::{Backoff, Retry};

/// Most attempts on one backend where no policy says otherwise.
const MAX_ATTEMPTS: u32 = 3;
/// Seconds that a budget looks back over.
const WINDOW: usize = 10;

/// What an attempt came to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failure<'a> {
    /// There is no response.
    Error(&'a ProxyError),
    /// There is one, with this status.
    Status(u16),
}

/// What one worker may still send again of one route's requests: counts of the last ten seconds.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    origin: Instant,
    seconds: [Second; WINDOW],
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    requests: u32,
    retries: u32,
}

/// Most attempts on one backend.
pub(super) fn most_attempts(policy: Option<&Retry>) -> u32 {
    policy.map_or(MAX_ATTEMPTS, |policy| policy.attempts)
}

/// Whether the request may be sent once more after this. `idempotent` is about its method.
pub(super) fn may_retry(policy: Option<&Retry>, failure: Failure<'_>, idempotent: bool) -> bool {
    let listed = |status: u16| {
        let within = |(first, last): &(u16, u16)| (*first..=*last).contains(&status);
        policy.is_some_and(|policy| policy.statuses.iter().any(within))
    };
    let error = match failure {
        Failure::Status(status) => return idempotent && listed(status),
        Failure::Error(error) => error,
    };
    match error {
        // A pooled connection that was given up meanwhile says nothing of the endpoint, so no policy has a say in it.
        ProxyError::Closed { reused: true, unsent, .. } if *unsent || idempotent => true,
        ProxyError::Connect(_) | ProxyError::Session(_) => {
            policy.is_none_or(|policy| policy.connect_failure || listed(error.status()))
        }
        ProxyError::Refused(_) => policy.is_none_or(|policy| policy.refused_stream || listed(error.status())),
        ProxyError::Closed { .. } => {
            idempotent
                && (policy.is_some_and(|policy| policy.reset_before_response) || listed(error.status()))
        }
        _ => idempotent && error.is_upstreams_fault() && listed(error.status()),
    }
}

/// Whether such a failure is worth a retry that costs nothing: the endpoint just gave an old connection up.
pub(super) fn is_stale(failure: Failure<'_>) -> bool {
    matches!(failure, Failure::Error(ProxyError::Closed { reused: true, .. }))
}

/// The pause before the retry with this number, from 0: between nothing and what doubles from `base` to `max`, drawn evenly
/// by `bits` ("full jitter", Brooker 2015, "Exponential Backoff and Jitter"), so that those who failed together do not come
/// back together.
pub(super) fn pause(backoff: Backoff, retry: u32, bits: u64) -> Duration {
    let longest = backoff.base.saturating_mul(1_u32.checked_shl(retry).unwrap_or(u32::MAX)).min(backoff.max);
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    let drawn = (u128::from(bits) * u128::from(nanos)) >> 64;
    Duration::from_nanos(u64::try_from(drawn).unwrap_or(nanos))
}

// === impl Allowance ===

impl Allowance {
    /// An allowance that begins at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { origin: now, seconds: [Second::default(); WINDOW] }
    }

    /// Counts a request.
    pub(super) fn deposit(&mut self, now: Instant) {
        let second = self.second(now);
        second.requests = second.requests.saturating_add(1);
    }

    /// Takes a retry out, if there is one left.
    pub(super) fn withdraw(&mut self, now: Instant, policy: &Retry) -> bool {
        let newest = self.number(now);
        let recent = self.seconds.iter().filter(|second| newest - second.number < WINDOW as u64);
        let (requests, retries) = recent.fold((0_u64, 0_u64), |(requests, retries), second| {
            (requests + u64::from(second.requests), retries + u64::from(second.retries))
        });
        #[allow(clippy::cast_precision_loss, reason = "counts of ten seconds")]
        let (requests, retries) = (requests as f64, retries as f64);
        let allowed = (policy.budget.ratio * requests).max(policy.budget.min_per_second * WINDOW as f64);
        if retries + 1.0 > allowed {
            return false;
        }
        self.second(now).retries += 1;
        true
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_secs()
    }

    fn second(&mut self, now: Instant) -> &mut Second {
        let number = self.number(now);
        let second = &mut self.seconds[usize::try_from(number % WINDOW as u64).unwrap_or_default()];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        second
    }
}

#[cfg(test)]
mod tests;
