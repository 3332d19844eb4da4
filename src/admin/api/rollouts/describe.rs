//! A rollout as it goes over the wire.

use std::time::Duration;

use serde::Serialize;

use crate::{
    admin::api::{
        config,
        types::rollout::{
            AwaitedApproval, LiveRoute, Measured, PausedRollout, Phase, Reason, Rollout, RolloutActor,
            RolloutEnding, RolloutEntry, RolloutHook, RolloutStep, RolloutSummary, RolloutTraffic,
            RouteRollout,
        },
    },
    config::{
        model::rollout::{Metric, Step},
        plan_to_json,
    },
    control::audit::rfc3339,
    rollout::{
        driver::{Board, Shown},
        judge::Decision,
        machine::{self, Entry, HookStatus, Spread, Target},
        reason::percent,
        sums::Sums,
    },
    types::{Fraction, Name},
};

/// What a list has of a rollout.
pub(in crate::admin) fn summary(rollout: &machine::Rollout) -> RolloutSummary {
    RolloutSummary {
        id: rollout.id.clone(),
        routes: rollout.routes.clone(),
        baseline: rollout.plan.baseline.clone(),
        canary: rollout.plan.canary.clone(),
        version: rollout.plan.version.clone(),
        phase: rollout.phase,
        active: !rollout.phase.is_over(),
        step: step(rollout),
        step_count: rollout.plan.steps.len(),
        share: share(rollout).as_f64(),
        seconds_left: left(rollout),
        by: rollout.by.clone(),
        began_at: at(rollout.began_ms),
        ended_at: rollout.ended_ms.map(at),
        reason: reason(rollout).cloned(),
    }
}

/// Everything of a rollout.
pub(super) fn whole(shown: &Shown) -> Rollout {
    let rollout = &*shown.rollout;
    let mut plan = plan_to_json(&rollout.plan);
    config::withhold([&mut plan, &mut serde_json::Value::Null]);
    Rollout {
        summary: summary(rollout),
        attempt: rollout.attempt,
        retries: rollout.retries.clone(),
        why: rollout.why.clone(),
        after: rollout.after.clone(),
        age_seconds: rollout.age.as_secs_f64(),
        traffic: traffic(rollout),
        dwell_seconds: rollout.dwell.as_secs_f64(),
        hold_seconds: rollout.hold().as_secs_f64(),
        waits_for: rollout.waits_for.clone(),
        held: rollout.held.clone(),
        paused: rollout.paused.as_ref().map(|paused| PausedRollout {
            reason: paused.reason.clone(),
            by: paused.by.clone(),
            withdrawn: paused.withdrawn,
        }),
        approval: approval(rollout),
        ending: ending(rollout),
        steps: steps(rollout),
        hooks: rollout.hooks.iter().map(|hook| self::hook(rollout, hook)).collect(),
        live: live(shown),
        plan,
    }
}

/// An entry of the journal.
pub(in crate::admin) fn entry(entry: &Entry) -> RolloutEntry {
    RolloutEntry {
        seq: entry.seq,
        at: at(entry.at_ms),
        phase: entry.phase,
        step: entry.step + 1,
        words: entry.words.clone(),
        reason: entry.reason.clone(),
        by: entry.by.as_ref().map(|by| RolloutActor { actor: by.actor.clone(), reason: by.reason.clone() }),
    }
}

/// The rollout that has a route, while one does.
pub(in crate::admin) fn of_route(board: &Board, route: &Name) -> Option<RouteRollout> {
    let newest = board.newest_of(route.as_str()).map(|shown| &shown.rollout);
    let rollout = newest.filter(|rollout| !rollout.phase.is_over())?;
    Some(RouteRollout {
        id: rollout.id.clone(),
        canary: rollout.plan.canary.clone(),
        phase: rollout.phase,
        step: step(rollout),
        step_count: rollout.plan.steps.len(),
        seconds_left: left(rollout),
    })
}

/// What is seen of each route while the canary has traffic.
pub(in crate::admin) fn live(shown: &Shown) -> Vec<LiveRoute> {
    let rollout = &shown.rollout;
    if rollout.phase.is_over() || rollout.spread().is_none() {
        return Vec::new();
    }
    let routes = rollout.routes.iter().filter_map(|route| {
        let seen = shown.seen.get(route)?;
        let assessment = shown.assessments.get(route);
        let (decision, why) = match assessment.map(|assessment| &assessment.decision) {
            None => (None, None),
            Some(Decision::Go) => (Some("go"), None),
            Some(Decision::Wait(why)) => (Some("wait"), Some(why)),
            Some(Decision::Hold(why)) => (Some("hold"), Some(why)),
            Some(Decision::Fail(why)) => (Some("fail"), Some(why)),
        };
        Some(LiveRoute {
            route: route.clone(),
            decision: decision.map(str::to_owned),
            why: why.map(|why| (**why).clone()),
            gates: assessment.map(|assessment| assessment.gates.clone()).unwrap_or_default(),
            baseline: measured(&rollout.plan.baseline, &seen.baseline),
            canary: measured(&rollout.plan.canary, &seen.canary),
        })
    });
    routes.collect()
}

fn measured(backend: &Name, sums: &Sums) -> Measured {
    let value = |metric| sums.value(metric, Duration::ZERO);
    Measured {
        backend: backend.clone(),
        requests: sums.requests,
        errors: sums.errors,
        error_ratio: value(Metric::ErrorRate),
        p50_seconds: value(Metric::Latency(0.5)),
        p95_seconds: value(Metric::Latency(0.95)),
        p99_seconds: value(Metric::Latency(0.99)),
    }
}

