//! A rollout as it is declared: from one backend to another, in steps, judged by gates.
//!
//! A plan is written to a rollout's journal whole, so that a rollout goes on as it began whatever the file says since; every type here
//! is therefore serializable.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::types::{Fraction, Name, Role};

/// How a new version gets the traffic of an old one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutPlan {
    /// The backend that has the traffic now.
    pub baseline: Name,
    /// The backend that is to get it.
    pub canary: Name,
    /// What the canary runs; a new text starts a rollout when [`start`](Self::start) says so.
    pub version: Option<String>,
    /// What starts a rollout.
    pub start: StartOn,
    /// What a new version does to a rollout that is under way.
    pub on_new_version: OnNewVersion,
    /// Routes that move in step have the same group; `None` is the route alone.
    pub group: Option<Name>,
    /// The steps, at least one; the last gives the canary everything, unless the rollout is to end elsewhere.
    pub steps: Vec<Step>,
    /// How the canary is judged.
    pub analysis: Analysis,
    /// What a failure may cost before the rollout is rolled back whatever the gates say.
    pub blast_radius: BlastRadius,
    /// What a failed gate does.
    pub on_failure: OnFailure,
    /// How long the whole may take; zero is without end. Default 24h.
    pub deadline: Duration,
    /// How long the baseline stays as a backup after promotion. Default 1h.
    pub keep_baseline: Duration,
    /// When no step forward is made.
    pub freeze: Vec<Freeze>,
    /// Who is asked and told on the way.
    pub hooks: Vec<Hook>,
    /// Names of `notifications` that are told.
    pub notify: Vec<Name>,
}

/// What starts a rollout of a plan in the control file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartOn {
    /// A reload in which `version` is another than that of the route's last rollout.
    #[default]
    Version,
    /// A command only.
    Command,
}

/// What a new version does to a rollout that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNewVersion {
    /// Ends it as superseded and starts anew.
    #[default]
    Supersede,
    /// Lets it go on; the new version starts when it has ended.
    Wait,
}

/// One step: where the canary's traffic comes from, and what it waits for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Step {
    /// The canary's share of the requests, or of those of the audience; `None` keeps it (of an audience: all of it).
    pub weight: Option<Fraction>,
    /// The audience: only users in one of these segments; empty is everybody.
    pub segments: Vec<Name>,
    /// The audience: only requests from one of these regions; empty is everywhere.
    pub regions: Vec<Name>,
    /// The share of requests of which the canary gets a copy whose answer nobody sees.
    pub mirror: Option<Fraction>,
    /// How long the step lasts at least, with the gates in good order.
    pub hold: Duration,
    /// The same of a step that gives the canary everything: the rollout is `baking` meanwhile.
    pub bake: Duration,
    /// A person has to agree before the next step.
    pub approval: Option<Approval>,
}

/// A person's agreement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Who may give it: any of these roles or above. Default operator.
    pub roles: Vec<Role>,
    /// How long it is waited for; zero is without end. Default 24h.
    pub timeout: Duration,
    /// What happens then. Default abort.
    pub on_timeout: OnTimeout,
}

/// What happens when nobody agreed in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// The canary gets nothing any more.
    #[default]
    Abort,
    /// The rollout pauses where it is.
    Pause,
    /// The next step is made.
    Promote,
}

/// How the canary is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// How often threshold gates are looked at. Default 5s; 1s to 1h. Regressions and hard limits are looked at on every tick.
    pub interval: Duration,
    /// What threshold gates look at: the last so much of what came since the traffic last changed. Default 1m.
    pub window: Duration,
    /// Failed checks before the gate fails. Default 3.
    pub threshold: u32,
    /// Whether a check that passes sets the count of failed ones to zero. Default yes; Flagger's counting is no.
    pub consecutive: bool,
    /// Requests of the canary within the window below which a threshold gate says nothing. Default 50.
    pub min_requests: u64,
    /// What a gate without enough requests means for the next step. Default hold.
    pub on_no_data: OnNoData,
    /// What it means when the hold time is over and the proof for promotion is not there. Default promote: no gate failed.
    pub on_inconclusive: OnInconclusive,
    /// What happens when the baseline breaks the same absolute limit. Default hold.
    pub on_baseline_bad: OnBaselineBad,
    /// The chance of ever rolling back a canary that keeps its margin, over the whole rollout. Default 1 %.
    pub alpha: f64,
    /// Where Prometheus queries go unless their gate says so.
    pub prometheus: Option<String>,
    /// The gates; none is a rollout by time alone.
    pub gates: Vec<Gate>,
}

