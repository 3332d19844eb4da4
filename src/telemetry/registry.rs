//! The registry: hands out shards by identity and adds them up.
//!
//! A shard is found by names, not by the snapshot that uses it, so counts outlive reloads. The control plane asks while
//! it compiles; workers hold the handles and never come here, so a plain mutex around the maps delays no request.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    stats::{EndpointShard, ListenerShard, RouteBackendShard, RouteShard},
    totals::{BackendEndpoint, RouteBackend, RouteBackendStats, StatsSnapshot},
    trial::Trial,
};
use crate::types::Name;

/// How many series are registered at most, unless told otherwise: far above any sensible configuration, and a
/// bound on what /metrics can grow to.
pub const MAX_SERIES: usize = 10_000;

/// Finds and makes shards, and adds them up.
#[derive(Debug)]
pub struct Registry {
    workers: usize,
    cap: usize,
    dropped: AtomicU64,
    next_id: AtomicU64,
    series: Mutex<Series>,
    /// The trial of each route whose rollout has a stage in force.
    trials: Mutex<BTreeMap<Name, Arc<Trial>>>,
}

/// The shards of one series: one for each worker.
#[derive(Debug)]
pub struct Sharded<T> {
    id: u64,
    shards: Box<[T]>,
}

/// The identities that are still configured; everything else is forgotten by [`Registry::retain`].
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// Each route with each of its backends.
    pub route_backends: BTreeSet<RouteBackend>,
    /// Routes.
    pub routes: BTreeSet<Name>,
    /// Each backend with each of its endpoints.
    pub endpoints: BTreeSet<BackendEndpoint>,
    /// Listeners.
    pub listeners: BTreeSet<Name>,
    /// What is measured of the stages in force, by route.
    pub trials: BTreeMap<Name, Arc<Trial>>,
}

/// What the mutex holds.
#[derive(Debug, Default)]
struct Series {
    route_backends: BTreeMap<RouteBackend, Arc<Sharded<RouteBackendShard>>>,
    routes: BTreeMap<Name, Arc<Sharded<RouteShard>>>,
    endpoints: BTreeMap<BackendEndpoint, Arc<Sharded<EndpointShard>>>,
    listeners: BTreeMap<Name, Arc<Sharded<ListenerShard>>>,
}

/// One (route, backend) as the windows read it.
pub(super) struct Reading {
    pub(super) key: RouteBackend,
    /// Differs when the series was dropped and made anew, so that its counts began at zero again.
    pub(super) id: u64,
    pub(super) stats: RouteBackendStats,
}

// === impl Sharded ===

impl<T: Default> Sharded<T> {
    fn new(id: u64, workers: usize) -> Self {
        Self { id, shards: (0..workers).map(|_| T::default()).collect() }
    }
}

impl<T> Sharded<T> {
    /// The shard of a worker, which alone may write to it.
    ///
    /// # Panics
    /// When `worker` is not below the number of workers that the registry was made with.
    #[inline]
    #[must_use]
    pub fn worker(&self, worker: usize) -> &T {
        &self.shards[worker]
    }

    /// All shards, to read them.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.shards.iter()
    }
}

impl<'a, T> IntoIterator for &'a Sharded<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

// === impl Series ===

impl Series {
    fn len(&self) -> usize {
        self.route_backends.len() + self.routes.len() + self.endpoints.len() + self.listeners.len()
    }
}

// === impl Registry ===

