//! Peak EWMA: two endpoints are drawn by weight, and the one that is expected to answer sooner takes the request.
//!
//! The expectation is Finagle's (twitter/finagle, `PeakEwma`; also in Linkerd): an exponentially weighted moving average
//! of the times to the response's head, which jumps to any time above it at once and comes down slowly, times the requests
//! that would then be in flight. So one slow answer is enough to be avoided, and many quick ones are needed to be trusted
//! again. The averages are each worker's own; [`Memory`](super::Memory) keeps them.

use std::time::Duration;

use tokio::time::Instant;

use super::P2c;

/// How long a time counts: after so long its weight is 1/e. Finagle's and Linkerd's default.
const DECAY: Duration = Duration::from_secs(10);
/// What an endpoint is expected to take that has requests in flight and has never answered; far above any answer, so
/// that a new one gets one request first, as in Finagle.
const UNKNOWN: f64 = 1e12;

/// A chooser over weighted endpoints.
#[derive(Debug, Clone)]
pub struct PeakEwma {
    draws: P2c,
}

/// The average of one endpoint, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Average {
    nanos: f64,
    /// When it was last raised or lowered; `None` before the first time.
    at: Option<Instant>,
}

// === impl PeakEwma ===

impl PeakEwma {
    /// A chooser over endpoints with these weights (1 to 1000 each); at most 65,535 of them count.
    #[must_use]
    pub fn new(weights: &[u32]) -> Self {
        Self { draws: P2c::new(weights) }
    }

    /// The place of the endpoint that takes the request; `None` when none may. `bits` is entropy, `cost` what is expected.
    pub fn pick(&self, bits: u64, cost: impl Fn(usize) -> f64, may: impl Fn(usize) -> bool) -> Option<usize> {
        let weighted = |place: usize| cost(place) / f64::from(self.draws.weight(place).max(1));
        self.draws.pick_by(bits, |a, b| weighted(a) > weighted(b), may)
    }
}

// === impl Average ===

impl Average {
    /// Takes a time that was measured.
    #[allow(clippy::cast_precision_loss, reason = "times are far below 2^53 nanoseconds")]
    pub(super) fn observe(&mut self, took: Duration, now: Instant) {
        let took = took.as_nanos() as f64;
        let kept = self.weight_at(now);
        self.nanos = if took > self.nanos { took } else { self.nanos * kept + took * (1.0 - kept) };
        self.at = Some(now);
    }

    /// What a request is expected to take with `load` others in flight; only good for comparing.
    #[allow(clippy::cast_precision_loss, reason = "requests in flight are far below 2^53")]
    pub(super) fn cost(&self, load: u64, now: Instant) -> f64 {
        let load = load as f64;
        match self.at {
            None if load > 0.0 => UNKNOWN + load,
            None => 0.0,
            Some(_) => self.nanos * self.weight_at(now) * (load + 1.0),
        }
    }

    /// What is left of the average's weight.
    fn weight_at(&self, now: Instant) -> f64 {
        let age = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        (-age.as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}
