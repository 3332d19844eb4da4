//! Rollouts that can be made: backends that are there, steps that do something, gates with limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{gates, unique};
use crate::{
    config::{
        code::Code,
        decode::Context,
        diagnostic::Diagnostic,
        emit::duration,
        freeze::{self, FreezeError},
        model::{
            Config, Route,
            rollout::{HookKind, RolloutPlan, Step},
        },
    },
    types::{Fraction, Name},
};

/// The longest interval and window of threshold gates, for which the data path keeps its counts.
const LONGEST_LOOK: Duration = Duration::from_secs(3600);

/// The largest share that a first step gives without a warning, in percent.
const FIRST: f64 = 5.0;

pub(super) fn check(config: &Config, cx: &mut Context) {
    let mut groups: BTreeMap<&Name, (usize, &[Step])> = BTreeMap::new();
    for (index, route) in config.routes.iter().enumerate() {
        let Some(plan) = route.rollout.as_deref() else { continue };
        let pointer = format!("/routes/{index}/rollout");
        self::plan((plan, route), &pointer, cx);
        let Some(group) = &plan.group else { continue };
        let (first, steps) = *groups.entry(group).or_insert((index, &plan.steps));
        let first = format!("/routes/{first}/rollout");
        if steps != plan.steps && !cx.is_wrong(&first) && !cx.is_wrong(&pointer) {
            let other = cx.source.span(&format!("{first}/group"));
            cx.complain(out_of_step(group, &pointer).and(other, "the first of the group"));
        }
    }
}

fn out_of_step(group: &Name, pointer: &str) -> Diagnostic {
    let message = format!("the routes of group `{group}` have different steps");
    let apart = Diagnostic::new(Code::RolloutGroup, &format!("{pointer}/group"), message);
    apart.help("routes that move in step have the same `steps`, or the same `preset`")
}

/// Checks a plan that stands alone against the other routes of its group.
pub(super) fn alone((plan, route): (&RolloutPlan, &Route), config: &Config, cx: &mut Context) {
    let Some(group) = &plan.group else { return };
    let others = config.routes.iter().filter(|other| other.name != route.name);
    let mut plans = others.filter_map(|other| other.rollout.as_deref());
    if plans.any(|other| other.group.as_ref() == Some(group) && other.steps != plan.steps) {
        cx.complain(out_of_step(group, ""));
    }
}

/// Checks the plan of a route; `pointer` is where it stands.
pub(super) fn plan((plan, route): (&RolloutPlan, &Route), pointer: &str, cx: &mut Context) {
    backends((plan, route), pointer, cx);
    for (at, step) in plan.steps.iter().enumerate() {
        let before = &plan.steps[..at];
        self::step((step, before), &format!("{pointer}/steps/{at}"), cx);
    }
    let analysis = format!("{pointer}/analysis");
    for (key, value) in [("interval", plan.analysis.interval), ("window", plan.analysis.window)] {
        if value > LONGEST_LOOK {
            let message = format!("`{key}` is at most 1h");
            cx.complain(Diagnostic::new(Code::RolloutRange, &format!("{analysis}/{key}"), message));
        }
    }
    gates::check(&plan.analysis, &analysis, cx);
    for (at, freeze) in plan.freeze.iter().enumerate() {
        self::freeze(freeze::check(freeze), &format!("{pointer}/freeze/{at}"), cx);
    }
    let hooks = plan.hooks.iter().enumerate().map(|(at, hook)| {
        let message = format!("two hooks are called `{}`", hook.name);
        (hook.name.as_str(), format!("{pointer}/hooks/{at}/name"), message)
    });
    unique(cx, Code::DuplicateName, hooks);
}

fn backends((plan, route): (&RolloutPlan, &Route), pointer: &str, cx: &mut Context) {
    if plan.baseline == plan.canary {
        let message = format!("`{}` is both baseline and canary", plan.canary);
        let same = Diagnostic::new(Code::RolloutBackends, &format!("{pointer}/canary"), message);
        cx.complain(same.help("a rollout goes from one backend to another"));
        return;
    }
    let shares = &route.split.backends;
    if route.policy.answer.is_some() {
        let message = format!("route `{}` answers itself, so there is nothing to roll out", route.name);
        let nothing = Diagnostic::new(Code::RolloutBackends, pointer, message);
        cx.complain(nothing.help("remove the rollout, or give the route a `split`"));
        return;
    }
    for (key, name) in [("baseline", &plan.baseline), ("canary", &plan.canary)] {
        // Of a name that is no backend at all, that was said.
        if cx.backends.contains(name.as_str()) && !shares.iter().any(|share| share.name == *name) {
            let message = format!("the split of route `{}` has no backend `{name}`", route.name);
            let missing = Diagnostic::new(Code::RolloutBackends, &format!("{pointer}/{key}"), message);
            cx.complain(
                missing
                    .help(format!("add `{name}: 0` to its `split.backends`: the rollout moves the weights")),
            );
        }
    }
}

/// The canary's share of its audience after these steps; `None` where nothing said it.
fn share(steps: &[Step]) -> Option<Fraction> {
    let last = steps.iter().rev().find(|step| step.weight.is_some() || has_audience(step))?;
    Some(last.weight.unwrap_or(Fraction::ALL))
}

fn has_audience(step: &Step) -> bool {
    !(step.segments.is_empty() && step.regions.is_empty())
}

