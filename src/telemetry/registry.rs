//! The registry: hands out shards by identity and adds them up.
//!
//! A shard is found by names, not by the snapshot that uses it, so counts outlive reloads. The control plane asks while
//! it compiles; workers hold the handles and never come here, so a plain mutex around the maps delays no request.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    stats::{EndpointShard, ListenerShard, RouteBackendShard, RouteShard},
    totals::{BackendEndpoint, RouteBackend, RouteBackendStats, StatsSnapshot},
};
use crate::types::Name;

/// How many shards sets are registered at most, unless told otherwise: far above any sensible configuration, and a
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

    /// Forgets every series that is not in `live`. Whoever still holds a handle may go on writing to it; nobody reads it
    /// any more.
    pub fn retain(&self, live: &Live) {
        let mut series = self.lock();
        series.route_backends.retain(|key, _| live.route_backends.contains(key));
        series.routes.retain(|key, _| live.routes.contains::<str>(key.borrow()));
        series.endpoints.retain(|key, _| live.endpoints.contains(key));
        series.listeners.retain(|key, _| live.listeners.contains::<str>(key.borrow()));
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

    /// The maps hold no invariant that a panic elsewhere could break, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Series> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        telemetry::{
            label::{CodeClass, ErrorKind, MethodLabel, Refusal},
            stats::Outcome,
            totals::Code,
        },
        types::Reason,
    };

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    fn outcome(status: u16, method: MethodLabel) -> Outcome {
        let duration = Duration::from_millis(10);
        Outcome { status, method, duration, upstream: Some(duration / 2), error: None }
    }

    #[test]
    fn totals_are_the_sum_over_workers() {
        let registry = Registry::new(2);
        let shards = registry.route_backend(&name("shop"), &name("v1"));
        let (one, two) = (shards.worker(0), shards.worker(1));
        one.started();
        one.assigned(Reason::Cookie);
        one.record(&outcome(200, MethodLabel::Get));
        one.finished();
        two.started();
        two.assigned(Reason::Cookie);
        two.assigned(Reason::Draw);
        two.new_bucket();
        two.retried();
        two.shielded();
        two.failed(ErrorKind::Reset);
        two.record(&outcome(200, MethodLabel::Get));
        two.record(&outcome(999, MethodLabel::Other));
        two.record(&Outcome {
            error: Some(ErrorKind::Connect),
            upstream: None,
            ..outcome(502, MethodLabel::Post)
        });

        let stats = &registry.snapshot().route_backends[&(name("shop"), name("v1"))];
        let requests: Vec<_> =
            stats.requests.iter().map(|((code, method), n)| (*code, *method, *n)).collect();
        assert_eq!(
            requests,
            [
                (Code::Exact(200), MethodLabel::Get, 2),
                (Code::Exact(502), MethodLabel::Post, 1),
                (Code::Other, MethodLabel::Other, 1),
            ]
        );
        assert_eq!(
            (stats.total(), stats.class(CodeClass::Success), stats.class(CodeClass::ServerError)),
            (4, 2, 2)
        );
        assert_eq!((stats.upstream.count(), stats.latency().count(), stats.in_flight), (3, 4, 1));
        assert_eq!((stats.errors_of(ErrorKind::Connect), stats.errors_of(ErrorKind::Reset)), (1, 1));
        assert_eq!(
            (stats.assignments[Reason::Cookie.index()], stats.assignments[Reason::Draw.index()]),
            (2, 1)
        );
        assert_eq!((stats.new_buckets, stats.retries, stats.shielded), (1, 1, 1));
    }

    #[test]
    fn the_difference_of_two_moments_is_what_happened_between() {
        let registry = Registry::new(1);
        let shards = registry.route_backend(&name("shop"), &name("v1"));
        let read = || registry.readings().remove(0).stats;
        shards.worker(0).record(&outcome(200, MethodLabel::Get));
        let earlier = read();
        shards.worker(0).record(&outcome(200, MethodLabel::Get));
        shards.worker(0).record(&outcome(404, MethodLabel::Head));
        let between = read().since(&earlier);
        assert_eq!(between.total(), 2);
        assert_eq!(between.requests[&(Code::Exact(200), MethodLabel::Get)], 1);
        assert_eq!(read().since(&read()).requests.len(), 0);
    }

    #[test]
    fn the_other_shards_count() {
        let registry = Registry::new(2);
        let (shop, web) = (name("shop"), name("web"));
        registry.route(&shop).worker(1).matched();
        registry.route(&shop).worker(0).overhead(Duration::from_micros(3));
        let endpoints = registry.endpoint(&name("v1"), "10.0.0.1:80");
        endpoints.worker(0).started();
        endpoints.worker(1).started();
        endpoints.worker(1).record(Duration::from_millis(1));
        endpoints.worker(1).finished();
        assert_eq!((endpoints.worker(0).in_flight(), endpoints.worker(1).in_flight()), (1, 0));
        let listener = registry.listener(&web);
        listener.worker(0).opened();
        listener.worker(1).opened();
        listener.worker(1).closed();
        listener.worker(1).shed();
        listener.worker(0).refused(Refusal::Framing);
        assert_eq!(listener.worker(0).connections(), 1);

        let all = registry.snapshot();
        assert_eq!((all.routes[&shop].matched, all.routes[&shop].overhead.count()), (1, 1));
        let endpoint = &all.endpoints[&(name("v1"), "10.0.0.1:80".into())];
        assert_eq!((endpoint.in_flight, endpoint.durations.count()), (1, 1));
        let listener = &all.listeners[&web];
        assert_eq!((listener.connections, listener.opened, listener.shed), (1, 2, 1));
        assert_eq!(listener.refused[Refusal::Framing.index()], 1);
    }

    #[test]
    fn shards_outlive_reloads_and_go_with_their_route() {
        let registry = Registry::new(1);
        let (shop, v1, v2) = (name("shop"), name("v1"), name("v2"));
        let first = registry.route_backend(&shop, &v1);
        assert!(Arc::ptr_eq(&first, &registry.route_backend(&shop, &v1)));
        let _ = (registry.route_backend(&shop, &v2), registry.route(&shop), registry.endpoint(&v1, "a:1"));

        let live = Live { route_backends: [(shop.clone(), v1.clone())].into(), ..Live::default() };
        registry.retain(&live);
        let all = registry.snapshot();
        assert_eq!(all.route_backends.keys().collect::<Vec<_>>(), [&(shop.clone(), v1.clone())]);
        assert_eq!((all.routes.len(), all.endpoints.len()), (0, 0));
        assert!(Arc::ptr_eq(&first, &registry.route_backend(&shop, &v1)));
    }

    #[test]
    fn beyond_the_cap_shards_work_and_are_not_shown() {
        let registry = Registry::with_cap(1, 1);
        let shop = name("shop");
        let _ = registry.route(&shop);
        registry.route(&name("late")).worker(0).matched();
        registry.route(&shop).worker(0).matched();
        let all = registry.snapshot();
        assert_eq!((all.routes.len(), all.routes[&shop].matched, all.dropped_series), (1, 1, 1));
    }

    #[test]
    fn a_reader_sees_whole_values_while_a_worker_writes() {
        let registry = Registry::new(1);
        let shards = registry.route_backend(&name("shop"), &name("v1"));
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..20_000).for_each(|_| shards.worker(0).record(&outcome(200, MethodLabel::Get)));
                done.store(true, std::sync::atomic::Ordering::Release);
            });
            let mut last = 0;
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let seen = registry.readings().remove(0).stats.total();
                assert!((last..=20_000).contains(&seen));
                last = seen;
            }
        });
        assert_eq!(registry.readings().remove(0).stats.total(), 20_000);
    }
}