impl Registry {
    /// A registry for so many workers, with room for [`MAX_SERIES`].
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self::with_cap(workers, MAX_SERIES)
    }

    /// A registry for so many workers that registers at most `cap` series.
    #[must_use]
    pub fn with_cap(workers: usize, cap: usize) -> Self {
        Self {
            workers,
            cap,
            dropped: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
            series: Mutex::default(),
            trials: Mutex::default(),
        }
    }

    /// How many shards each series has.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The shards of a backend in a route.
    #[must_use]
    pub fn route_backend(&self, route: &Name, backend: &Name) -> Arc<Sharded<RouteBackendShard>> {
        self.find((route.clone(), backend.clone()), |series| &mut series.route_backends)
    }

    /// The shards of a route.
    #[must_use]
    pub fn route(&self, route: &Name) -> Arc<Sharded<RouteShard>> {
        self.find(route.clone(), |series| &mut series.routes)
    }

    /// The shards of a backend's endpoint, by the address as configured.
    #[must_use]
    pub fn endpoint(&self, backend: &Name, address: &str) -> Arc<Sharded<EndpointShard>> {
        self.find((backend.clone(), address.into()), |series| &mut series.endpoints)
    }

    /// The shards of a listener.
    #[must_use]
    pub fn listener(&self, listener: &Name) -> Arc<Sharded<ListenerShard>> {
        self.find(listener.clone(), |series| &mut series.listeners)
    }

    /// What is measured of a stage on a route: the same while the stage is in force. One that is new here is kept only by
    /// [`retain`](Self::retain), because a stage that is only tried out must not take the place of the one in force.
    #[must_use]
    pub fn trial(&self, route: &Name, rollout: &str, stage: u32) -> Arc<Trial> {
        match self.trial_of(route) {
            Some(trial) if trial.rollout == rollout && trial.stage == stage => trial,
            _ => Arc::new(Trial::new(rollout, stage, self.workers)),
        }
    }

    /// What is measured of the stage in force on a route.
    #[must_use]
    pub fn trial_of(&self, route: &Name) -> Option<Arc<Trial>> {
        self.trials().get(route).cloned()
    }

    /// Forgets every series that is not in `live`, and has its trials take the place of all others. Whoever still holds a handle may go on writing to it; nobody reads it
    /// any more.
    pub fn retain(&self, live: &Live) {
        let mut series = self.lock();
        series.route_backends.retain(|key, _| live.route_backends.contains(key));
        series.routes.retain(|key, _| live.routes.contains(key));
        series.endpoints.retain(|key, _| live.endpoints.contains(key));
        series.listeners.retain(|key, _| live.listeners.contains(key));
        self.trials().clone_from(&live.trials);
    }

    /// The totals of all workers now. Shards go on being written meanwhile, so two numbers may differ by the requests
    /// that ended in between; each number by itself is true.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let mut all =
            StatsSnapshot { dropped_series: self.dropped.load(Relaxed), ..StatsSnapshot::default() };
        let series = self.lock();
        for (key, shards) in &series.route_backends {
            let total = all.route_backends.entry(key.clone()).or_default();
            shards.iter().for_each(|shard| shard.add_to(total));
        }
        for (key, shards) in &series.routes {
            let total = all.routes.entry(key.clone()).or_default();
            shards.iter().for_each(|shard| shard.add_to(total));
        }
        for (key, shards) in &series.endpoints {
            let total = all.endpoints.entry(key.clone()).or_default();
            shards.iter().for_each(|shard| shard.add_to(total));
        }
        for (key, shards) in &series.listeners {
            let total = all.listeners.entry(key.clone()).or_default();
            shards.iter().for_each(|shard| shard.add_to(total));
        }
        all
    }

    /// The totals of every backend in every route now.
    pub(super) fn readings(&self) -> Vec<Reading> {
        let series = self.lock();
        let read = |(key, shards): (&RouteBackend, &Arc<Sharded<RouteBackendShard>>)| {
            let mut stats = RouteBackendStats::default();
            shards.iter().for_each(|shard| shard.add_to(&mut stats));
            Reading { key: key.clone(), id: shards.id, stats }
        };
        series.route_backends.iter().map(read).collect()
    }

    /// The registered shards of `key`, made when there are none. Beyond the cap they are made but not registered: they
    /// work for whoever holds them, and are neither exported nor found again.
    fn find<K: Ord, T: Default>(
        &self,
        key: K,
        map: impl Fn(&mut Series) -> &mut BTreeMap<K, Arc<Sharded<T>>>,
    ) -> Arc<Sharded<T>> {
        let mut series = self.lock();
        if let Some(found) = map(&mut series).get(&key) {
            return Arc::clone(found);
        }
        let made = Arc::new(Sharded::new(self.next_id.fetch_add(1, Relaxed), self.workers));
        if series.len() >= self.cap {
            self.dropped.fetch_add(1, Relaxed);
        } else {
            map(&mut series).insert(key, Arc::clone(&made));
        }
        made
    }

    fn trials(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Trial>>> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The maps hold no invariant that a panic elsewhere could break, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
