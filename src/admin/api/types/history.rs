//! What goes over the wire about changes that were made, and about what operators have set beside weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    control::{Origin, audit::AuditResult, command::Digest},
    types::{Name, Revision},
};

/// What every change answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// The revision in force.
    pub revision: Revision,
    /// Whether anything is different.
    pub changed: bool,
    /// Whether nothing was done, because it was only asked what would be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The share of users, 0 to 1, whose backend changes, on each route where it does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moved_ratio: BTreeMap<Name, f64>,
    /// What the sender should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `GET /v1/revisions`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Revisions {
    /// The newest first.
    pub revisions: Vec<RevisionSummary>,
    /// The `cursor` of the page that follows; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An accepted change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RevisionSummary {
    /// Its number.
    pub revision: Revision,
    /// When, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pub at: String,
    /// What: `start`, `reload`, `set_weights`, `kill`, `unkill`, `drain`, `undrain`, `set_override`, `remove_override`,
    /// `drop_overlay`, `restore`, `withdraw`.
    pub action: String,
    /// The route that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Name>,
    /// Who made it, through what, and why.
    pub origin: Origin,
    /// What it was before.
    pub from: Value,
    /// What it was since.
    pub to: Value,
}

/// `GET /v1/revisions/{revision}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RevisionDetail {
    /// The change.
    #[serde(flatten)]
    pub summary: RevisionSummary,
    /// Which control file ran since.
    pub file: Digest,
    /// Its text.
    pub file_text: String,
    /// Every override that was set since.
    #[schema(value_type = Object)]
    pub overlay: Value,
}

/// `GET /v1/revisions/{revision}/diff`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Diff {
    /// The earlier state.
    pub from: Revision,
    /// The later one.
    pub to: Revision,
    /// Everything that differs.
    pub differences: Vec<Difference>,
}

/// One thing that differs between two states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// Where: `file` or `in_force`, then the keys on the way, with `/` between them.
    pub path: String,
    /// What is there in the first; absent when it is only in the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What is there in the second; absent when it is only in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// `POST /v1/revisions/{revision}/restore`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Restored {
    /// What came back.
    pub restored: Revision,
    /// The revision that the same request made before, where its `Idempotency-Key` was used already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Revision>,
    /// What every change answers.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What is different since.
    pub differences: Vec<Difference>,
}

/// `GET /v1/audit`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Audit {
    /// The newest first.
    pub rows: Vec<AuditEntry>,
    /// The `cursor` of the page that follows; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A row of the audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pub time: String,
    /// The revision in force after it.
    pub revision: Revision,
    /// Who, through what, and why.
    pub origin: Origin,
    /// What: `start`, the word of a change, `denied`, `withdraw`, `lost_rows`.
    pub action: String,
    /// Whether it was done.
    pub result: AuditResult,
    /// The route that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Name>,
    /// What it was before.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub from: Value,
    /// What it is now; for what was refused, why.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub to: Value,
    /// The SHA-256 over the hash before and this row.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub hash: String,
}

/// `GET /v1/audit/verify`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// Whether no row was changed or is missing.
    pub ok: bool,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How many rows there are, when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Number and hash of the newest row. Noted elsewhere, it shows later whether the end was cut off or the whole was made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
}

/// `GET /v1/routes/{route}/overrides`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overrides {
    /// The route.
    pub route: Name,
    /// The revision in force.
    pub revision: Revision,
    /// The backend of each user, by the value of the split's key.
    pub overrides: BTreeMap<String, Name>,
}

/// `GET /v1/routes/{route}/overrides/{key}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Override {
    /// The route.
    pub route: Name,
    /// The user: the value of the split's key.
    pub key: String,
    /// The backend that the user gets; null when rules and weights decide.
    #[schema(required)]
    pub backend: Option<Name>,
}

/// `PUT`, `DELETE /v1/routes/{route}/overrides/{key}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OverrideChanged {
    /// The override since.
    #[serde(flatten)]
    pub now: Override,
    /// What every change answers.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// `GET /v1/backends/{backend}/drain`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drain {
    /// The backend.
    pub backend: Name,
    /// Whether it takes no new users, on any route.
    pub draining: bool,
}

/// `PUT`, `DELETE /v1/backends/{backend}/drain`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrainChanged {
    /// The drain since.
    #[serde(flatten)]
    pub now: Drain,
    /// What every change answers.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// `GET /v1/routes/{route}/overlay`: what was set by API on top of the control file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteOverlay {
    /// The route.
    pub route: String,
    /// The revision in force.
    pub revision: Revision,
    /// Weights that replace the file's.
    #[schema(value_type = Object)]
    pub weights: Value,
    /// The backend that takes everything.
    #[schema(required)]
    pub kill_switch: Option<Name>,
    /// The backend of each user with an override.
    pub overrides: BTreeMap<String, Name>,
}

/// `DELETE /v1/routes/{route}/overlay`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OverlayDropped {
    /// The route.
    pub route: String,
    /// What every change answers.
    #[serde(flatten)]
    pub outcome: Outcome,
}

// === impl Outcome ===

impl Outcome {
    /// The share of users of `route`, 0 to 1, whose backend changes.
    #[must_use]
    pub fn moved_on(&self, route: &Name) -> f64 {
        self.moved_ratio.get(route).copied().unwrap_or(0.0)
    }
}
