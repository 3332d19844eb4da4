//! Hardly any traffic, and none: silence is no proof, and one error is no failure, unless the plan says so.

use std::time::Duration;

use weir::{
    config::model::rollout::{OnNoData, RolloutPlan},
    rollout::machine::{Phase, Target},
};

use crate::{
    plans::{self, secs},
    route::Route,
    traffic::{GOOD, Load, TICK, Traffic, Version},
};

const TWO_A_MINUTE: f64 = 2.0 / 60.0;

fn plan(on_no_data: OnNoData, deadline: Duration) -> RolloutPlan {
    let mut plan = plans::preset(secs(60), plans::default_gates(0.01));
    plan.analysis.on_no_data = on_no_data;
    RolloutPlan { deadline, ..plan }
}

fn run(plan: RolloutPlan, per_second: f64, versions: [Version; 2], lasts: Duration) -> Route {
    let mut route = Route::new(plan, Traffic::new(Load::of(per_second), 7));
    while route.now < lasts && !route.is_over() {
        route.tick(versions, |_| {});
    }
    route
}

#[test]
fn nothing_is_promoted_by_silence() {
    for per_second in [0.0, TWO_A_MINUTE] {
        let route = run(plan(OnNoData::Hold, secs(86_400)), per_second, [GOOD; 2], secs(1200));
        assert_eq!(
            (route.rollout.phase, route.rollout.traffic.target),
            (Phase::Progressing, Target::Step(0))
        );
    }
}

#[test]
fn no_traffic_holds_until_the_deadline() {
    let route = run(plan(OnNoData::Hold, secs(900)), 0.0, [GOOD; 2], secs(1800));
    assert!(route.was_rolled_back());
    assert_eq!(route.rollout.ending.as_ref().unwrap().reason.gate, "deadline");
    assert!(route.now <= secs(900) + TICK * 2, "{:?}", route.now);
}

#[test]
fn the_plan_may_say_what_silence_means() {
    let route = run(plan(OnNoData::Pass, secs(86_400)), TWO_A_MINUTE, [GOOD; 2], secs(600));
    assert_eq!(route.rollout.phase, Phase::Promoted, "four steps of a minute");
    let route = run(plan(OnNoData::Fail, secs(86_400)), TWO_A_MINUTE, [GOOD; 2], secs(60));
    assert!(route.was_rolled_back() && route.now <= secs(30), "three checks: {:?}", route.now);
}

#[test]
fn one_bad_request_of_few_rolls_nothing_back() {
    let (slow, failing) = (GOOD.slower(100.0), Version::failing(1.0));
    for bad in [slow, failing] {
        let mut steps = plan(OnNoData::Hold, secs(86_400));
        steps.steps[0].weight = weir::types::Fraction::from_percent(50.0);
        let mut route = Route::new(steps, Traffic::new(Load::of(0.5), 11));
        let (mut seen, mut good) = (0, 0);
        // At first all of the canary's requests are good, then one is bad, then all are good again.
        while route.now < secs(1200) && !route.is_over() {
            let version = if good > 60 && seen == 0 { bad } else { GOOD };
            route.tick([GOOD, version], |notes| {
                for end in notes
                    .iter()
                    .filter(|note| note.arm == weir::telemetry::trial::Arm::Canary)
                    .filter_map(|note| note.end)
                {
                    let is_bad = end.status >= 500 || end.duration > secs(1);
                    (seen, good) = (seen + u32::from(is_bad), good + u32::from(!is_bad));
                }
            });
        }
        assert!(seen >= 1, "a bad request came");
        assert!(!route.was_rolled_back(), "{seen} of {good}: {}", route.reason());
    }
}
