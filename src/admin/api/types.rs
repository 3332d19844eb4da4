//! What goes over the wire, for the server and the command line. Ratios are 0 to 1, times are seconds.

pub mod diff;
pub mod history;
pub mod rollout;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    control::{
        Origin,
        command::Digest,
        state::{Dangling, Drift},
    },
    types::{BackendState, Name, Revision, StickyMode, Weight},
};

/// `GET /livez`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`
    pub status: String,
}

/// `GET /readyz`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether new traffic should come here.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// What an operator should know, although traffic may come.
    pub warnings: Vec<String>,
}

/// `GET /v1/status`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Weir's version.
    pub version: String,
    /// The time since start.
    pub uptime_seconds: f64,
    /// The number of the last accepted change.
    pub revision: Revision,
    /// That change.
    pub changed: LastChange,
    /// The control file.
    pub file: ControlFileStatus,
    /// How its last reload went.
    pub last_reload: Reload,
    /// The store.
    pub store: StoreStatus,
    /// Overrides that fit nothing in the file.
    pub dangling: Vec<Dangling>,
    /// Whether new traffic should come here.
    pub readiness: Readiness,
    /// The sockets that take requests.
    pub listeners: Vec<Listener>,
    /// Routes, in file order.
    pub routes: Vec<Route>,
    /// Backends, by name.
    pub backends: Vec<Backend>,
}

/// The last accepted change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastChange {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// What: `start`, `reload`, `set_weights`, `kill`, `unkill`.
    pub action: String,
    /// Who, through what, and why.
    pub origin: Origin,
}

/// The control file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlFileStatus {
    /// Where it is.
    pub path: String,
    /// Which content is in force.
    pub digest: Digest,
    /// The revision that took it.
    pub revision: Revision,
    /// What is odd about it.
    pub warnings: Vec<String>,
    /// Whether what runs differs from it.
    pub drifted: bool,
    /// Where.
    pub drift: Vec<Drift>,
}

/// How the last reload of the control file went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reload {
    /// Whether the file was taken.
    pub ok: bool,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Why it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// The data directory; `null` when everything is in memory.
    #[schema(required)]
    pub directory: Option<String>,
    /// Whether what is in force survives a restart.
    pub persisted: bool,
    /// Why the last write failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A socket that takes requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listener {
    /// Its name.
    pub name: Name,
    /// Where it listens.
    pub address: String,
}

/// `GET /v1/routes`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Routes {
    /// Routes, in file order.
    pub routes: Vec<Route>,
}

/// `GET /v1/routes/{route}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    /// Its name.
    pub name: Name,
    /// How users stay on their backend.
    pub sticky: StickyMode,
    /// The backend that takes everything while the kill switch is on.
    #[schema(required)]
    pub kill_switch: Option<Name>,
    /// The rollout that has the route, while one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<rollout::RouteRollout>,
    /// The backends of its split, the baseline first.
    pub backends: Vec<RouteBackend>,
}

/// A backend in a route's split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteBackend {
    /// Its name.
    pub name: Name,
    /// Whether it takes users.
    pub state: BackendState,
    /// Its weight in force.
    pub weight: Weight,
    /// Its weight in the control file.
    pub file_weight: Weight,
    /// The share of new users that it should get.
    pub target_ratio: f64,
    /// Endpoints that take requests.
    pub healthy: usize,
    /// All its endpoints.
    pub endpoints: usize,
    /// What it did in the last seconds.
    pub traffic: Traffic,
}

/// What a backend did on a route within a window.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// The window.
    pub window_seconds: f64,
    /// Finished requests in it.
    pub requests: u64,
    /// Of those, answered 5xx.
    pub errors: u64,
    /// Finished requests per second.
    pub requests_per_second: f64,
    /// Its part of the route's requests; `null` when there were none.
    #[schema(required)]
    pub observed_ratio: Option<f64>,
    /// 5xx responses out of all; `null` without requests.
    #[schema(required)]
    pub error_ratio: Option<f64>,
    /// Half of the requests took no longer.
    #[schema(required)]
    pub p50_seconds: Option<f64>,
    /// 95 of 100 took no longer.
    #[schema(required)]
    pub p95_seconds: Option<f64>,
    /// 99 of 100 took no longer.
    #[schema(required)]
    pub p99_seconds: Option<f64>,
}

/// `GET /v1/backends`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Backends {
    /// Backends, by name.
    pub backends: Vec<Backend>,
}

/// `GET /v1/backends/{backend}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Backend {
    /// Its name.
    pub name: Name,
    /// The routes whose split has it.
    pub routes: Vec<Name>,
    /// Whether health checks are configured.
    pub health_checked: bool,
    /// How many endpoints take requests.
    pub healthy: usize,
    /// How it is as a whole.
    #[serde(default)]
    pub condition: Condition,
    /// Its endpoints, in file order.
    pub endpoints: Vec<Endpoint>,
}

/// How a backend is as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// Whether most of its endpoints answer badly at once, so that the fault is this version's and none is ejected.
    pub version_suspect: bool,
    /// Whether all of its endpoints are used because few are available.
    pub panic: bool,
    /// The limits of its circuit breaker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub circuit_breaker: Vec<LimitUsage>,
}

