//! Upstream connections that wait for their next request, per worker and per endpoint.
//!
//! The one used last is taken first: it is the least likely to have been closed by the upstream, and the others age out.
//! A connection on which anything has arrived since (nearly always its end) is never reused: the runtime already knows,
//! so the check costs no system call.

use std::{cell::RefCell, collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::breaker::Permit;
use crate::net::{Stream, tls::ClientTls};

/// Most connections kept per worker and endpoint; more are closed after use.
const MAX_IDLE: usize = 512;

/// A connection to an endpoint, between or during requests.
#[derive(Debug)]
pub struct UpstreamConnection {
    /// The socket.
    pub stream: Stream,
    /// Whether it has carried a request before, so that the upstream may have closed it meanwhile.
    pub reused: bool,
    /// What allows it, where connections are limited.
    pub permit: Option<Permit>,
    /// What it was secured with; `None` is in the clear.
    pub tls: Option<Arc<ClientTls>>,
}

/// How long an endpoint's connections are kept, and which.
#[derive(Debug, Clone, Copy)]
pub struct Keeping<'s> {
    /// For how long without use; zero is for ever.
    pub idle_timeout: Duration,
    /// What they must be secured with: one that was opened before that changed carries no further request.
    pub tls: Option<&'s Arc<ClientTls>>,
}

/// The waiting connections of one worker, by endpoint id.
#[derive(Debug, Default)]
pub struct Pools {
    by_endpoint: RefCell<Vec<VecDeque<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    connection: UpstreamConnection,
    since: Instant,
}

// === impl Keeping ===

impl Keeping<'_> {
    /// Whether a connection that was secured with `tls` may carry requests.
    #[must_use]
    pub fn accepts(&self, tls: Option<&Arc<ClientTls>>) -> bool {
        match (self.tls, tls) {
            (None, None) => true,
            (Some(wanted), Some(has)) => Arc::ptr_eq(wanted, has),
            _ => false,
        }
    }

    fn is_fresh(&self, since: Instant, now: Instant) -> bool {
        self.idle_timeout.is_zero() || now.saturating_duration_since(since) <= self.idle_timeout
    }
}

// === impl Pools ===

impl Pools {
    /// Takes the endpoint's connection that was used last, if one is open, not too old, and secured as is wanted.
    pub fn take(&self, endpoint: usize, now: Instant, keeping: Keeping<'_>) -> Option<UpstreamConnection> {
        let mut pools = self.by_endpoint.borrow_mut();
        let pool = pools.get_mut(endpoint)?;
        while let Some(mut idle) = pool.pop_back() {
            if !keeping.is_fresh(idle.since, now) {
                pool.clear();
                return None;
            }
            if keeping.accepts(idle.connection.tls.as_ref()) && idle.connection.stream.is_quiet() {
                return Some(UpstreamConnection { reused: true, ..idle.connection });
            }
        }
        None
    }

    /// Keeps a connection whose response has been read to its end.
    pub fn put(&self, endpoint: usize, connection: UpstreamConnection, now: Instant) {
        let mut pools = self.by_endpoint.borrow_mut();
        if pools.len() <= endpoint {
            pools.resize_with(endpoint + 1, VecDeque::new);
        }
        let pool = &mut pools[endpoint];
        if pool.len() < MAX_IDLE {
            pool.push_back(Idle { connection, since: now });
        }
    }

    /// Closes the connection to one of `endpoints` that has waited longest; whether there was one.
    pub fn give_up(&self, endpoints: impl Iterator<Item = usize>) -> bool {
        let mut pools = self.by_endpoint.borrow_mut();
        let oldest = |pool: &VecDeque<Idle>| pool.front().map(|idle| idle.since);
        let waiting = endpoints.filter_map(|endpoint| Some((oldest(pools.get(endpoint)?)?, endpoint)));
        let longest = waiting.min().map(|(_, endpoint)| endpoint);
        longest.is_some_and(|endpoint| pools[endpoint].pop_front().is_some())
    }

    /// Closes what is closed at the other end, what `keeping(endpoint)` does not keep, and all connections of endpoints
    /// that it has no answer for.
    pub fn sweep<'s>(&self, now: Instant, keeping: impl Fn(usize) -> Option<Keeping<'s>>) {
        for (endpoint, pool) in self.by_endpoint.borrow_mut().iter_mut().enumerate() {
            match keeping(endpoint) {
                None => *pool = VecDeque::new(),
                Some(keeping) => pool.retain_mut(|idle| {
                    keeping.is_fresh(idle.since, now)
                        && keeping.accepts(idle.connection.tls.as_ref())
                        && idle.connection.stream.is_quiet()
                }),
            }
        }
    }

    /// How many connections wait.
    pub fn len(&self) -> usize {
        self.by_endpoint.borrow().iter().map(VecDeque::len).sum()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
