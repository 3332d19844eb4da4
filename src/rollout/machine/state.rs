//! The state of a rollout: all of it, as it is kept in the journal.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    config::model::rollout::{RolloutPlan, Step},
    rollout::reason::Reason,
    types::{Fraction, Name, Stage},
};

/// One run of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its id, such as `r-7f3a2c`.
    pub id: String,
    /// Which attempt at the same it is, from 1.
    pub attempt: u32,
    /// The rollout that this one repeats.
    pub retries: Option<String>,
    /// The routes that move in step, at least one.
    pub routes: Vec<Name>,
    /// Rollouts that have to be over before it begins, because it takes their place.
    pub after: Vec<String>,
    /// The first of those that is not over yet, as of the last tick.
    #[serde(default)]
    pub behind: Option<String>,
    /// The plan as it was when the rollout began.
    pub plan: RolloutPlan,
    /// Who began it.
    pub by: String,
    /// Why.
    pub why: Option<String>,
    /// When it began, milliseconds since the Unix epoch.
    pub began_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Where it is.
    pub phase: Phase,
    /// The step that it is at, from 0.
    pub step: usize,
    /// How each step went, in the order of the plan.
    pub steps: Vec<StepState>,
    /// What the traffic should be.
    pub traffic: Traffic,
    /// How long the traffic has been what the step wants.
    pub dwell: Duration,
    /// How long it has been under way.
    pub age: Duration,
    /// How it ends, or ended, and why.
    pub ending: Option<Ending>,
    /// Why it does not move, when it does not.
    pub waits_for: Option<Reason>,
    /// Both versions are bad, or the split is wrong; people were told.
    pub held: Option<Reason>,
    /// What it is paused for.
    pub paused: Option<Paused>,
    /// What was agreed to at this step.
    pub approval: ApprovalState,
    /// What is asked of hooks, and what they said.
    pub hooks: Vec<HookState>,
    /// Raised with every entry of the journal.
    pub seq: u64,
    /// When it was last written down, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The idempotency key that it was asked for with.
    #[serde(default)]
    pub once: Option<OnceKey>,
}

/// An idempotency key: the request that has started a rollout, sent again, starts no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnceKey {
    /// The key, with the sender's name before it.
    pub key: String,
    /// What was asked for with it; the same key with something else is refused.
    pub fingerprint: String,
}

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing has moved yet: hooks have to agree, the canary has to be healthy.
    Waiting,
    /// Step by step.
    Progressing,
    /// It stays where it is until somebody says otherwise.
    Paused,
    /// Somebody has to agree to the next step.
    AwaitingApproval,
    /// The canary has everything and is watched.
    Baking,
    /// The canary is being withdrawn.
    RollingBack,
    /// The canary was withdrawn, because it was bad.
    RolledBack,
    /// The canary is the new version.
    Promoted,
    /// Somebody ended it, and the canary was withdrawn.
    Aborted,
    /// Another rollout took its place.
    Superseded,
}

/// What the traffic should be, and whether it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Raised with every change.
    pub stage: u32,
    /// What it should be.
    pub target: Target,
    /// Whether it is.
    pub in_force: bool,
}

/// What the traffic should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// As it was before.
    Untouched,
    /// As this step says.
    Step(usize),
    /// The canary gets nothing, at once and for every user.
    Withdrawn,
    /// The canary gets everything, for good.
    Promoted,
}

/// How a rollout ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// In which phase.
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
    /// Who, where it was a person.
    pub by: Option<String>,
    /// When it was decided, milliseconds since the Unix epoch.
    pub decided_ms: u64,
}

/// What it is paused for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paused {
    /// Why.
    pub reason: Reason,
    /// Who, where it was a person.
    pub by: Option<String>,
    /// Whether the canary was withdrawn meanwhile; its step begins again then.
    pub withdrawn: bool,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    /// Where it is.
    pub status: StepStatus,
    /// When it began, milliseconds since the Unix epoch.
    pub began_ms: Option<u64>,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// What the gates said last.
    pub gates: Vec<Reason>,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not yet.
    Pending,
    /// Now.
    Running,
    /// It was as long as it should be, and the gates were in good order.
    Passed,
    /// The rollout ended in it.
    Failed,
    /// It never came to it, or somebody went on without it.
    Skipped,
}

/// Whether somebody agreed at this step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalState {
    /// How long it has been waited for.
    pub waited: Duration,
    /// Who agreed.
    pub given_by: Option<String>,
}

