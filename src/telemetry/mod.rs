//! Telemetry: counts and times of everything that is served. It records, it does not decide.
//!
//! Workers write to their own shards ([`stats`], made of the [`histogram`] and plain counters) with loads and stores that
//! no other core has a part in. The control plane finds shards and adds them up ([`registry`], [`totals`]), cuts
//! [`windows`] out of them for gates and pages, and exports them ([`prometheus`]). The access log ([`access_log`])
//! leaves the workers through a bounded queue, and what rollouts are judged by
//! ([`trial`]) through rings.

pub mod access_log;
pub mod control;
mod counter;
mod family;
pub mod histogram;
pub mod label;
mod mirror;
pub mod prometheus;
pub mod registry;
pub mod stats;
pub mod totals;
pub mod trial;
pub mod windows;

pub use self::prometheus::{Exporter, Gauges};
pub use access_log::{AccessEntry, AccessLog, AccessLogCounts, Sampler, Sink};
pub use control::{ControlStats, StreamStats};
pub use histogram::{Histogram, HistogramSnapshot};
pub use label::{
    AdminResult, ChangeResult, ChangeSource, CodeClass, DenialReason, ErrorKind, FaultLabel, Handshake,
    MethodLabel, NotificationResult, PolicyLabel, Refusal, Shed, TokenLabel,
};
pub use mirror::MirrorSide;
pub use registry::{Live, Registry, Sharded};
pub use stats::{EndpointShard, ListenerShard, Outcome, RouteBackendShard, RouteShard};
pub use totals::StatsSnapshot;
pub use trial::Trial;
pub use windows::{WindowStats, Windows};
