//! Endpoints: one address of a backend, with the state that outlives reloads.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    breaker::Counts,
    outlier::{Cause, Ejection, Record},
};
use crate::{
    telemetry::{EndpointShard, Sharded},
    types::{Address, Name},
};

/// The share of its usual requests that an endpoint begins with when it starts slowly. With less, a backend with little
/// traffic would hardly warm it up; Envoy begins with as much.
const FIRST_SHARE: f64 = 0.1;

/// One address of a backend. Snapshots share it, so what is known of it survives a reload.
#[derive(Debug)]
pub struct Endpoint {
    /// A small number that no other endpoint of this process has had; workers index their pools by it.
    pub id: usize,
    /// The backend it belongs to.
    pub backend: Name,
    /// Where it listens.
    pub address: Address,
    /// The name that led there, if one did: its certificate must have it where no other is configured.
    pub host: Option<Arc<str>>,
    /// Its statistics, one shard per worker.
    pub shards: Arc<Sharded<EndpointShard>>,
    /// What its answers have shown.
    pub record: Record,
    verdict: AtomicU8,
    /// What the last probe said, for people.
    detail: Mutex<String>,
    /// The time that all others here are counted from.
    origin: Instant,
    /// When it last began to take requests, in milliseconds since the origin.
    ready_since: AtomicU64,
}

/// What active health checks say of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// No probe has ended yet.
    Unknown = 0,
    /// It takes requests.
    Healthy = 1,
    /// It does not.
    Unhealthy = 2,
}

/// Its backend, its address, and the name that led there.
type Identity = (Name, Address, Option<Arc<str>>);

/// Every endpoint that a snapshot names, and the counts of every backend, by identity. Owned by whoever compiles.
#[derive(Debug)]
pub struct Directory {
    by_identity: BTreeMap<Identity, Arc<Endpoint>>,
    counts: BTreeMap<Name, Arc<Counts>>,
    next_id: usize,
    origin: Instant,
}

// === impl Endpoint ===

impl Endpoint {
    /// Whether this is its identity within its backend.
    pub fn is_at(&self, address: &Address, host: Option<&Arc<str>>) -> bool {
        self.address == *address && self.host.as_ref() == host
    }

    /// The Host of requests to it that name none: the name that led to it and its port, else its address.
    pub fn authority(&self) -> String {
        match (&self.host, &self.address) {
            (Some(host), Address::Tcp(address)) => format!("{host}:{}", address.port()),
            (_, address) => address.host(),
        }
    }

    /// What health checks say now.
    pub fn verdict(&self) -> Verdict {
        match self.verdict.load(Relaxed) {
            1 => Verdict::Healthy,
            2 => Verdict::Unhealthy,
            _ => Verdict::Unknown,
        }
    }

    /// Whether it takes requests at `now`, where `unknown` is the answer as long as no probe has ended.
    #[inline]
    pub fn is_available(&self, unknown: bool, now: Instant) -> bool {
        let healthy = match self.verdict() {
            Verdict::Healthy => true,
            Verdict::Unhealthy => false,
            Verdict::Unknown => unknown,
        };
        healthy && !self.is_ejected(now)
    }

    /// Whether its answers were bad enough to take it out for a while that has not ended at `now`.
    #[inline]
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.record.is_ejected(|| self.millis(now))
    }

    /// The ejection that lasts at `now`.
    pub fn ejection(&self, now: Instant) -> Option<Ejection> {
        self.record.ejection(self.millis(now))
    }

    /// The part of its usual requests that it takes at `now` when it starts slowly over `window`: rises evenly from a tenth
    /// to 1.
    pub fn warmth(&self, window: Duration, now: Instant) -> f64 {
        let age = self.millis(now).saturating_sub(self.ready_since.load(Relaxed));
        let age = Duration::from_millis(age);
        if age >= window { 1.0 } else { (age.as_secs_f64() / window.as_secs_f64()).max(FIRST_SHARE) }
    }

    /// Takes it out until `until`. It starts slowly after that.
    pub(super) fn eject(&self, until: Instant, cause: Cause) {
        let until = self.millis(until);
        self.ready_since.store(until, Relaxed);
        self.record.eject(until, cause);
    }

    /// Takes it back before its time, as warm as it is.
    pub(super) fn readmit(&self, now: Instant) {
        if self.is_ejected(now) {
            self.record.readmit();
            self.ready_since.store(0, Relaxed);
        }
    }

    /// Milliseconds since the origin and one, so that 0 is free to say never.
    pub(super) fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX - 1).saturating_add(1)
    }

    /// Records what a probe found at `now`. Whoever becomes healthy starts slowly.
    pub fn set_verdict(&self, verdict: Verdict, detail: &str, now: Instant) {
        let before = self.verdict();
        if verdict == Verdict::Healthy && before != verdict {
            self.ready_since.store(self.millis(now), Relaxed);
        }
        self.verdict.store(verdict as u8, Relaxed);
        let mut text = self.detail.lock().unwrap_or_else(PoisonError::into_inner);
        detail.clone_into(&mut text);
    }

    /// What the last probe said, for people; empty before the first.
    pub fn detail(&self) -> String {
        self.detail.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// === impl Verdict ===

impl Verdict {
    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

// === impl Directory ===

impl Directory {
    /// An empty directory; `origin` is before all times that its endpoints will meet.
    #[must_use]
    pub fn new(origin: Instant) -> Self {
        Self { by_identity: BTreeMap::new(), counts: BTreeMap::new(), next_id: 0, origin }
    }

    /// The endpoint with this identity: the one that is known, or one that is new at `now`, with shards from `shards`.
    pub fn endpoint(
        &mut self,
        (backend, address, host): (&Name, &Address, Option<&Arc<str>>),
        now: Instant,
        shards: impl FnOnce() -> Arc<Sharded<EndpointShard>>,
    ) -> Arc<Endpoint> {
        let next_id = &mut self.next_id;
        let origin = self.origin;
        let endpoint =
            self.by_identity.entry((backend.clone(), address.clone(), host.cloned())).or_insert_with(|| {
                let id = *next_id;
                *next_id += 1;
                let endpoint = Endpoint {
                    id,
                    backend: backend.clone(),
                    address: address.clone(),
                    host: host.cloned(),
                    shards: shards(),
                    record: Record::default(),
                    verdict: AtomicU8::new(Verdict::Unknown as u8),
                    detail: Mutex::default(),
                    origin,
                    ready_since: AtomicU64::new(0),
                };
                endpoint.ready_since.store(endpoint.millis(now), Relaxed);
                Arc::new(endpoint)
            });
        Arc::clone(endpoint)
    }

    /// What the breaker of `backend` has counted, over so many workers.
    pub fn counts(&mut self, backend: &Name, workers: usize) -> Arc<Counts> {
        let counts = self.counts.entry(backend.clone()).or_insert_with(|| Arc::new(Counts::new(workers)));
        Arc::clone(counts)
    }

    /// Forgets every endpoint that `live` does not name, and the backends without any.
    pub fn retain(&mut self, live: impl Fn(&Name, &Address, Option<&Arc<str>>) -> bool) {
        self.by_identity.retain(|(backend, address, host), _| live(backend, address, host.as_ref()));
        let by_identity = &self.by_identity;
        self.counts.retain(|name, _| by_identity.keys().any(|(backend, ..)| backend == name));
    }
}