fn step((step, before): (&Step, &[Step]), pointer: &str, cx: &mut Context) {
    let share =
        step.weight.or_else(|| if has_audience(step) { Some(Fraction::ALL) } else { self::share(before) });
    let everything = share == Some(Fraction::ALL) && !has_audience(step);
    if *step == Step::default() && !cx.is_wrong_within(pointer) {
        let nothing = Diagnostic::new(Code::Step, pointer, "a step that does nothing");
        cx.complain(nothing.help("give it a `weight`, a `hold` or an `approval`: `{ weight: 5, hold: 5m }`"));
    }
    if !step.bake.is_zero() && !everything {
        let message = "only a step that gives the canary everything bakes";
        let early = Diagnostic::new(Code::Step, &format!("{pointer}/bake"), message);
        cx.complain(early.help("write `hold`, or `weight: 100`"));
    }
    if step.mirror.is_some() && everything {
        let message = "the canary has everything, so there is nothing to copy";
        let late = Diagnostic::new(Code::Step, &format!("{pointer}/mirror"), message);
        cx.complain(late.help("remove `mirror`"));
    }
}

fn freeze(checked: Result<(), FreezeError>, pointer: &str, cx: &mut Context) {
    let Err(error) = checked else { return };
    let (code, key, help) = match &error {
        FreezeError::Cron { .. } | FreezeError::Never(_) => (
            Code::FreezeTime,
            "cron",
            "minute, hour, day of the month, month, day of the week: `\"0 16 * * FRI\"`",
        ),
        FreezeError::Zone(_) => (Code::FreezeTime, "zone", "write it such as `Europe/Berlin`"),
        FreezeError::TooLong => {
            (Code::RolloutRange, "for", "whoever never wants a step uses `start: command`")
        }
    };
    cx.complain(Diagnostic::new(code, &format!("{pointer}/{key}"), error.to_string()).help(help));
}

// === warnings ===

/// Warns of plans that work, but hardly as they were meant.
pub(super) fn warn(config: &Config, cx: &mut Context) {
    for (index, route) in config.routes.iter().enumerate() {
        if let Some(plan) = route.rollout.as_deref() {
            odd(plan, &format!("/routes/{index}/rollout"), cx);
        }
    }
}

/// Warns of what is odd about a plan. Steps of a preset are as they are meant.
pub(super) fn odd(plan: &RolloutPlan, pointer: &str, cx: &mut Context) {
    if plan.analysis.gates.is_empty() {
        let message = "nothing judges the canary: the rollout goes on whatever it does";
        let place = [format!("{pointer}/analysis/gates"), format!("{pointer}/analysis"), pointer.to_owned()];
        let place = place.iter().find(|place| cx.source.has(place)).map_or(pointer, |place| place);
        let blind = Diagnostic::new(Code::NoGates, place, message);
        cx.complain(blind.help("add gates to its `analysis`: `- { metric: error_rate, max: 1% }`"));
    }
    let lasts: Duration = plan.steps.iter().map(|step| step.hold + step.bake).sum();
    if !plan.deadline.is_zero() && lasts > plan.deadline {
        let (lasts, deadline) = (duration(lasts), duration(plan.deadline));
        let message = format!("the steps last {lasts}, and the deadline is {deadline}");
        let short = Diagnostic::new(Code::DeadlineShort, &format!("{pointer}/deadline"), message);
        cx.complain(short.help("`deadline: 0s` is without end"));
    }
    if cx.source.has(&format!("{pointer}/steps")) {
        steps(plan, &format!("{pointer}/steps"), cx);
    }
}

fn steps(plan: &RolloutPlan, pointer: &str, cx: &mut Context) {
    let first = plan.steps.first().filter(|step| !has_audience(step)).and_then(|step| step.weight);
    if let Some(share) = first.filter(|share| share.as_f64() * 100.0 > FIRST) {
        let message = format!("the first step gives the canary {share} at once");
        let bold = Diagnostic::new(Code::FirstStep, &format!("{pointer}/0/weight"), message);
        cx.complain(bold.help("what is wrong with it meets fewer users at 5% or less"));
    }
    let asks = plan.hooks.iter().any(|hook| hook.kind == HookKind::ConfirmStep);
    let mut most: BTreeMap<[BTreeSet<&Name>; 2], Fraction> = BTreeMap::new();
    for (at, step) in plan.steps.iter().enumerate() {
        let place = format!("{pointer}/{at}");
        let audience = [&step.segments, &step.regions].map(|names| names.iter().collect::<BTreeSet<&Name>>());
        if let Some(weight) = step.weight {
            let before = most.entry(audience).or_insert(weight);
            if *before > weight {
                let message = format!("the canary gets {weight} after {before}");
                let down = Diagnostic::new(Code::StepDown, &format!("{place}/weight"), message);
                cx.complain(down.help("steps go up; a rollback is what goes down"));
            }
            *before = weight.max(*before);
        }
        let waits = !step.hold.is_zero() || !step.bake.is_zero() || step.approval.is_some() || asks;
        if !waits && at + 1 < plan.steps.len() {
            let brief =
                Diagnostic::new(Code::NoHold, &place, "the step ends at once, before gates see anything");
            cx.complain(brief.help("give it a `hold` or an `approval`"));
        }
    }
    ends(plan, pointer, cx);
}

fn ends(plan: &RolloutPlan, pointer: &str, cx: &mut Context) {
    let Some(last) = plan.steps.last() else { return };
    let share = share(&plan.steps).unwrap_or(Fraction::NONE);
    let audience = plan.steps.iter().rev().find(|step| step.weight.is_some() || has_audience(step));
    let of = if audience.is_some_and(has_audience) { " of an audience" } else { "" };
    if share != Fraction::ALL || !of.is_empty() {
        let message = format!("the last step leaves the canary with {share}{of}");
        let place = format!("{pointer}/{}", plan.steps.len() - 1);
        let place = if last.weight.is_some() { format!("{place}/weight") } else { place };
        let short = Diagnostic::new(Code::EndsShort, &place, message);
        cx.complain(short.help("a rollout ends with `weight: 100`"));
    }
}
