//! Plans for tests.

use std::time::Duration;

use crate::{
    config::model::rollout::{
        Analysis, BlastRadius, Check, Gate, Metric, OnBaselineBad, OnFailure, OnInconclusive, OnNewVersion,
        OnNoData, Regression, RegressionOf, RolloutPlan, StartOn, Step, Threshold,
    },
    rollout::machine::{Rollout, Start},
    types::{Fraction, Name},
};

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A step that gives the canary so many percent for so many seconds.
pub(crate) fn weight(percent: f64, hold: u64) -> Step {
    Step { weight: Fraction::from_percent(percent), hold: secs(hold), ..Step::default() }
}

/// No gates; checks every 5 s, three of 50 requests.
pub(crate) fn analysis(gates: Vec<Gate>) -> Analysis {
    Analysis {
        interval: secs(5),
        window: secs(60),
        threshold: 3,
        consecutive: true,
        min_requests: 50,
        on_no_data: OnNoData::Hold,
        on_inconclusive: OnInconclusive::Promote,
        on_baseline_bad: OnBaselineBad::Hold,
        alpha: 0.01,
        prometheus: None,
        gates,
    }
}

pub(crate) fn plan(steps: Vec<Step>, gates: Vec<Gate>) -> RolloutPlan {
    RolloutPlan {
        baseline: name("stable"),
        canary: name("canary"),
        version: Some("v2".to_owned()),
        start: StartOn::Version,
        on_new_version: OnNewVersion::Supersede,
        group: None,
        steps,
        analysis: analysis(gates),
        blast_radius: BlastRadius::default(),
        on_failure: OnFailure::Rollback,
        deadline: secs(86_400),
        keep_baseline: secs(3600),
        freeze: Vec::new(),
        hooks: Vec::new(),
        notify: Vec::new(),
    }
}

pub(crate) fn rollout(plan: RolloutPlan) -> Rollout {
    Rollout::new(Start {
        id: "r-1".to_owned(),
        routes: vec![name("shop")],
        plan,
        by: "ada".to_owned(),
        why: None,
        at_ms: 1_000,
        after: Vec::new(),
    })
}

pub(crate) fn threshold(metric: Metric) -> Threshold {
    Threshold { metric, max: None, min: None, max_ratio: None, hard_max: None, hard_min: None }
}

pub(crate) fn gate(name: &str, check: Check) -> Gate {
    Gate { name: name.to_owned(), dry_run: false, check }
}

pub(crate) fn max(name: &str, metric: Metric, max: f64) -> Gate {
    gate(name, Check::Threshold(Threshold { max: Some(max), ..threshold(metric) }))
}

pub(crate) fn regression(of: RegressionOf, ratio: f64) -> Gate {
    gate("regression", Check::Regression(Regression { of, ratio, difference: 0.0, alpha: None }))
}