/// A limit of a circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitUsage {
    /// `connections`, `pending` or `requests`.
    pub limit: String,
    /// What is allowed.
    pub allowed: u32,
    /// What there is now.
    pub used: u32,
    /// Whether the next one would be refused; for connections, by at least one worker.
    pub open: bool,
    /// How many were refused.
    pub refused: u64,
}

/// One address of a backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// Where it listens.
    pub address: String,
    /// Its share relative to the other endpoints.
    pub weight: u32,
    /// What health checks say: `unknown`, `healthy`, `unhealthy`.
    pub health: String,
    /// What the last check said, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Whether it takes requests.
    pub available: bool,
    /// Why it is out in spite of good health checks, and for how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejection: Option<Ejection>,
    /// The part of its share of requests that it gets, while it starts slowly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmth: Option<f64>,
    /// Requests at it now.
    pub in_flight: u64,
}

/// An endpoint that is out because of its answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ejection {
    /// How long it still is.
    pub seconds_left: f64,
    /// Why: `consecutive_5xx`, `consecutive_gateway_failures`, `success_rate`.
    pub cause: String,
}

/// `GET`, `PATCH`, `PUT /v1/routes/{route}/weights`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Weights {
    /// The route.
    pub route: Name,
    /// The revision in force.
    pub revision: Revision,
    /// The weights in force; for a dry run, as they would be.
    pub weights: BTreeMap<Name, Weight>,
    /// The weights of the control file.
    pub file: BTreeMap<Name, Weight>,
    /// The share of new users that each backend gets.
    pub shares: BTreeMap<Name, f64>,
    /// The backend that takes everything while the kill switch is on.
    #[schema(required)]
    pub kill_switch: Option<Name>,
    /// For a write: whether anything is different.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    /// Whether nothing was done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// For a write: the share of users whose backend changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_ratio: Option<f64>,
    /// What the sender should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `GET`, `PUT`, `DELETE /v1/routes/{route}/kill-switch`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KillSwitch {
    /// The route.
    pub route: Name,
    /// The revision in force.
    pub revision: Revision,
    /// Whether it is on.
    pub active: bool,
    /// The backend that takes everything.
    #[schema(required)]
    pub backend: Option<Name>,
    /// Whether this survives a restart.
    pub persisted: bool,
    /// For a write: whether anything is different.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    /// For a write: the share of users whose backend changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_ratio: Option<f64>,
    /// Whether nothing was done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What the sender should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `GET`, `POST /v1/session`: who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The actor of what they do.
    pub name: String,
    /// What they may do: viewer, operator or admin.
    pub role: String,
    /// The routes that they may change; null is all.
    #[schema(required)]
    pub routes: Option<Vec<Name>>,
    /// How they have proved it: token, session, certificate, user; none where nobody has to.
    pub proof: String,
}

/// `DELETE /v1/session`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoggedOut {
    /// That there is no session any more.
    pub ended: bool,
}

/// `POST /v1/routes/{route}/explain`: a request to explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExplainRequest {
    /// Its method.
    pub method: String,
    /// Its path, with the query.
    pub path: String,
    /// Its host.
    pub host: String,
    /// Its header fields.
    pub headers: BTreeMap<String, HeaderValues>,
    /// The client's address.
    pub client_ip: std::net::IpAddr,
}

/// One value of a header field, or several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderValues(pub Vec<String>);

/// The answer to an [`ExplainRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The route that was asked for.
    pub route: Name,
    /// The route that such a request gets; another one when this route does not match it.
    #[schema(required)]
    pub matched_route: Option<Name>,
    /// The revision in force.
    pub revision: Revision,
    /// The backend that it gets.
    pub backend: Name,
    /// The step that decided.
    pub reason: String,
    /// The rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Name>,
    /// The bucket that decided, 0 to 99,999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u32>,
    /// The region, where a condition asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the response would set the assignment cookie.
    pub sets_cookie: bool,
    /// Every step that was taken, in order.
    pub steps: Vec<ExplainStep>,
}

/// A step of an assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainStep {
    /// Which.
    pub step: String,
    /// What it did: `decided` or `passed`.
    pub result: String,
    /// Why, for people.
    pub detail: String,
}

/// `POST /v1/config/check`, when the file is good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// `true`
    pub ok: bool,
    /// What is odd about it.
    #[schema(value_type = Vec<super::openapi::Diagnostic>)]
    pub warnings: Vec<serde_json::Value>,
}

// === impl ExplainRequest ===

impl Default for ExplainRequest {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: String::new(),
            headers: BTreeMap::new(),
            client_ip: std::net::Ipv4Addr::LOCALHOST.into(),
        }
    }
}

// === impl HeaderValues ===

impl Serialize for HeaderValues {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => serializer.serialize_str(only),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for HeaderValues {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = HeaderValues;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a header's value, such as \"42\", or a list of values")
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<HeaderValues, E> {
                Ok(HeaderValues(vec![value.to_owned()]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut values: A,
            ) -> Result<HeaderValues, A::Error> {
                let mut all = Vec::new();
                while let Some(value) = values.next_element()? {
                    all.push(value);
                }
                Ok(HeaderValues(all))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
