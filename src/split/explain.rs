//! The trace of an assignment: what every step said.

use serde::Serialize;

use super::{
    assign::{AssignContext, decide},
    condition::Facts,
    plan::SplitPlan,
};
use crate::{
    http::RequestView,
    types::{Bucket, Name, Reason},
};

/// Why a request gets its backend. Explaining has no effects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The backend.
    pub backend: Name,
    /// The step that decided.
    pub reason: Reason,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Name>,
    /// The bucket that decided, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<Bucket>,
    /// The region, where a condition asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the response would set the assignment cookie.
    pub sets_cookie: bool,
    /// Every step that was taken, in order.
    pub steps: Vec<Step>,
}

/// A step of an assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `jwt`, `rollout`, `kill_switch`, `signed override`, `override`, `rule NAME`, `pin`, `split` or `fallback`.
    pub step: String,
    /// What it did.
    pub result: Outcome,
    /// Why, for people.
    pub detail: String,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It gave the backend.
    Decided,
    /// It left the decision to the next step.
    Passed,
}

/// Takes notes of an assignment.
pub(super) trait Trace {
    fn record(&mut self, step: impl FnOnce() -> Step);
}

/// Takes none.
pub(super) struct Silent;

/// The trace of the assignment that [`assign`](super::assign()) would make.
#[must_use]
pub fn explain(
    plan: &SplitPlan,
    request: &RequestView<'_>,
    context: &AssignContext<'_>,
    entropy: u64,
) -> Explanation {
    let facts = Facts::new(plan, request, context, entropy);
    let mut steps = Vec::new();
    let assignment = decide(&facts, &mut steps);
    Explanation {
        backend: plan.backends()[assignment.backend].name.clone(),
        reason: assignment.reason,
        rule: assignment.rule.and_then(|index| plan.rule_name(index)).cloned(),
        bucket: assignment.bucket,
        region: facts.known_region().map(|region| region.to_string()),
        sets_cookie: assignment.set_cookie.is_some(),
        steps,
    }
}

// === impl Step ===

impl Step {
    pub(super) fn new(step: &str, result: Outcome, detail: String) -> Self {
        Self { step: step.to_owned(), result, detail }
    }
}

impl Trace for Silent {
    #[inline]
    fn record(&mut self, _: impl FnOnce() -> Step) {}
}

impl Trace for Vec<Step> {
    fn record(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}
