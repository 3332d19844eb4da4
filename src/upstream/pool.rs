//! Upstream connections that wait for their next request, per worker and per endpoint.
//!
//! The one used last is taken first: it is the least likely to have been closed by the upstream, and the others age out.
//! A connection on which anything has arrived since (nearly always its end) is never reused: the runtime already knows,
//! so the check costs no system call.

use std::{cell::RefCell, collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::breaker::Permit;
use crate::net::Stream;

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
}

/// The waiting connections of one worker, by endpoint id.
#[derive(Debug, Default)]
pub struct Pools {
    by_endpoint: RefCell<Vec<VecDeque<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    permit: Option<Permit>,
    since: Instant,
}

// === impl Pools ===

impl Pools {
    /// Takes the endpoint's connection that was used last, if one is open and not older than `idle_timeout` (zero: any age).
    pub fn take(&self, endpoint: usize, now: Instant, idle_timeout: Duration) -> Option<UpstreamConnection> {
        let mut pools = self.by_endpoint.borrow_mut();
        let pool = pools.get_mut(endpoint)?;
        while let Some(mut idle) = pool.pop_back() {
            if !idle_timeout.is_zero() && now.saturating_duration_since(idle.since) > idle_timeout {
                pool.clear();
                return None;
            }
            if idle.stream.is_quiet() {
                return Some(UpstreamConnection { stream: idle.stream, reused: true, permit: idle.permit });
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
            pool.push_back(Idle { stream: connection.stream, permit: connection.permit, since: now });
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

    /// Closes what is closed at the other end, what is too old by `idle_timeout(endpoint)`, and all connections of
    /// endpoints that it has no answer for.
    pub fn sweep(&self, now: Instant, idle_timeout: impl Fn(usize) -> Option<Duration>) {
        for (endpoint, pool) in self.by_endpoint.borrow_mut().iter_mut().enumerate() {
            match idle_timeout(endpoint) {
                None => *pool = VecDeque::new(),
                Some(limit) => pool.retain_mut(|idle| {
                    let fresh = limit.is_zero() || now.saturating_duration_since(idle.since) <= limit;
                    fresh && idle.stream.is_quiet()
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
