//! Which endpoint an attempt goes to, what the backend may be asked, and what is learnt from how it went.

use std::sync::Arc;

use super::{
    error::ProxyError,
    forward::{Delivered, Forwarded, Forwarder},
    worker::Worker,
};
use crate::{
    snapshot::Backend,
    types::clock,
    upstream::{
        Endpoint,
        balance::{Candidates, Draw},
        breaker::Admitted,
        outlier::Answer,
    },
};

/// A backend's endpoints as one request of one worker sees them.
struct Choice<'a> {
    backend: &'a Backend,
    worker: usize,
    /// Endpoints that were tried already.
    tried: &'a [usize],
    /// Whether all endpoints are used, available or not.
    panic: bool,
    now: tokio::time::Instant,
}

// === impl Choice ===

impl Candidates for Choice<'_> {
    fn id(&self, place: usize) -> usize {
        self.backend.endpoints[place].id
    }

    fn load(&self, place: usize) -> u64 {
        self.backend.endpoints[place].shards.worker(self.worker).in_flight()
    }

    fn readiness(&self, place: usize) -> f64 {
        let endpoint = &self.backend.endpoints[place];
        if self.tried.contains(&endpoint.id) {
            0.0
        } else if self.panic {
            1.0
        } else {
            self.backend.readiness(endpoint, self.now)
        }
    }
}

// === impl Forwarder ===

impl Forwarder<'_> {
    /// An endpoint of the state's backend that can take the request and was not tried. A backend that panics uses all, unless none
    /// is available and another backend can stand in.
    pub(super) fn pick(&self, state: &Forwarded, tried: &[usize]) -> Option<&Endpoint> {
        let (backend, worker, now) = (self.backend(state.backend), self.worker, self.request.start);
        let draw = Draw { bits: worker.random(), key: self.key, now };
        let panic =
            backend.is_panicking(now) && (backend.is_available(now) || self.fallback(state).is_none());
        let choice = Choice { backend, worker: worker.index, tried, panic, now };
        let picked = backend.balancer.pick(&draw, &worker.balancing, &choice);
        picked.map(|place| &*backend.endpoints[place])
    }

    /// A place among the requests that the backend may be asked at once.
    pub(super) fn admit<'b>(&self, backend: &'b Backend) -> Result<Option<Admitted<'b>>, ProxyError> {
        let Some(breaker) = &backend.breaker else { return Ok(None) };
        breaker.request().map_err(ProxyError::Overload)
    }

    /// Takes how an attempt went into account, for later choices.
    pub(super) fn learn(&self, backend: usize, endpoint: &Endpoint, result: &Result<Delivered, ProxyError>) {
        let backend = self.backend(backend);
        if let Some(detection) = &backend.outlier_detection
            && let Some(answer) = answer_of(result)
        {
            detection.observe(endpoint, &backend.endpoints, (answer, self.worker.index), clock::now);
        }
        if backend.balancer.needs_times()
            && let Ok(delivered) = result
        {
            let took = delivered.head_at.saturating_duration_since(delivered.sent_at);
            self.worker.balancing.observe(endpoint.id, took, delivered.head_at);
        }
    }
}

/// An available endpoint of any backend, for a copy of a request by whoever has this key.
pub(super) fn pick_for_copy(
    worker: &Worker,
    backend: &Backend,
    (key, now): (u64, tokio::time::Instant),
) -> Option<Arc<Endpoint>> {
    let draw = Draw { bits: worker.random(), key, now };
    let choice = Choice { backend, worker: worker.index, tried: &[], panic: false, now };
    let picked = backend.balancer.pick(&draw, &worker.balancing, &choice);
    picked.map(|place| Arc::clone(&backend.endpoints[place]))
}

/// How an attempt ended, as far as its endpoint is to blame; `None` when it is not at all.
fn answer_of(result: &Result<Delivered, ProxyError>) -> Option<Answer> {
    let error = match result {
        // How a tunnel ends is nobody's fault that could be told.
        Ok(delivered) if delivered.error.is_none() || delivered.tunnel => {
            return Some(Answer::of(delivered.status));
        }
        Ok(delivered) => delivered.error.as_ref()?,
        Err(ProxyError::Status(status)) => return Some(Answer::of(*status)),
        Err(error) => error,
    };
    error.is_upstreams_fault().then_some(Answer::GatewayFailure)
}
