//! The circuit breaker: how much a backend is asked to do at once. What is over is refused at once, so that a backend that is
//! slow costs its callers neither time nor memory.
//!
//! Requests, and those of them that wait for a connection, are counted over all workers, in counters that are shared only
//! where a limit is set. Connections belong to workers, so each worker has its share of them: a worker cannot use one that
//! another keeps, and counting idle ones together would let a quiet worker starve a busy one.
//!
//! Counts are kept by the backend's name and outlive reloads, because requests do.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// A backend's limits, and where it stands.
#[derive(Debug)]
pub struct CircuitBreaker {
    limits: Limits,
    counts: Arc<Counts>,
}

/// What a backend may be asked at once; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Open connections, idle ones too. Each worker has its share, at least one.
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    pub pending: Option<u32>,
    /// Requests under way.
    pub requests: Option<u32>,
}

/// Where a backend stands.
#[derive(Debug)]
pub struct Counts {
    /// Of each worker.
    connections: Box<[AtomicU32]>,
    pending: AtomicU32,
    requests: AtomicU32,
    refused: [AtomicU64; Limit::ALL.len()],
}

/// One of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Open connections.
    Connections,
    /// Requests that wait for a connection.
    Pending,
    /// Requests under way.
    Requests,
}

/// A place among those that are counted, until it is dropped.
#[derive(Debug)]
pub struct Admitted<'a>(&'a AtomicU32);

/// The right to have a connection, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    counts: Arc<Counts>,
    worker: usize,
}

/// A limit, how much of it is used, and how often it was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Which one.
    pub limit: Limit,
    /// What is allowed.
    pub allowed: u32,
    /// What there is now.
    pub used: u32,
    /// Whether the next one would be refused; for connections, by at least one worker.
    pub open: bool,
    /// How often one was refused.
    pub refused: u64,
}

// === impl Limit ===

impl Limit {
    /// All limits.
    pub const ALL: [Self; 3] = [Self::Connections, Self::Pending, Self::Requests];

    /// The word in metrics and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Pending => "pending",
            Self::Requests => "requests",
        }
    }
}

// === impl CircuitBreaker ===

impl CircuitBreaker {
    /// A breaker with these limits.
    #[must_use]
    pub fn new(limits: Limits, counts: Arc<Counts>) -> Self {
        Self { limits, counts }
    }

    /// A place for a request, as long as it is under way.
    ///
    /// # Errors
    /// When there are as many as may be.
    pub fn request(&self) -> Result<Option<Admitted<'_>>, Limit> {
        self.admit(self.limits.requests, &self.counts.requests, Limit::Requests)
    }

    /// A place for a request that waits for a connection.
    ///
    /// # Errors
    /// When as many wait as may.
    pub fn pending(&self) -> Result<Option<Admitted<'_>>, Limit> {
        self.admit(self.limits.pending, &self.counts.pending, Limit::Pending)
    }

    /// The right for `worker` to open a connection. When it has all that it may have, `give_up` is asked to close one that
    /// is idle and say whether it did.
    ///
    /// # Errors
    /// When all are in use.
    pub fn connection(&self, worker: usize, give_up: impl FnOnce() -> bool) -> Result<Option<Permit>, Limit> {
        let Some(allowed) = self.connections_per_worker() else { return Ok(None) };
        let open = &self.counts.connections[worker];
        // One that is given up may take a moment to be closed, which makes one more for so long.
        if open.load(Relaxed) >= allowed && !give_up() {
            self.counts.refused[Limit::Connections as usize].fetch_add(1, Relaxed);
            return Err(Limit::Connections);
        }
        open.fetch_add(1, Relaxed);
        Ok(Some(Permit { counts: Arc::clone(&self.counts), worker }))
    }

    /// Each limit that is set, and where it stands.
    pub fn usage(&self) -> impl Iterator<Item = Usage> + '_ {
        Limit::ALL.into_iter().filter_map(|limit| {
            let (allowed, used, open) = match limit {
                Limit::Connections => {
                    let each = || self.counts.connections.iter().map(|open| open.load(Relaxed));
                    let share = self.connections_per_worker()?;
                    (self.limits.connections?, each().sum(), each().any(|used| used >= share))
                }
                Limit::Pending => standing(self.limits.pending?, &self.counts.pending),
                Limit::Requests => standing(self.limits.requests?, &self.counts.requests),
            };
            let refused = self.counts.refused[limit as usize].load(Relaxed);
            Some(Usage { limit, allowed, used, open, refused })
        })
    }

    fn admit<'a>(
        &'a self,
        allowed: Option<u32>,
        count: &'a AtomicU32,
        limit: Limit,
    ) -> Result<Option<Admitted<'a>>, Limit> {
        let Some(allowed) = allowed else { return Ok(None) };
        if count.fetch_add(1, Relaxed) >= allowed {
            count.fetch_sub(1, Relaxed);
            self.counts.refused[limit as usize].fetch_add(1, Relaxed);
            return Err(limit);
        }
        Ok(Some(Admitted(count)))
    }

    fn connections_per_worker(&self) -> Option<u32> {
        let workers = u32::try_from(self.counts.connections.len()).unwrap_or(u32::MAX).max(1);
        self.limits.connections.map(|all| (all / workers).max(1))
    }
}