/// What a gate without enough data means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNoData {
    /// The step lasts until there is enough; the deadline ends it.
    #[default]
    Hold,
    /// As good as passed.
    Pass,
    /// As bad as failed.
    Fail,
}

/// What missing proof means once the hold time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInconclusive {
    /// The next step is made, and what could not be ruled out is said.
    #[default]
    Promote,
    /// The step lasts until there is proof.
    Hold,
    /// The canary is withdrawn.
    Rollback,
}

/// What happens when both versions are bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBaselineBad {
    /// The rollout holds, and people are told: going back would not help.
    #[default]
    Hold,
    /// The canary is withdrawn all the same.
    Rollback,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// What it is called; unique in the plan. Default: what it measures.
    pub name: String,
    /// Whether it is only looked at and told, and decides nothing. Default no.
    pub dry_run: bool,
    /// What is looked at.
    pub check: Check,
}

/// What a gate looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A metric of the data path against limits.
    Threshold(Threshold),
    /// So many failed requests of the canary in a row.
    ConsecutiveFailures(u32),
    /// An anytime-valid test of the canary against the baseline.
    Regression(Regression),
    /// The answer of a Prometheus query against limits.
    Prometheus(PrometheusQuery),
    /// The verdict, or a number, of a web service.
    Webhook(WebhookCheck),
}

/// A metric and its limits; at least one limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// What is measured.
    pub metric: Metric,
    /// The most that is good. Ratios are 0 to 1, latencies seconds.
    pub max: Option<f64>,
    /// The least that is good.
    pub min: Option<f64>,
    /// The most that is good as a multiple of the baseline's.
    pub max_ratio: Option<f64>,
    /// Above this there is no waiting for a second look; for metrics with a `min` it is the floor.
    pub hard_max: Option<f64>,
    /// Below this there is no waiting for a second look.
    pub hard_min: Option<f64>,
}

/// What the data path measures of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Requests that ended with a status of 500 and above or without a whole response, out of all; 0 to 1.
    ErrorRate,
    /// One less the error rate.
    SuccessRate,
    /// Requests that the backend itself answered, out of all; not 502, 503, 504, a timeout, a reset or no connection. 0 to 1.
    Availability,
    /// Requests per second.
    RequestRate,
    /// This quantile of the durations, 0 to 1; in seconds.
    Latency(f64),
    /// Requests that needed a further attempt, out of all; 0 to 1.
    RetryRate,
    /// Requests that ended in a reset connection, out of all; 0 to 1.
    ResetRate,
}

/// A test whether the canary is worse than the baseline; docs/analysis.md.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// What is compared.
    pub of: RegressionOf,
    /// The multiple of the baseline's that is still allowed, at least 1. Default 1.25; of latency 1.2.
    pub ratio: f64,
    /// What is allowed on top, as a difference of error rates; 0 to 1. Default 0.
    pub difference: f64,
    /// The chance of failing a canary within the tolerance; `None` shares the plan's `alpha` with the other regressions.
    pub alpha: Option<f64>,
}

/// What a regression test compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegressionOf {
    /// Error rates.
    ErrorRate,
    /// One quantile of the durations, 0 to 1.
    Quantile(f64),
    /// The distribution of the durations, at p50, p90 and p99.
    Distribution,
}

/// A Prometheus query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrometheusQuery {
    /// The query; its answer is a scalar or a vector of one.
    pub query: String,
    /// The server's address; `None` is that of the analysis.
    pub server: Option<String>,
    /// The most that is good.
    pub max: Option<f64>,
    /// The least that is good.
    pub min: Option<f64>,
    /// How often it is asked. Default 30s.
    pub every: Duration,
    /// How long an answer may take. Default 5s.
    pub timeout: Duration,
}

