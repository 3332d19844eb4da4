//! A rollout's stage as the data plane has it: the rule for its audience, the mirror, and who is measured.

use std::{collections::HashMap, sync::Arc};

use super::RouteBackend;
use crate::{
    config::model,
    split::{Assignment, Condition, PlanRule, RuleTarget, Segment, SplitPlan},
    telemetry::{
        Trial,
        trial::{Arm, Note},
    },
    types::{Fraction, Name, Reason, Stage, Weight},
};

/// The name of the rule that a stage with an audience adds behind the file's.
const RULE: &str = "rollout";
/// How requests are copied for a stage where the file does not mirror the route: as the file would, had it named nothing else.
const MIRROR_METHODS: [&str; 2] = ["GET", "HEAD"];
const MIRROR_MAX_BODY: u64 = 64 * 1024;
const MIRROR_MAX_IN_FLIGHT: usize = 64;
const MIRROR_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// What is measured of a route under a rollout, and which of its requests belong to which version.
#[derive(Debug)]
pub struct TrialPlan {
    /// Takes the notes.
    pub trial: Arc<Trial>,
    /// What is in force.
    pub stage: Stage,
    /// The place of the canary among the snapshot's backends.
    pub canary: usize,
    /// The places of both versions among the route's.
    versions: [usize; 2],
    /// The rule that draws, where there is an audience; without one, the split does.
    rule: Option<usize>,
}

// === impl TrialPlan ===

impl TrialPlan {
    /// The stage on a route with this plan, whose last rule is the stage's if it has an audience, and with these backends. `None` where
    /// a version is not among them.
    pub(super) fn new(
        trial: Arc<Trial>,
        stage: &Stage,
        (plan, backends): (&SplitPlan, &[RouteBackend]),
    ) -> Option<Self> {
        let place = |name: &Name| plan.backends().iter().position(|backend| backend.name == *name);
        let versions = [place(&stage.baseline)?, place(&stage.canary)?];
        let rule = if stage.has_audience() { plan.rules_len().checked_sub(1) } else { None };
        Some(Self { trial, stage: stage.clone(), canary: backends.get(versions[1])?.backend, versions, rule })
    }

    /// The version that a place among the route's backends is.
    #[must_use]
    pub fn arm(&self, backend: usize) -> Option<Arm> {
        let [baseline, canary] = self.versions;
        match backend {
            _ if backend == canary => Some(Arm::Canary),
            _ if backend == baseline => Some(Arm::Baseline),
            _ => None,
        }
    }

    /// The beginning of a request that was assigned so, at `at` of the trial's time; `None` where it belongs to neither version.
    ///
    /// Only what the stage's own share decided is drawn. A pin is older than the request, and may be older than the stage.
    #[must_use]
    pub fn begin(&self, assignment: &Assignment, at: u64) -> Option<Note> {
        let arm = self.arm(assignment.backend)?;
        let drawn = match (assignment.reason, self.rule) {
            (Reason::Identity | Reason::Cookie | Reason::ClientIp | Reason::Draw, None) => true,
            (Reason::Rule, Some(rule)) => assignment.rule == Some(rule),
            _ => false,
        };
        let bucket = assignment.bucket.filter(|_| assignment.keeps_bucket);
        Some(Note { at, arm, drawn, copy: false, bucket, end: None })
    }
}

/// The rule by which a stage's audience gets its share of the canary. Explicit rules of the file come first.
pub(super) fn rule(
    stage: &Stage,
    segments: &HashMap<Name, Arc<Segment>>,
) -> Result<Option<PlanRule>, String> {
    if !stage.has_audience() {
        return Ok(None);
    }
    let mut parts = Vec::new();
    if !stage.segments.is_empty() {
        let any = stage.segments.iter().map(|name| {
            let segment = segments.get(name).ok_or_else(|| format!("there is no segment `{name}`"))?;
            Ok(Condition::Segment(Arc::clone(segment)))
        });
        parts.push(Condition::Any(any.collect::<Result<_, String>>()?));
    }
    if !stage.regions.is_empty() {
        parts.push(Condition::Region(stage.regions.clone().into()));
    }
    let canary = stage.share.buckets();
    let shares = vec![
        (stage.baseline.clone(), Weight::of(Fraction::ALL.buckets() - canary)),
        (stage.canary.clone(), Weight::of(canary)),
    ];
    Ok(Some(PlanRule {
        name: Name::new(RULE).expect("a valid name"),
        condition: Condition::All(parts.into()),
        target: RuleTarget::Split(shares),
    }))
}

/// How the route is mirrored: as the file says, to the stage's share where that goes to the canary.
pub(super) fn mirror(written: Option<&model::Mirror>, stage: Option<&Stage>) -> Option<model::Mirror> {
    let wanted = stage.and_then(|stage| Some((stage.mirror?, &stage.canary)));
    match (written.cloned(), wanted) {
        (Some(written), Some((share, canary))) if written.backend == *canary => {
            Some(model::Mirror { share, ..written })
        }
        (Some(written), _) => Some(written),
        (None, Some((share, canary))) => Some(model::Mirror {
            backend: canary.clone(),
            share,
            methods: MIRROR_METHODS.map(str::to_owned).to_vec(),
            max_body: MIRROR_MAX_BODY,
            max_in_flight: MIRROR_MAX_IN_FLIGHT,
            timeout: MIRROR_TIMEOUT,
        }),
        (None, None) => None,
    }
}
