//! What the shards add up to: plain values for gates, pages and the export.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    histogram::HistogramSnapshot,
    label::{
        CodeClass, ErrorKind, FaultLabel, Handshake, MethodLabel, PolicyLabel, Refusal, Shed, TokenLabel,
    },
};
use crate::types::{Name, Reason};

/// A route's name and a backend's name.
pub type RouteBackend = (Name, Name);
/// A backend's name and an endpoint's address as configured.
pub type BackendEndpoint = (Name, Arc<str>);

/// Everything, added over the workers at one moment.
#[derive(Debug, Clone, Default)]
pub struct StatsSnapshot {
    /// By route and backend.
    pub route_backends: BTreeMap<RouteBackend, RouteBackendStats>,
    /// By route.
    pub routes: BTreeMap<Name, RouteStats>,
    /// By backend and address.
    pub endpoints: BTreeMap<BackendEndpoint, EndpointStats>,
    /// By listener.
    pub listeners: BTreeMap<Name, ListenerStats>,
    /// How often a shard was handed out unregistered because of the cap on series.
    pub dropped_series: u64,
}

/// A status code as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// 100 to 599.
    Exact(u16),
    /// A number that is no status.
    Other,
}

/// The totals of a backend in a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteBackendStats {
    /// Finished requests by code and method; only what was seen.
    pub requests: BTreeMap<(Code, MethodLabel), u64>,
    /// Durations by class, in the order of [`CodeClass::ALL`].
    pub durations: [HistogramSnapshot; CodeClass::ALL.len()],
    /// Times to the upstream's response headers.
    pub upstream: HistogramSnapshot,
    /// Errors by kind, in the order of [`ErrorKind::ALL`].
    pub errors: [u64; ErrorKind::ALL.len()],
    /// Assignments by reason, in the order of [`Reason::ALL`].
    pub assignments: [u64; Reason::ALL.len()],
    /// Users seen for the first time.
    pub new_buckets: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Attempts that were not made for want of budget.
    pub budget_exhausted: u64,
    /// Failures that the client did not see.
    pub shielded: u64,
    /// Requests at the backend now.
    pub in_flight: u64,
}

/// The totals of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteStats {
    /// Requests that matched.
    pub matched: u64,
    /// Times spent in Weir itself.
    pub overhead: HistogramSnapshot,
    /// Requests that the route answered itself, in the order of [`PolicyLabel::ALL`].
    pub answered: [u64; PolicyLabel::ALL.len()],
    /// Tokens that were looked at, in the order of [`TokenLabel::ALL`].
    pub tokens: [u64; TokenLabel::ALL.len()],
    /// Requests that were made to fail or to wait, in the order of [`FaultLabel::ALL`].
    pub faults: [u64; FaultLabel::ALL.len()],
}

/// The totals of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Requests at the endpoint now.
    pub in_flight: u64,
    /// Durations of answered attempts.
    pub durations: HistogramSnapshot,
}

/// The totals of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerStats {
    /// Open connections now.
    pub connections: u64,
    /// Connections accepted.
    pub opened: u64,
    /// Connections turned away, by the limit that was reached, in the order of [`Shed::ALL`].
    pub shed: [u64; Shed::ALL.len()],
    /// Accepts that failed for want of a descriptor or memory.
    pub accept_errors: u64,
    /// Requests the listener answered itself, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
    /// TLS handshakes, by how they ended.
    pub handshakes: [u64; Handshake::ALL.len()],
}

// === impl Code ===

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(code) => code.fmt(f),
            Self::Other => f.write_str("_OTHER"),
        }
    }
}

// === impl RouteBackendStats ===

impl RouteBackendStats {
    /// Finished requests of one class.
    #[must_use]
    pub fn class(&self, class: CodeClass) -> u64 {
        self.durations[class.index()].count()
    }

    /// All finished requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.durations.iter().map(HistogramSnapshot::count).sum()
    }

    /// Errors of one kind.
    #[must_use]
    pub fn errors_of(&self, kind: ErrorKind) -> u64 {
        self.errors[kind.index()]
    }

    /// Durations of all classes together.
    #[must_use]
    pub fn latency(&self) -> HistogramSnapshot {
        let mut all = HistogramSnapshot::default();
        self.durations.iter().for_each(|class| all.merge(class));
        all
    }

    /// What was added since `earlier`, an older snapshot of the same backend; requests in flight are as of now.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut requests = self.requests.clone();
        requests.retain(|key, count| {
            *count = count.saturating_sub(earlier.requests.get(key).copied().unwrap_or(0));
            *count > 0
        });
        Self {
            requests,
            durations: std::array::from_fn(|class| self.durations[class].since(&earlier.durations[class])),
            upstream: self.upstream.since(&earlier.upstream),
            errors: std::array::from_fn(|kind| self.errors[kind].saturating_sub(earlier.errors[kind])),
            assignments: std::array::from_fn(|reason| {
                self.assignments[reason].saturating_sub(earlier.assignments[reason])
            }),
            new_buckets: self.new_buckets.saturating_sub(earlier.new_buckets),
            retries: self.retries.saturating_sub(earlier.retries),
            budget_exhausted: self.budget_exhausted.saturating_sub(earlier.budget_exhausted),
            shielded: self.shielded.saturating_sub(earlier.shielded),
            in_flight: self.in_flight,
        }
    }
}
