//! Which endpoint an attempt goes to, and what is learnt from how it went.

use super::{
    error::ProxyError,
    forward::{Delivered, Forwarder},
};
use crate::{
    snapshot::Backend,
    types::clock,
    upstream::{
        Endpoint,
        balance::{Candidates, Draw},
        outlier::Answer,
    },
};

/// A backend's endpoints as one request of one worker sees them.
struct Choice<'a> {
    backend: &'a Backend,
    worker: usize,
    /// Endpoints that were tried already.
    tried: &'a [usize],
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
        let may = endpoint.is_available(self.backend.initially_healthy, self.now)
            && !self.tried.contains(&endpoint.id);
        f64::from(u8::from(may))
    }
}

// === impl Forwarder ===

impl Forwarder<'_> {
    /// An endpoint of the backend that can take the request and was not tried.
    pub(super) fn pick(&self, backend: usize, tried: &[usize]) -> Option<&Endpoint> {
        let (backend, worker, now) = (self.backend(backend), self.worker, self.request.start);
        let draw = Draw { bits: worker.random(), key: self.key, now };
        let choice = Choice { backend, worker: worker.index, tried, now };
        let picked = backend.balancer.pick(&draw, &worker.balancing, &choice);
        picked.map(|place| &*backend.endpoints[place])
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

/// How an attempt ended, as far as its endpoint is to blame; `None` when it is not at all.
fn answer_of(result: &Result<Delivered, ProxyError>) -> Option<Answer> {
    let error = match result {
        // How a tunnel ends is nobody's fault that could be told.
        Ok(delivered) if delivered.error.is_none() || delivered.tunnel => {
            return Some(Answer::of(delivered.status));
        }
        Ok(delivered) => delivered.error.as_ref()?,
        Err(error) => error,
    };
    error.is_upstreams_fault().then_some(Answer::GatewayFailure)
}