fn standing(allowed: u32, count: &AtomicU32) -> (u32, u32, bool) {
    let used = count.load(Relaxed);
    (allowed, used, used >= allowed)
}

// === impl Counts ===

impl Counts {
    /// Nothing yet, for so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            connections: (0..workers).map(|_| AtomicU32::new(0)).collect(),
            pending: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            refused: Default::default(),
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.connections[self.worker].fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(limits: Limits, workers: usize) -> CircuitBreaker {
        CircuitBreaker::new(limits, Arc::new(Counts::new(workers)))
    }

    fn shown(breaker: &CircuitBreaker) -> String {
        let usage = breaker.usage().map(|usage| {
            let mark = if usage.open { "!" } else { "" };
            format!("{} {}/{}{mark} -{}", usage.limit.as_str(), usage.used, usage.allowed, usage.refused)
        });
        usage.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_is_over_is_refused_and_counted() {
        let breaker = breaker(Limits { pending: Some(1), requests: Some(2), connections: None }, 2);
        let (first, second) = (breaker.request().unwrap(), breaker.request().unwrap());
        assert_eq!(breaker.request().unwrap_err(), Limit::Requests);
        let waiting = breaker.pending().unwrap();
        assert_eq!(breaker.pending().unwrap_err(), Limit::Pending);
        assert_eq!(shown(&breaker), "pending 1/1! -1, requests 2/2! -1");
        drop((first, waiting));
        let third = breaker.request().unwrap();
        assert!(third.is_some());
        drop((second, third));
        assert_eq!(shown(&breaker), "pending 0/1 -1, requests 0/2 -1");
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let breaker = breaker(Limits::default(), 1);
        assert!(breaker.request().unwrap().is_none() && breaker.connection(0, || false).unwrap().is_none());
        assert_eq!(shown(&breaker), "");
    }

    #[test]
    fn workers_share_connections_and_give_idle_ones_up() {
        let breaker = breaker(Limits { connections: Some(5), ..Limits::default() }, 2);
        let mut held: Vec<_> = (0..2).map(|_| breaker.connection(0, || false).unwrap()).collect();
        assert_eq!(breaker.connection(0, || false).unwrap_err(), Limit::Connections);
        assert_eq!(shown(&breaker), "connections 2/5! -1");
        assert!(breaker.connection(1, || false).unwrap().is_some(), "the other worker has its own");
        let another = breaker.connection(0, || held.pop().is_some()).unwrap();
        assert_eq!(shown(&breaker), "connections 2/5! -1", "an idle one made room");
        drop((another, held));
        assert_eq!(shown(&breaker), "connections 0/5 -1");
    }

    #[test]
    fn a_worker_has_at_least_one_connection() {
        let breaker = breaker(Limits { connections: Some(1), ..Limits::default() }, 4);
        assert!((0..4).all(|worker| breaker.connection(worker, || false).is_ok()));
    }
}
