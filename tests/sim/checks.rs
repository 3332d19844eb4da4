//! What has to hold after every step of the machine, whatever happened.

use std::time::Duration;

use weir::{
    config::model::rollout::{HookKind, OnFailure},
    rollout::{
        judge::Decision,
        machine::{self, Command, Effect, Event, HookStatus, Phase, Rollout, Spread, Target, Tick, Turn},
    },
};

/// What does not hold, in words.
pub(crate) type Checked = Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($words:tt)*) => {
        if !$holds {
            return Err(format!($($words)*));
        }
    };
}
pub(crate) use ensure;

/// Checks one turn of the machine.
pub(crate) fn turn(before: &Rollout, event: &Event, turn: &Turn) -> Checked {
    let after = &turn.rollout;
    entries(before, turn)?;
    stages(before, event, turn)?;
    phases(before, event, after)?;
    dwell(before, event, after)?;
    if let Event::Tick(tick) = event {
        failed_gate(before, tick, after)?;
        deadline(before, tick, after)?;
    }
    forward(before, event, after)
}

fn entries(before: &Rollout, turn: &Turn) -> Checked {
    let mut seq = before.seq;
    for entry in &turn.entries {
        ensure!(entry.seq == seq + 1, "entry {} follows entry {seq}", entry.seq);
        seq = entry.seq;
    }
    ensure!(turn.rollout.seq == seq, "the last entry is {seq}, the rollout says {}", turn.rollout.seq);
    let told = turn.effects.iter().filter_map(|effect| match effect {
        Effect::Tell { occasion, seq } => Some((*occasion, *seq)),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    for (at, one) in told.iter().enumerate() {
        ensure!(one.1 > before.seq && one.1 <= seq, "told of entry {}, which is not of this turn", one.1);
        ensure!(!told[..at].contains(one), "told twice of entry {}", one.1);
    }
    Ok(())
}

fn spread_of(rollout: &Rollout, target: Target) -> Option<Spread> {
    match target {
        Target::Step(step) => Some(Spread::of(&rollout.plan.steps, step)),
        _ => None,
    }
}

fn stages(before: &Rollout, event: &Event, turn: &Turn) -> Checked {
    let (old, new) = (&before.traffic, &turn.rollout.traffic);
    ensure!(new.stage >= old.stage, "stage {} after {}", new.stage, old.stage);
    if new.stage == old.stage {
        let same = match (spread_of(before, old.target), spread_of(before, new.target)) {
            (Some(old), Some(new)) => old == new,
            _ => old.target == new.target,
        };
        ensure!(same, "{:?} and {:?} have the same stage number {}", old.target, new.target, new.stage);
    } else if matches!(event, Event::Manual(..)) {
        ensure!(new.target == old.target, "weights set by hand made {:?} of {:?}", new.target, old.target);
        return Ok(());
    } else {
        ensure!(!new.in_force, "stage {} is in force before anybody made it so", new.stage);
        ensure!(
            turn.effects.first() == Some(&Effect::SetTraffic),
            "the traffic is not the first effect: {:?}",
            turn.effects
        );
    }
    let made_so = matches!(event, Event::InForce(stage) if *stage == new.stage);
    ensure!(
        !new.in_force || (old.in_force && old.stage == new.stage) || made_so,
        "in force without an answer"
    );
    Ok(())
}

fn phases(before: &Rollout, event: &Event, after: &Rollout) -> Checked {
    let is_undo = matches!(event, Event::Command(Command::Undo, _));
    if before.phase.is_over() && !is_undo {
        ensure!(
            after.phase == before.phase && after.traffic == before.traffic,
            "{:?} is over and moved",
            before.phase
        );
    }
    if before.phase.is_over() && is_undo && before.phase != Phase::Promoted {
        ensure!(after == before, "there is nothing to undo");
    }
    if before.phase == Phase::RollingBack {
        let ending = before.ending.as_ref().map(|ending| ending.phase);
        let fits = after.phase == Phase::RollingBack || Some(after.phase) == ending;
        ensure!(fits, "from rolling back to {:?}", after.phase);
        ensure!(after.ending == before.ending, "the reason of an ending changed");
    }
    match after.phase {
        Phase::RollingBack => {
            ensure!(
                after.traffic.target == Target::Withdrawn && after.ending.is_some(),
                "rolls back {:?}",
                after.traffic
            );
        }
        Phase::RolledBack | Phase::Aborted | Phase::Superseded => {
            ensure!(
                after.traffic.target == Target::Withdrawn && after.traffic.in_force,
                "over with {:?}",
                after.traffic
            );
            ensure!(after.ended_ms.is_some() && after.ending.is_some(), "over without an end");
        }
        Phase::Promoted => {
            ensure!(
                after.traffic.target == Target::Promoted && after.traffic.in_force,
                "over with {:?}",
                after.traffic
            );
        }
        Phase::Paused => {
            let withdrawn = after.paused.as_ref().map(|paused| paused.withdrawn);
            ensure!(withdrawn.is_some(), "paused for nothing");
            ensure!(
                withdrawn != Some(true) || after.traffic.target == Target::Withdrawn,
                "paused with {:?}",
                after.traffic
            );
        }
        Phase::Waiting => {
            ensure!(after.traffic.target == Target::Untouched, "waits with {:?}", after.traffic)
        }
        Phase::Progressing | Phase::AwaitingApproval | Phase::Baking => {}
    }
    ensure!(after.phase == Phase::Paused || after.paused.is_none(), "{:?} and paused", after.phase);
    Ok(())
}

fn dwell(before: &Rollout, event: &Event, after: &Rollout) -> Checked {
    let elapsed = match event {
        Event::Tick(tick) => tick.elapsed,
        _ => Duration::ZERO,
    };
    let begins_anew =
        after.traffic.stage != before.traffic.stage || after.traffic.target != before.traffic.target;
    ensure!(
        after.dwell <= before.dwell + elapsed,
        "dwell grew from {:?} to {:?} in {elapsed:?}",
        before.dwell,
        after.dwell
    );
    ensure!(
        after.dwell >= before.dwell || begins_anew,
        "dwell shrank from {:?} to {:?}",
        before.dwell,
        after.dwell
    );
    let counts = before.traffic.in_force && matches!(before.traffic.target, Target::Step(_));
    ensure!(counts || after.dwell <= before.dwell, "dwell grew while {:?}", before.traffic);
    Ok(())
}

/// A gate that failed takes the canary away in the same turn, as the plan says.
fn failed_gate(before: &Rollout, tick: &Tick, after: &Rollout) -> Checked {
    let Decision::Fail(reason) = &tick.decision else { return Ok(()) };
    let has_traffic = matches!(before.traffic.target, Target::Step(_) | Target::Promoted);
    if before.phase.is_over() || before.phase == Phase::RollingBack || !has_traffic {
        return Ok(());
    }
    let ends = matches!(after.phase, Phase::RollingBack);
    let (traffic, phase) = (&after.traffic, after.phase);
    match before.plan.on_failure {
        OnFailure::Rollback => ensure!(ends, "a gate failed, and it is {phase:?}"),
        _ if reason.gate == "blast_radius" => ensure!(ends, "too much has failed, and it is {phase:?}"),
        OnFailure::Pause => {
            let withdrawn =
                traffic.target == Target::Withdrawn && matches!(phase, Phase::Paused | Phase::RollingBack);
            ensure!(withdrawn, "a gate failed, and it is {phase:?} with {traffic:?}");
        }
        OnFailure::Freeze => {
            let stays = phase == Phase::Paused && traffic.target == before.traffic.target;
            ensure!(stays || ends, "a gate failed, and it is {phase:?} with {traffic:?}");
        }
    }
    Ok(())
}

fn deadline(before: &Rollout, tick: &Tick, after: &Rollout) -> Checked {
    let deadline = before.plan.deadline;
    if before.phase.is_over() {
        return Ok(());
    }
    ensure!(
        after.age == before.age + tick.elapsed,
        "age {:?} after {:?} and {:?}",
        after.age,
        before.age,
        tick.elapsed
    );
    let late = !deadline.is_zero() && after.age >= deadline;
    ensure!(
        !late || after.phase == Phase::RollingBack,
        "{:?} at {:?}, after the deadline",
        after.phase,
        after.age
    );
    Ok(())
}

/// Whether somebody's hand moved it, or everything that has to agree did.
fn forward(before: &Rollout, event: &Event, after: &Rollout) -> Checked {
    let (from, to) = (before.traffic.target, after.traffic.target);
    if from == to || !matches!(to, Target::Step(_) | Target::Promoted) {
        return Ok(());
    }
    ensure!(
        !before.phase.is_over() && before.phase != Phase::RollingBack,
        "{:?} moved to {to:?}",
        before.phase
    );
    match event {
        Event::Command(Command::Promote | Command::PromoteFull, _) => Ok(()),
        Event::Tick(tick) => automatic(before, tick, after),
        _ => Err(format!("{event:?} moved it from {from:?} to {to:?}")),
    }
}

fn automatic(before: &Rollout, tick: &Tick, after: &Rollout) -> Checked {
    let (from, to) = (before.traffic.target, after.traffic.target);
    let fits = matches!(before.phase, Phase::Waiting | Phase::Progressing | Phase::Baking);
    ensure!(fits, "{:?} moved by itself", before.phase);
    let steps = &before.plan.steps;
    let reaches = spread_of(before, to).is_some_and(|spread| spread.reaches_canary());
    if matches!(to, Target::Step(_)) {
        ensure!(tick.frozen.is_none(), "moved in a freeze window");
        ensure!(tick.unhealthy.is_none() || !reaches, "moved to a canary that is not healthy");
    }
    let agreed = |kind: HookKind, step: usize| {
        let hooks = before.plan.hooks.iter().enumerate().filter(|(_, hook)| hook.kind == kind);
        let mut states = hooks
            .map(|(place, _)| before.hooks.iter().find(|state| state.hook == place && state.step == step));
        states.all(|state| state.is_some_and(|state| state.status == HookStatus::Passed))
    };
    let step = match (from, to) {
        (Target::Untouched, Target::Step(0)) => {
            ensure!(tick.behind.is_none(), "began while another one is under way");
            ensure!(
                agreed(HookKind::ConfirmRollout, 0) && agreed(HookKind::PreRollout, 0),
                "began without its hooks"
            );
            return Ok(());
        }
        (Target::Withdrawn, Target::Step(step)) => {
            ensure!(step == before.step, "began step {step} anew instead of step {}", before.step);
            return Ok(());
        }
        (Target::Step(step), Target::Step(next)) if next == step + 1 => step,
        (Target::Step(step), Target::Promoted) if step + 1 == steps.len() => step,
        _ => return Err(format!("from {from:?} to {to:?} by itself")),
    };
    let is_go = tick.decision == Decision::Go;
    ensure!(is_go, "moved although the gates say {:?}", tick.decision);
    ensure!(before.traffic.in_force, "moved on before the step was in force");
    let (lasted, hold) = (before.dwell + tick.elapsed, steps[step].hold.max(steps[step].bake));
    ensure!(lasted >= hold, "step {step} ended after {lasted:?} of {hold:?}");
    ensure!(agreed(HookKind::ConfirmStep, step), "moved without the hooks of the step");
    ensure!(
        steps[step].approval.is_none() || before.approval.given_by.is_some(),
        "moved without an approval"
    );
    let spread = |step: usize| Spread::of(steps, step);
    match to {
        Target::Step(next) if spread(next).is_everything() && !spread(step).is_everything() => {
            ensure!(agreed(HookKind::ConfirmPromotion, step), "gave everything without its hooks");
        }
        Target::Promoted => ensure!(spread(step).is_everything(), "promoted from {:?}", spread(step)),
        _ => {}
    }
    Ok(())
}

/// Events that come late, or a second time, change nothing.
pub(crate) fn repeats(rollout: &Rollout, now_ms: u64) -> Checked {
    let stage = rollout.traffic.stage;
    let mut late = vec![Event::InForce(stage.wrapping_sub(1)), Event::InForce(stage + 1)];
    late.push(Event::Refused(stage.wrapping_sub(1), "busy".to_owned()));
    if rollout.traffic.in_force {
        late.push(Event::InForce(stage));
    }
    for (hook, _) in rollout.plan.hooks.iter().enumerate() {
        let runs = |step: usize| {
            rollout
                .hooks
                .iter()
                .any(|state| (state.hook, state.step, state.status) == (hook, step, HookStatus::Running))
        };
        for step in (0..rollout.plan.steps.len()).filter(|step| !runs(*step)) {
            late.push(Event::Hook { hook, step, answer: machine::HookAnswer::No("too late".to_owned()) });
        }
    }
    for event in late {
        let turn = machine::step(rollout, &event, now_ms);
        let nothing = turn.rollout == *rollout && turn.effects.is_empty() && turn.entries.is_empty();
        ensure!(
            nothing,
            "{event:?} came late and did something: {:?} {:?}",
            turn.rollout.phase,
            turn.effects
        );
    }
    Ok(())
}

/// The wall clock decides nothing.
pub(crate) fn any_clock(before: &Rollout, event: &Event, turn: &Turn, other_ms: u64) -> Checked {
    let other = machine::step(before, event, other_ms);
    let of = |rollout: &Rollout| {
        let statuses: Vec<_> = rollout.steps.iter().map(|step| step.status).collect();
        (
            rollout.phase,
            rollout.traffic.clone(),
            rollout.dwell,
            rollout.age,
            rollout.seq,
            rollout.hooks.clone(),
            statuses,
        )
    };
    ensure!(
        of(&other.rollout) == of(&turn.rollout) && other.effects == turn.effects,
        "the wall clock decides"
    );
    Ok(())
}
