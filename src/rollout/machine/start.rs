//! The first state of a rollout.

use std::time::Duration;

use super::{ApprovalState, Phase, Rollout, StepState, StepStatus, Target, Traffic};
use crate::{config::model::rollout::RolloutPlan, types::Name};

/// What a rollout begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Its id.
    pub id: String,
    /// The routes that move in step, at least one.
    pub routes: Vec<Name>,
    /// The plan.
    pub plan: RolloutPlan,
    /// Who begins it.
    pub by: String,
    /// Why.
    pub why: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Rollouts that have to be over before.
    pub after: Vec<String>,
}

// === impl Rollout ===

impl Rollout {
    /// A rollout that has not moved anything yet.
    #[must_use]
    pub fn new(start: Start) -> Self {
        let step =
            StepState { status: StepStatus::Pending, began_ms: None, ended_ms: None, gates: Vec::new() };
        Self {
            id: start.id,
            attempt: 1,
            retries: None,
            routes: start.routes,
            behind: start.after.first().cloned(),
            after: start.after,
            steps: vec![step; start.plan.steps.len()],
            plan: start.plan,
            by: start.by,
            why: start.why,
            began_ms: start.at_ms,
            ended_ms: None,
            phase: Phase::Waiting,
            step: 0,
            traffic: Traffic { stage: 0, target: Target::Untouched, in_force: true },
            dwell: Duration::ZERO,
            age: Duration::ZERO,
            ending: None,
            waits_for: None,
            held: None,
            paused: None,
            approval: ApprovalState::default(),
            hooks: Vec::new(),
            seq: 0,
            at_ms: start.at_ms,
            once: None,
        }
    }

    /// The same once more, with a clean state.
    #[must_use]
    pub fn again(&self, id: String, by: String, at_ms: u64) -> Self {
        let start = Start {
            id,
            routes: self.routes.clone(),
            plan: self.plan.clone(),
            by,
            why: self.why.clone(),
            at_ms,
            after: Vec::new(),
        };
        Self { attempt: self.attempt + 1, retries: Some(self.id.clone()), ..Self::new(start) }
    }
}
