//! What goes over the wire about rollouts.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use crate::rollout::{
    machine::{Phase, StepStatus},
    reason::{Reason, Sample, Verdict},
};
use crate::types::Name;

/// `GET /v1/rollouts`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rollouts {
    /// The newest first.
    pub rollouts: Vec<RolloutSummary>,
    /// What could not be done, such as a version that was not rolled out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// A rollout in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutSummary {
    /// Its id.
    pub id: String,
    /// The routes that move in step.
    pub routes: Vec<Name>,
    /// The backend that has had the traffic.
    pub baseline: Name,
    /// The backend that is to get it.
    pub canary: Name,
    /// What the canary runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it is.
    pub phase: Phase,
    /// Whether something still happens.
    pub active: bool,
    /// The step that it is at, from 1.
    pub step: usize,
    /// How many there are.
    pub step_count: usize,
    /// The canary's share of the traffic that the step is about, 0 to 1.
    pub share: f64,
    /// How long the step still lasts at least; absent while it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    /// Who began it.
    pub by: String,
    /// When it began, RFC 3339 in UTC.
    pub began_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Why it ended, is paused, or does not move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// `GET /v1/rollouts/{rollout}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rollout {
    /// What a list has of it.
    #[serde(flatten)]
    pub summary: RolloutSummary,
    /// Which attempt at the same it is, from 1.
    pub attempt: u32,
    /// The rollout that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<String>,
    /// Why it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Rollouts that have to be over before it begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// How long it has been under way; of one that was promoted, the time since.
    pub age_seconds: f64,
    /// What the traffic should be.
    pub traffic: RolloutTraffic,
    /// How long the traffic has been what the step wants.
    pub dwell_seconds: f64,
    /// How long the step lasts at least.
    pub hold_seconds: f64,
    /// Why it does not move, though nobody paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Reason>,
    /// Both versions are bad, or the split is not what it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Reason>,
    /// What it is paused for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PausedRollout>,
    /// The agreement that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<AwaitedApproval>,
    /// How it ends, or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<RolloutEnding>,
    /// How each step went, in the order of the plan.
    pub steps: Vec<RolloutStep>,
    /// What was asked of hooks, and what they said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<RolloutHook>,
    /// What is seen of each route while the canary has traffic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub live: Vec<LiveRoute>,
    /// The plan as it was when the rollout began, with the keys of the control file and every default.
    #[schema(value_type = Object)]
    pub plan: Value,
}

/// What the traffic should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutTraffic {
    /// Raised with every change.
    pub stage: u32,
    /// Where it should be: `untouched`, `step`, `withdrawn` or `promoted`.
    pub target: String,
    /// Whether it is.
    pub in_force: bool,
    /// The canary's share of the audience, 0 to 1.
    pub share: f64,
    /// The audience's segments; empty is everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Name>,
    /// The audience's regions; empty is everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Name>,
    /// The share of requests of which the canary gets a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<f64>,
}

/// What a rollout is paused for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PausedRollout {
    /// Why.
    pub reason: Reason,
    /// Who paused it, where it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Whether the canary gets nothing meanwhile.
    pub withdrawn: bool,
}

/// An agreement that a rollout waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AwaitedApproval {
    /// Who may give it: any of these roles, or one above.
    pub roles: Vec<String>,
    /// How long it has been waited for.
    pub waited_seconds: f64,
    /// How long it still is; absent when without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    /// What happens then: `abort`, `pause` or `promote`.
    pub on_timeout: String,
}

/// How a rollout ends, or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutEnding {
    /// In which phase.
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
    /// Who wanted it; absent where it was decided by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it was decided, RFC 3339 in UTC.
    pub decided_at: String,
    /// From then until the canary got nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_seconds: Option<f64>,
    /// The canary's share before, 0 to 1.
    pub from_share: f64,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutStep {
    /// Its number, from 1.
    pub number: usize,
    /// Where it is.
    pub status: StepStatus,
    /// What it is for people: `weight 5 %`, `segment internal`.
    pub what: String,
    /// The canary's share of the audience, 0 to 1.
    pub share: f64,
    /// How long it lasts at least.
    pub hold_seconds: f64,
    /// Whether somebody has to agree before the next one.
    pub approval: bool,
    /// When it began, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How long it lasted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_seconds: Option<f64>,
    /// What the gates said last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Reason>,
}

/// What was asked of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolloutHook {
    /// Its name.
    pub hook: String,
    /// The step for which it is asked, from 1.
    pub step: usize,
    /// Where it is: `due`, `running`, `passed`, `failed` or `unknown`.
    pub status: String,
    /// Calls so far.
    pub calls: u32,
    /// What it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// What is seen of a route while the canary has traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveRoute {
    /// The route.
    pub route: Name,
    /// What follows of the gates: `go`, `wait`, `hold` or `fail`; absent before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Why, where it is not `go`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
    /// What each gate says, in the order of the plan.
    pub gates: Vec<Reason>,
    /// What the baseline did since the traffic last changed.
    pub baseline: Measured,
    /// What the canary did.
    pub canary: Measured,
}

/// What a version did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    /// Its backend.
    pub backend: Name,
    /// Requests that ended, without those whose client left.
    pub requests: u64,
    /// Of those, failed ones.
    pub errors: u64,
    /// Failed ones out of all; `null` without requests.
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

/// `GET /v1/rollouts/{rollout}/entries`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutEntries {
    /// The rollout's id.
    pub rollout: String,
    /// What happened in it, in its order.
    pub entries: Vec<RolloutEntry>,
}

/// Something that happened in a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutEntry {
    /// Its number in the rollout, from 1.
    pub seq: u64,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// The phase since.
    pub phase: Phase,
    /// The step, from 1.
    pub step: usize,
    /// What happened, for people.
    pub words: String,
    /// Why, where it was decided by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Who, where it was a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RolloutActor>,
}

/// Who wanted something of a rollout, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolloutActor {
    /// Who.
    pub actor: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /v1/rollouts?dry_run=true`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedRollout {
    /// That nothing was done.
    pub dry_run: bool,
    /// The routes that would move in step.
    pub routes: Vec<Name>,
    /// The plan with every default.
    #[schema(value_type = Object)]
    pub plan: Value,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

/// `POST /v1/rollouts`, and what every command to a rollout answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SteeredRollout {
    /// The rollout as it is since; for a dry run, as it is.
    #[serde(flatten)]
    pub rollout: Rollout,
    /// Whether nothing was done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What the sender should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The rollout that has a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteRollout {
    /// Its id.
    pub id: String,
    /// The backend that is to get the traffic.
    pub canary: Name,
    /// Where it is.
    pub phase: Phase,
    /// The step that it is at, from 1.
    pub step: usize,
    /// How many there are.
    pub step_count: usize,
    /// How long the step still lasts at least; absent while it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
}
