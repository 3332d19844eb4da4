//! What the data plane reads: compiled, immutable, swapped as a whole.

mod balancing;
mod cell;
pub mod compile;
mod endpoints;
mod jwt;
mod listeners;
mod lower;
mod policy;
pub mod retry;
mod trial;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use cell::{Cached, Reader, Writer, cell};
pub use compile::{Compiler, Resources, RouteError};
pub use endpoints::Names;
pub use listeners::{Listener, ListenerSettings, ProxyProtocol, TotalLimits, listeners};
pub use retry::Retry;
pub use trial::TrialPlan;

use tokio::{sync::Semaphore, time::Instant};

use crate::{
    net::tls::ClientTls,
    policy::{Policy, jwt::RouteJwt},
    routing::RouteTable,
    split::{Keyring, NetworkSet, RegionSources, SplitPlan},
    telemetry::{AccessLog, RouteBackendShard, RouteShard, Sharded},
    types::{Fraction, Name, OnUnavailable, Revision},
    upstream::{
        CircuitBreaker, Endpoint, Keeping, OutlierDetection, Protocol, balance::Balancer, health::HealthCheck,
    },
};

/// One revision of everything that a request depends on.
#[derive(Debug)]
pub struct Snapshot {
    /// Its number.
    pub revision: Revision,
    /// Finds a request's route: a place in `routes`.
    pub table: RouteTable,
    /// Routes in file order.
    pub routes: Vec<Route>,
    /// Backends in order of their names.
    pub backends: Vec<Backend>,
    /// Listeners by name.
    pub listeners: BTreeMap<Name, Listener>,
    /// What all clients together may cost.
    pub limits: TotalLimits,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: NetworkSet,
    /// Where regions come from.
    pub regions: Arc<RegionSources>,
    /// What assignment cookies are signed with.
    pub keyring: Arc<Keyring>,
    /// How requests are logged, if at all.
    pub logging: Option<Logging>,
}

/// A route.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Name,
    /// How its requests are split; its backends are those of `backends`, in the same order.
    pub plan: SplitPlan,
    /// The backends that its split and its rules name.
    pub backends: Vec<RouteBackend>,
    /// What happens when the chosen backend cannot take a request.
    pub on_unavailable: OnUnavailable,
    /// Upstream timeouts.
    pub timeouts: Timeouts,
    /// What it sends again beside what was certainly not seen.
    pub retry: Option<Retry>,
    /// Whether the baseline is asked when another backend fails.
    pub shield: bool,
    /// Whether one of its backends chooses endpoints by who is asking.
    pub needs_key: bool,
    /// What it does to requests beside sending them somewhere, if anything.
    pub policy: Option<Box<Policy>>,
    /// Where copies of its requests go, if anywhere.
    pub mirror: Option<Box<Mirror>>,
    /// What is measured for the rollout that has the route, if one has.
    pub trial: Option<Arc<TrialPlan>>,
    /// What it does with tokens, if anything.
    pub jwt: Option<Box<RouteJwt>>,
    /// Its statistics.
    pub shards: Arc<Sharded<RouteShard>>,
}

/// Where copies of a route's requests go.
#[derive(Debug)]
pub struct Mirror {
    /// The place of the backend among the snapshot's.
    pub backend: usize,
    /// How many requests are copied, drawn one by one.
    pub share: Fraction,
    /// Methods of requests that are copied.
    pub methods: Box<[Box<str>]>,
    /// The largest body that is copied, in bytes.
    pub max_body: usize,
    /// Room for copies under way, over all workers.
    pub room: Arc<Semaphore>,
    /// How long a copy may take.
    pub timeout: Duration,
}

/// A backend as one route uses it.
#[derive(Debug)]
pub struct RouteBackend {
    /// Its place in the snapshot's backends.
    pub backend: usize,
    /// The statistics of the route's requests to it.
    pub shards: Arc<Sharded<RouteBackendShard>>,
}

/// Upstream timeouts; zero means none.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To a TCP connection.
    pub connect: Duration,
    /// From the whole request sent to the response's head.
    pub response_headers: Duration,
    /// Without a byte in either direction.
    pub stream_idle: Duration,
    /// The same in a tunnel.
    pub tunnel_idle: Duration,
}

/// A backend.
#[derive(Debug)]
pub struct Backend {
    /// Its name.
    pub name: Name,
    /// Its endpoints, in file order.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Their weights, in the same order.
    pub weights: Vec<u32>,
    /// What they speak.
    pub protocol: Protocol,
    /// What they are spoken to with; `None` is in the clear.
    pub tls: Option<Arc<ClientTls>>,
    /// Chooses among them.
    pub balancer: Balancer,
    /// Whether an endpoint takes requests before its first health check has ended.
    pub initially_healthy: bool,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How its endpoints are checked.
    pub health_check: Option<Arc<HealthCheck>>,
    /// When its endpoints are ejected.
    pub outlier_detection: Option<OutlierDetection>,
    /// What it may be asked at once.
    pub breaker: Option<CircuitBreaker>,
    /// How long an endpoint takes to get its whole share; zero is at once.
    pub slow_start: Duration,
    /// The share of available endpoints, 0 to 1, below which all are used.
    pub panic_threshold: f64,
}

/// How requests are logged.
#[derive(Debug)]
pub struct Logging {
    /// The log; it outlives reloads that do not change its target.
    pub log: Arc<AccessLog>,
    /// The part of successful requests that is logged, 0 to 1; errors always are.
    pub rate: f64,
    /// Whether query strings are logged.
    pub query: bool,
}

// === impl Backend ===

impl Backend {
    /// Which connections to its endpoints are kept.
    #[must_use]
    pub fn keeping(&self) -> Keeping<'_> {
        Keeping { idle_timeout: self.idle_timeout, tls: self.tls.as_ref() }
    }

    /// Whether any endpoint takes requests at `now`.
    #[must_use]
    pub fn is_available(&self, now: Instant) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.is_available(self.initially_healthy, now))
    }

    /// Whether so few of its endpoints are available at `now` that all are used. The threshold is 0 where nobody asked for
    /// it, and then nothing is counted.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "endpoints are few")]
    pub fn is_panicking(&self, now: Instant) -> bool {
        if self.panic_threshold <= 0.0 {
            return false;
        }
        let endpoints = self.endpoints.iter();
        let available =
            endpoints.filter(|endpoint| endpoint.is_available(self.initially_healthy, now)).count();
        (available as f64) < self.panic_threshold * self.endpoints.len() as f64
    }

    /// The part of its share that `endpoint` takes at `now`: 0 is nothing, 1 is all.
    #[must_use]
    pub fn readiness(&self, endpoint: &Endpoint, now: Instant) -> f64 {
        if !endpoint.is_available(self.initially_healthy, now) {
            0.0
        } else if self.slow_start.is_zero() {
            1.0
        } else {
            endpoint.warmth(self.slow_start, now)
        }
    }

    /// Whether most of its endpoints answer badly at once, so that the fault is this version's.
    #[must_use]
    pub fn is_version_suspect(&self, now: Instant) -> bool {
        let detection = self.outlier_detection.as_ref();
        detection.is_some_and(|detection| detection.is_version_suspect(&self.endpoints, now))
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Which connections to the endpoint with this id are kept; `None` when there is no such endpoint.
    #[must_use]
    pub fn keeping_of(&self, endpoint: usize) -> Option<Keeping<'_>> {
        self.backends
            .iter()
            .find(|backend| backend.endpoints.iter().any(|known| known.id == endpoint))
            .map(Backend::keeping)
    }
}
