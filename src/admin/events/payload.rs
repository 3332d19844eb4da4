//! The data of each kind of event. A `snapshot` is the same as `/v1/status`, and `health` as `/v1/backends/{backend}`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    admin::api::types::{
        Traffic, Weights,
        rollout::{LiveRoute, RolloutEntry, RolloutSummary},
    },
    control::{Origin, command::Digest},
    types::{Name, Revision},
};

/// `stats`: the traffic of the last seconds, once a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatsEvent {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Routes, in file order.
    pub routes: Vec<RouteStats>,
}

/// The traffic of a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteStats {
    /// The route.
    pub route: Name,
    /// The backends of its split, the baseline first.
    pub backends: Vec<BackendStats>,
}

/// The traffic of a backend in a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendStats {
    /// The backend.
    pub backend: Name,
    /// The share of new users that it should get.
    pub target_ratio: f64,
    /// What it did.
    pub traffic: Traffic,
}

/// `weights`: the weights or the kill switch of a route are other ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WeightsEvent {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// What changed them: `reload`, `set_weights`, `kill`, `unkill`.
    pub action: String,
    /// Who, through what, and why.
    pub origin: Origin,
    /// As they are now.
    pub weights: Weights,
}

/// `rollout`: something happened in a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutEvent {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// The rollout as it is since.
    pub rollout: RolloutSummary,
    /// What happened; absent where it has just been asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<RolloutEntry>,
}

/// `analysis`: what the gates of a rollout say, once a second while it is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalysisEvent {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// The rollout.
    pub rollout: RolloutSummary,
    /// What is seen of each of its routes.
    pub live: Vec<LiveRoute>,
}

/// `config`: a control file was taken or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigEvent {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// What became of it.
    pub result: ConfigResult,
    /// The revision in force.
    pub revision: Revision,
    /// The content in force.
    pub digest: Digest,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is odd about the file in force.
    pub warnings: Vec<String>,
}

/// What became of a control file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigResult {
    /// It is in force.
    Applied,
    /// It was refused; the last good one runs.
    Refused,
    /// After a refusal, the file is again what runs.
    Recovered,
}

/// `store`: changes cannot be made durable, or can again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreEvent {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// What the store does since.
    pub result: StoreResult,
    /// The revision in force.
    pub revision: Revision,
    /// Whether a restart would find what is in force.
    pub persisted: bool,
    /// Why it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreResult {
    /// It takes nothing; changes other than a kill are refused.
    Failed,
    /// It works again, and has what is in force.
    Recovered,
}

/// `audit`: somebody changed something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEvent {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// The revision that it made.
    pub revision: Revision,
    /// Who, through what, and why.
    pub origin: Origin,
    /// What: `reload`, `set_weights`, `kill`, `unkill`.
    pub action: String,
    /// The route it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Name>,
    /// What it was before.
    pub from: Value,
    /// What it is now.
    pub to: Value,
}

/// `reset`: what the client has seen is too old to go on from; a `snapshot` follows if the client wants snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reset {
    /// Why, for people.
    pub reason: String,
}

/// `bye`: the stream ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bye {
    /// Why: `stopping`.
    pub reason: String,
}
