//! Plans: random ones, and the one that presets look like.

use std::time::Duration;

use weir::{
    config::model::rollout::{
        Analysis, Approval, BlastRadius, Check, Gate, Hook, HookKind, Metric, OnBaselineBad, OnFailure,
        OnInconclusive, OnNewVersion, OnNoData, OnTimeout, Payload, Regression, RegressionOf, RolloutPlan,
        StartOn, Step, Threshold,
    },
    types::{Fraction, Name},
};

use crate::dice::Dice;

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn weight(percent: f64, hold: Duration) -> Step {
    Step { weight: Fraction::from_percent(percent), hold, ..Step::default() }
}

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

pub(crate) fn gate(name: &str, check: Check) -> Gate {
    Gate { name: name.to_owned(), dry_run: false, check }
}

pub(crate) fn threshold(metric: Metric) -> Threshold {
    Threshold { metric, max: None, min: None, max_ratio: None, hard_max: None, hard_min: None }
}

pub(crate) fn max(name: &str, metric: Metric, max: f64) -> Gate {
    gate(name, Check::Threshold(Threshold { max: Some(max), ..threshold(metric) }))
}

pub(crate) fn regression(name: &str, of: RegressionOf) -> Gate {
    let ratio = if of == RegressionOf::ErrorRate { 1.25 } else { 1.2 };
    gate(name, Check::Regression(Regression { of, ratio, difference: 0.0, alpha: None }))
}

/// What presets have: limits on errors and on the slowest, and both regressions.
pub(crate) fn default_gates(most_errors: f64) -> Vec<Gate> {
    vec![
        max("error_rate", Metric::ErrorRate, most_errors),
        max("latency_p99", Metric::Latency(0.99), 0.5),
        regression("errors", RegressionOf::ErrorRate),
        regression("latency", RegressionOf::Distribution),
    ]
}

/// 5 → 20 → 50 → 100, each for `hold`.
pub(crate) fn preset(hold: Duration, gates: Vec<Gate>) -> RolloutPlan {
    let last = Step { bake: hold, ..weight(100.0, Duration::ZERO) };
    plan(vec![weight(5.0, hold), weight(20.0, hold), weight(50.0, hold), last], gates)
}

/// A random plan whose steps last up to `scale`.
pub(crate) fn random(dice: &mut Dice, scale: Duration) -> RolloutPlan {
    let most = u64::try_from(scale.as_millis()).unwrap();
    let count = dice.between(1, 6);
    let mut weights: Vec<f64> =
        (0..count).map(|_| dice.pick(&[0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 99.999])).collect();
    if dice.chance(0.8) {
        weights.sort_by(f64::total_cmp);
    }
    let mut steps: Vec<Step> = weights.into_iter().map(|share| step(dice, share, most)).collect();
    if dice.chance(0.85) {
        let bake = if dice.chance(0.7) { dice.millis(0, most) } else { Duration::ZERO };
        steps.push(Step { bake, ..weight(100.0, Duration::ZERO) });
    }
    let lasts: Duration = steps.iter().map(|step| step.hold.max(step.bake)).sum();
    let deadline =
        if dice.chance(0.05) { Duration::ZERO } else { (lasts + scale).mul_f64(0.3 + 3.0 * dice.unit()) };
    let hooks = if dice.chance(0.5) {
        Vec::new()
    } else {
        (0..dice.between(1, 4)).map(|at| hook(dice, at, most)).collect()
    };
    let gates = gates(dice);
    let blast_radius = BlastRadius {
        max_failed_requests: dice.chance(0.2).then(|| dice.between(5, 200)),
        max_users: if dice.chance(0.1) { Fraction::from_percent(1.0) } else { None },
    };
    let mut plan = RolloutPlan {
        on_failure: dice.pick(&[
            OnFailure::Rollback,
            OnFailure::Rollback,
            OnFailure::Pause,
            OnFailure::Freeze,
        ]),
        deadline,
        keep_baseline: dice.pick(&[Duration::ZERO, scale / 2, scale]),
        hooks,
        blast_radius,
        ..plan(steps, gates)
    };
    plan.analysis.threshold = u32::try_from(dice.between(1, 4)).unwrap();
    plan.analysis.consecutive = dice.chance(0.8);
    plan.analysis.interval = dice.pick(&[secs(1), secs(2)]);
    plan.analysis.window = dice.pick(&[secs(5), secs(30)]);
    plan.analysis.min_requests = dice.pick(&[1, 20, 50]);
    plan.analysis.on_no_data = dice.pick(&[OnNoData::Hold, OnNoData::Hold, OnNoData::Pass, OnNoData::Fail]);
    plan.analysis.on_inconclusive = dice.pick(&[
        OnInconclusive::Promote,
        OnInconclusive::Promote,
        OnInconclusive::Hold,
        OnInconclusive::Rollback,
    ]);
    plan.analysis.on_baseline_bad = dice.pick(&[OnBaselineBad::Hold, OnBaselineBad::Rollback]);
    plan
}