/// A web service that judges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookCheck {
    /// Its address.
    pub url: String,
    /// Where in a JSON answer the number is (RFC 6901); `None` takes any 2xx for a pass.
    pub pointer: Option<String>,
    /// The most that is good.
    pub max: Option<f64>,
    /// The least that is good.
    pub min: Option<f64>,
    /// How often it is asked. Default 30s.
    pub every: Duration,
    /// How long an answer may take. Default 5s.
    pub timeout: Duration,
}

/// What a failure may cost. Beyond either the canary is withdrawn at once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BlastRadius {
    /// Failed requests of the canary in the whole rollout beyond what the baseline's rate explains; `None` is any.
    pub max_failed_requests: Option<u64>,
    /// The share of users (buckets) who may have met a failure of the canary; `None` is any.
    pub max_users: Option<Fraction>,
}

/// What a failed gate does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The canary gets nothing any more.
    #[default]
    Rollback,
    /// The canary gets nothing any more, and the rollout pauses: `resume` begins its step again.
    Pause,
    /// The traffic stays as it is, and the rollout pauses.
    Freeze,
}

/// A time in which no step forward is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// When it begins, as a cron expression of five fields.
    pub cron: String,
    /// How long it lasts.
    pub duration: Duration,
    /// The IANA time zone of the cron expression. Default UTC.
    pub zone: String,
    /// Why.
    pub reason: String,
}

/// Something outside that is asked or told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// What it is called; unique in the plan. Default: its kind, numbered where there are more.
    pub name: String,
    /// When it is called and what its answer means.
    pub kind: HookKind,
    /// Its address.
    pub url: String,
    /// How long an answer may take. Default 30s.
    pub timeout: Duration,
    /// Further attempts after one that failed. Default 2. Of those that are asked again and again, each time counts.
    pub retries: u32,
    /// How often those are asked that are asked again and again. Default 10s.
    pub every: Duration,
    /// What the body looks like. Default weir.
    pub payload: Payload,
    /// Header fields and the files that hold their values.
    pub headers: Vec<(String, PathBuf)>,
    /// The file with the key that signs the body (HMAC-SHA-256, in `X-Weir-Signature`).
    pub secret_file: Option<PathBuf>,
    /// What is given on to it, as it is.
    pub metadata: Vec<(String, String)>,
}

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookKind {
    /// Before the first step, until it agrees.
    ConfirmRollout,
    /// Once, before the first step; must succeed.
    PreRollout,
    /// While steps last, again and again; a failure counts like a failed check.
    Rollout,
    /// After each step, until it agrees.
    ConfirmStep,
    /// Before the step that gives the canary everything, until it agrees.
    ConfirmPromotion,
    /// Once, after promotion or rollback.
    PostRollout,
    /// Again and again: its success withdraws the canary.
    Rollback,
    /// On every transition; nobody waits for it.
    Event,
}

/// What a hook's body looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Everything, with the reason.
    #[default]
    Weir,
    /// What Flagger sends, for its load testers.
    Flagger,
}

/// Where people are told, by name in `notifications`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// What is told; empty is everything.
    pub on: Vec<Occasion>,
    /// Where.
    pub sink: Sink,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A rollout began.
    Started,
    /// A step was made.
    Advanced,
    /// Somebody has to agree.
    ApprovalNeeded,
    /// It paused.
    Paused,
    /// It holds because both versions are bad, or the split is not what it should be.
    Held,
    /// The canary has everything.
    Promoted,
    /// The canary was withdrawn.
    RolledBack,
    /// Somebody ended it.
    Aborted,
}

/// Where people are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sink {
    /// A Slack channel, by the file that holds the address of its incoming webhook.
    Slack {
        /// The file.
        url_file: PathBuf,
    },
    /// A web service that takes CloudEvents 1.0 (structured mode).
    Webhook {
        /// Its address.
        url: String,
        /// Header fields and the files that hold their values.
        headers: Vec<(String, PathBuf)>,
        /// The file with the key that signs the body.
        secret_file: Option<PathBuf>,
    },
    /// An issue of a GitHub repository.
    Github {
        /// `owner/name`.
        repository: String,
        /// The file with the token.
        token_file: PathBuf,
        /// The API's address. Default `https://api.github.com`.
        api: String,
        /// Labels of the issue.
        labels: Vec<String>,
    },
}