/// The step as people count; 0 before the first.
fn step(rollout: &machine::Rollout) -> usize {
    if rollout.steps.first().is_some_and(|first| first.began_ms.is_none()) { 0 } else { rollout.step + 1 }
}

/// The canary's share of the audience now.
fn share(rollout: &machine::Rollout) -> Fraction {
    match rollout.traffic.target {
        Target::Promoted => Fraction::ALL,
        _ => rollout.spread().map_or(Fraction::NONE, |spread| spread.share),
    }
}

fn left(rollout: &machine::Rollout) -> Option<f64> {
    let runs = matches!(rollout.phase, Phase::Progressing | Phase::Baking);
    (runs && matches!(rollout.traffic.target, Target::Step(_))).then(|| rollout.left().as_secs_f64())
}

/// Why it ended, is paused, or does not move.
fn reason(rollout: &machine::Rollout) -> Option<&Reason> {
    let ending = rollout.ending.as_ref().map(|ending| &ending.reason);
    let paused = rollout.paused.as_ref().map(|paused| &paused.reason);
    ending.or(paused).or(rollout.held.as_ref()).or(rollout.waits_for.as_ref())
}

fn traffic(rollout: &machine::Rollout) -> RolloutTraffic {
    let spread = rollout.spread();
    RolloutTraffic {
        stage: rollout.traffic.stage,
        target: match rollout.traffic.target {
            Target::Untouched => "untouched",
            Target::Step(_) => "step",
            Target::Withdrawn => "withdrawn",
            Target::Promoted => "promoted",
        }
        .to_owned(),
        in_force: rollout.traffic.in_force,
        share: share(rollout).as_f64(),
        mirror: spread.as_ref().and_then(|spread| spread.mirror).map(Fraction::as_f64),
        segments: spread.as_ref().map(|spread| spread.segments.clone()).unwrap_or_default(),
        regions: spread.map(|spread| spread.regions).unwrap_or_default(),
    }
}

fn approval(rollout: &machine::Rollout) -> Option<AwaitedApproval> {
    if rollout.phase != Phase::AwaitingApproval {
        return None;
    }
    let wanted = rollout.plan.steps.get(rollout.step)?.approval.as_ref()?;
    let waited = rollout.approval.waited;
    let left = wanted.timeout.saturating_sub(waited).as_secs_f64();
    Some(AwaitedApproval {
        roles: wanted.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        waited_seconds: waited.as_secs_f64(),
        seconds_left: (!wanted.timeout.is_zero()).then_some(left),
        on_timeout: word(&wanted.on_timeout),
    })
}

fn ending(rollout: &machine::Rollout) -> Option<RolloutEnding> {
    let ending = rollout.ending.as_ref()?;
    let began = rollout.steps.get(rollout.step).is_some_and(|step| step.began_ms.is_some());
    let from = if began { Spread::of(&rollout.plan.steps, rollout.step).share } else { Fraction::NONE };
    Some(RolloutEnding {
        phase: ending.phase,
        reason: ending.reason.clone(),
        by: ending.by.clone(),
        decided_at: at(ending.decided_ms),
        took_seconds: rollout.ended_ms.map(|ended| seconds_between(ending.decided_ms, ended)),
        from_share: from.as_f64(),
    })
}

fn steps(rollout: &machine::Rollout) -> Vec<RolloutStep> {
    let all = rollout.plan.steps.iter().zip(&rollout.steps).enumerate();
    let describe = |(place, (planned, state)): (usize, (&Step, &machine::StepState))| RolloutStep {
        number: place + 1,
        status: state.status,
        what: what(planned),
        share: Spread::of(&rollout.plan.steps, place).share.as_f64(),
        hold_seconds: planned.hold.max(planned.bake).as_secs_f64(),
        approval: planned.approval.is_some(),
        began_at: state.began_ms.map(at),
        ended_at: state.ended_ms.map(at),
        took_seconds: state.began_ms.zip(state.ended_ms).map(|(began, ended)| seconds_between(began, ended)),
        gates: state.gates.clone(),
    };
    all.map(describe).collect()
}

/// A step for people.
fn what(step: &Step) -> String {
    let list = |names: &[Name]| names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    let mut words = Vec::new();
    if !step.segments.is_empty() {
        words.push(format!("segment {}", list(&step.segments)));
    }
    if !step.regions.is_empty() {
        words.push(format!("region {}", list(&step.regions)));
    }
    words.extend(step.weight.map(|share| format!("weight {}", percent(share.as_f64()))));
    words.extend(step.mirror.map(|share| format!("mirror {}", percent(share.as_f64()))));
    if words.is_empty() {
        words.push(if step.approval.is_some() { "approval" } else { "hold" }.to_owned());
    } else if step.approval.is_some() {
        words.push("then approval".to_owned());
    }
    words.join(" ")
}

fn hook(rollout: &machine::Rollout, hook: &machine::HookState) -> RolloutHook {
    let status = match hook.status {
        HookStatus::Due(_) => "due",
        HookStatus::Running => "running",
        HookStatus::Passed => "passed",
        HookStatus::Failed => "failed",
        HookStatus::Unknown => "unknown",
    };
    RolloutHook {
        hook: rollout.plan.hooks.get(hook.hook).map_or_else(String::new, |declared| declared.name.clone()),
        step: hook.step + 1,
        status: status.to_owned(),
        calls: hook.calls,
        said: hook.said.clone(),
    }
}

/// The word by which a choice of the control file is written there.
fn word(choice: &impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn at(ms: u64) -> String {
    rfc3339(Duration::from_millis(ms))
}

fn seconds_between(from_ms: u64, to_ms: u64) -> f64 {
    Duration::from_millis(to_ms.saturating_sub(from_ms)).as_secs_f64()
}
