//! Endpoints: one address of a backend, with the state that outlives reloads.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use crate::{
    telemetry::{EndpointShard, Sharded},
    types::Name,
};

/// One address of a backend. Snapshots share it, so what is known of it survives a reload.
#[derive(Debug)]
pub struct Endpoint {
    /// A small number that no other endpoint of this process has had; workers index their pools by it.
    pub id: usize,
    /// The backend it belongs to.
    pub backend: Name,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its statistics, one shard per worker.
    pub shards: Arc<Sharded<EndpointShard>>,
    verdict: AtomicU8,
    /// What the last probe said, for people.
    detail: Mutex<String>,
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

/// Every endpoint that a snapshot names, by identity. Owned by whoever compiles.
#[derive(Debug, Default)]
pub struct Directory {
    by_identity: BTreeMap<(Name, SocketAddr), Arc<Endpoint>>,
    next_id: usize,
}

// === impl Endpoint ===

impl Endpoint {
    /// What health checks say now.
    pub fn verdict(&self) -> Verdict {
        match self.verdict.load(Relaxed) {
            1 => Verdict::Healthy,
            2 => Verdict::Unhealthy,
            _ => Verdict::Unknown,
        }
    }

    /// Whether it takes requests, where `unknown` is the answer as long as no probe has ended.
    pub fn is_available(&self, unknown: bool) -> bool {
        match self.verdict() {
            Verdict::Healthy => true,
            Verdict::Unhealthy => false,
            Verdict::Unknown => unknown,
        }
    }

    /// Records what a probe found.
    pub fn set_verdict(&self, verdict: Verdict, detail: &str) {
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
    /// The endpoint with this identity: the one that is known, or a new one with shards from `shards`.
    pub fn endpoint(
        &mut self,
        backend: &Name,
        address: SocketAddr,
        shards: impl FnOnce() -> Arc<Sharded<EndpointShard>>,
    ) -> Arc<Endpoint> {
        let next_id = &mut self.next_id;
        let endpoint = self.by_identity.entry((backend.clone(), address)).or_insert_with(|| {
            let id = *next_id;
            *next_id += 1;
            Arc::new(Endpoint {
                id,
                backend: backend.clone(),
                address,
                shards: shards(),
                verdict: AtomicU8::new(Verdict::Unknown as u8),
                detail: Mutex::default(),
            })
        });
        Arc::clone(endpoint)
    }

    /// Forgets every endpoint that `live` does not name.
    pub fn retain(&mut self, live: impl Fn(&Name, &SocketAddr) -> bool) {
        self.by_identity.retain(|(backend, address), _| live(backend, address));
    }
}