fn step(dice: &mut Dice, share: f64, most: u64) -> Step {
    let hold = if dice.chance(0.15) { Duration::ZERO } else { dice.millis(0, most) };
    let nothing = Step { hold, ..Step::default() };
    let segments = |dice: &mut Dice| {
        if dice.chance(0.5) { vec![name("internal")] } else { vec![name("internal"), name("beta")] }
    };
    let mirror = |dice: &mut Dice| Fraction::from_percent(dice.pick(&[1.0, 10.0, 100.0]));
    let of = match dice.between(0, 9) {
        0 => Step { segments: segments(dice), ..nothing },
        1 => Step { segments: segments(dice), ..weight(share, hold) },
        2 => Step { regions: vec![name("us-east")], ..weight(share, hold) },
        3 => Step { regions: vec![name("us-east")], segments: segments(dice), ..nothing },
        4 => Step { mirror: mirror(dice), ..nothing },
        5 => Step { mirror: mirror(dice), ..weight(share, hold) },
        6 => nothing,
        _ => weight(share, hold),
    };
    let on_timeout = dice.pick(&[OnTimeout::Abort, OnTimeout::Pause, OnTimeout::Promote]);
    let timeout = if dice.chance(0.3) { Duration::ZERO } else { dice.millis(0, most) };
    let approval = dice.chance(0.2).then(|| Approval { roles: Vec::new(), timeout, on_timeout });
    Step { approval, ..of }
}

fn hook(dice: &mut Dice, at: u64, most: u64) -> Hook {
    let kind = dice.pick(&[
        HookKind::ConfirmRollout,
        HookKind::PreRollout,
        HookKind::PreRollout,
        HookKind::Rollout,
        HookKind::ConfirmStep,
        HookKind::ConfirmPromotion,
        HookKind::PostRollout,
        HookKind::PostRollout,
        HookKind::Rollback,
        HookKind::Event,
    ]);
    Hook {
        name: format!("hook-{at}"),
        kind,
        url: "http://hook/".to_owned(),
        timeout: secs(5),
        retries: u32::try_from(dice.between(0, 2)).unwrap(),
        every: dice.millis(0, most / 4),
        payload: Payload::Weir,
        headers: Vec::new(),
        secret_file: None,
        metadata: Vec::new(),
    }
}

fn gates(dice: &mut Dice) -> Vec<Gate> {
    let all = [
        max("error_rate", Metric::ErrorRate, 0.05),
        max("latency_p99", Metric::Latency(0.99), 0.5),
        gate(
            "availability",
            Check::Threshold(Threshold { min: Some(0.95), ..threshold(Metric::Availability) }),
        ),
        gate("ratio", Check::Threshold(Threshold { max_ratio: Some(2.0), ..threshold(Metric::ErrorRate) })),
        gate("hard", Check::Threshold(Threshold { hard_max: Some(0.5), ..threshold(Metric::ErrorRate) })),
        gate("streak", Check::ConsecutiveFailures(20)),
        regression("errors", RegressionOf::ErrorRate),
        regression("latency", RegressionOf::Distribution),
        regression("p90", RegressionOf::Quantile(0.9)),
        Gate { dry_run: true, ..max("dry", Metric::ErrorRate, 0.0) },
    ];
    all.into_iter().filter(|_| dice.chance(0.35)).collect()
}