/// What is asked of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookState {
    /// Its place in the plan.
    pub hook: usize,
    /// The step for which it is asked.
    pub step: usize,
    /// Calls so far.
    pub calls: u32,
    /// Failed ones in a row.
    pub failed: u32,
    /// Where it is.
    pub status: HookStatus,
    /// What it said last.
    pub said: Option<String>,
}

/// Where a hook is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookStatus {
    /// To be called when this has passed.
    Due(Duration),
    /// Called, and not answered yet.
    Running,
    /// It agreed, or did what it should.
    Passed,
    /// It failed for good.
    Failed,
    /// Nobody knows: Weir was restarted while it was under way.
    Unknown,
}

/// Who gets the canary at a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// The canary's share of the audience.
    pub share: Fraction,
    /// The audience's segments; empty is everybody.
    pub segments: Vec<Name>,
    /// The audience's regions; empty is everywhere.
    pub regions: Vec<Name>,
    /// The share of requests that are copied to it.
    pub mirror: Option<Fraction>,
}

// === impl Phase ===

impl Phase {
    /// Every phase, those of a rollout that goes well first.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Progressing,
        Self::AwaitingApproval,
        Self::Baking,
        Self::Promoted,
        Self::Paused,
        Self::RollingBack,
        Self::RolledBack,
        Self::Aborted,
        Self::Superseded,
    ];

    /// The phase of this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word)
    }

    /// Whether nothing more happens.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::RolledBack | Self::Promoted | Self::Aborted | Self::Superseded)
    }

    /// The word in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Progressing => "progressing",
            Self::Paused => "paused",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Baking => "baking",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Promoted => "promoted",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
        }
    }
}

// === impl Spread ===

impl Spread {
    const NOTHING: Self =
        Self { share: Fraction::NONE, segments: Vec::new(), regions: Vec::new(), mirror: None };

    /// Who gets the canary at step number `step` of a plan. A step that says nothing of it leaves it as it was.
    #[must_use]
    pub fn of(steps: &[Step], step: usize) -> Self {
        let mut spread = Self::NOTHING;
        for of in steps.iter().take(step + 1) {
            let has_audience = !(of.segments.is_empty() && of.regions.is_empty());
            if of.weight.is_none() && !has_audience && of.mirror.is_none() {
                continue;
            }
            spread = match (of.weight, has_audience) {
                (Some(share), _) => Self {
                    share,
                    segments: of.segments.clone(),
                    regions: of.regions.clone(),
                    mirror: of.mirror,
                },
                (None, true) => Self {
                    share: Fraction::ALL,
                    segments: of.segments.clone(),
                    regions: of.regions.clone(),
                    mirror: of.mirror,
                },
                (None, false) => Self { mirror: of.mirror, ..spread },
            };
        }
        spread
    }

    /// Whether the canary gets everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.share == Fraction::ALL && !self.has_audience()
    }

    /// Whether only some may get the canary.
    #[must_use]
    pub fn has_audience(&self) -> bool {
        !(self.segments.is_empty() && self.regions.is_empty())
    }

    /// Whether the canary gets any requests, or copies of them.
    #[must_use]
    pub fn reaches_canary(&self) -> bool {
        self.share != Fraction::NONE || self.mirror.is_some_and(|share| share != Fraction::NONE)
    }
}

// === impl Rollout ===

impl Rollout {
    /// Who gets the canary now; `None` when the rollout gives it to nobody.
    #[must_use]
    pub fn spread(&self) -> Option<Spread> {
        match self.traffic.target {
            Target::Step(step) => Some(Spread::of(&self.plan.steps, step)),
            Target::Untouched | Target::Withdrawn | Target::Promoted => None,
        }
    }

    /// The stage that the overlay should have; `None` when it should have none.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        let spread = self.spread()?;
        Some(Stage {
            rollout: self.id.clone(),
            number: self.traffic.stage,
            baseline: self.plan.baseline.clone(),
            canary: self.plan.canary.clone(),
            share: spread.share,
            segments: spread.segments,
            regions: spread.regions,
            mirror: spread.mirror,
            manual: false,
        })
    }

    /// How long the step lasts at least; zero when the plan is done.
    #[must_use]
    pub fn hold(&self) -> Duration {
        self.plan.steps.get(self.step).map_or(Duration::ZERO, |step| step.hold.max(step.bake))
    }

    /// How long the step still lasts at least.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.hold().saturating_sub(self.dwell)
    }
}
