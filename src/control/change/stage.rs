//! Stages of rollouts: what a step, a promotion or a rollback makes of the weights, and who else may touch them meanwhile.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Plan, backend, json_weights, put, split_route, unchanged};
use crate::{
    config::model,
    control::{
        command::{StageChange, StageTarget},
        refusal::Refusal,
        state::{self, State},
    },
    types::{BUCKETS, Fraction, Left, Name, Overlay, RouteOverlay, Stage, Weight},
};

/// The two versions of a rollout.
type Pair<'s> = (&'s Name, &'s Name);

/// Moves routes from stage to stage, all or none.
pub(super) fn set_stages(state: &State, routes: &BTreeMap<Name, StageChange>) -> Result<Plan, Refusal> {
    let mut overlay = Overlay::clone(&state.overlay);
    let (mut from, mut to, mut warnings) = (Map::new(), Map::new(), Vec::new());
    for (name, change) in routes {
        let before = overlay.routes.get(name).cloned().unwrap_or_default();
        let mut after = match &change.to {
            StageTarget::Stage(stage) => {
                check(state, (name, &before), (stage, change.is_withdrawal()))?;
                enter(state, split_route(state, name.as_str())?, &before, stage)
            }
            StageTarget::Out { rollout, number, share, again } => {
                let versions = match (&before.stage, again) {
                    (Some(stage), _) if stage.rollout == *rollout => Some((&stage.baseline, &stage.canary)),
                    (None, Some((baseline, canary))) => Some((baseline, canary)),
                    _ => None,
                };
                let mut after = match versions {
                    Some(versions) => leave(state, name, (&before, versions), *share),
                    None => {
                        warnings.push(format!("rollout {rollout} does not have route `{name}`"));
                        before.clone()
                    }
                };
                // A step that was decided before and comes after this, past a withdrawal that did not wait, must find out.
                after.left = Some(Left { rollout: rollout.clone(), number: *number });
                after
            }
        };
        let moves = RouteOverlay { left: before.left.clone(), ..after.clone() } != before;
        if !moves {
            put(&mut overlay, name, after);
            continue;
        }
        if change.raise_epoch {
            after.epoch = after.epoch.saturating_add(1);
        }
        if let Ok(route) = state.route(name.as_str()) {
            takes_somebody(state, route, (&after, change.is_withdrawal()))?;
        }
        from.insert(name.to_string(), told(state, name, &before));
        to.insert(name.to_string(), told(state, name, &after));
        put(&mut overlay, name, after);
    }
    let only = routes.keys().next().filter(|_| routes.len() == 1);
    Ok(Plan {
        changed: overlay != *state.overlay,
        overlay,
        from: from.into(),
        to: to.into(),
        warnings,
        ..unchanged(state, only)
    })
}

/// Whether a rollout leaves the route to others.
///
/// # Errors
/// [`Refusal::RolloutActive`] when it does not.
pub(super) fn no_rollout_on(state: &State, route: &Name) -> Result<(), Refusal> {
    match state.stage(route) {
        Some(stage) => Err(Refusal::RolloutActive { route: route.clone(), rollout: stage.rollout.clone() }),
        None => Ok(()),
    }
}

/// Notes that somebody has set the weights of a rollout's route by hand; says whether that is news. What is measured since belongs to a
/// stage of its own, so that a step which was decided before comes too late ([`Refusal::StaleStage`]).
pub(super) fn take_over(
    state: &State,
    route: &model::Route,
    (wanted, differs): (&mut RouteOverlay, bool),
) -> bool {
    if state.stage(&route.name).is_none() {
        return false;
    }
    let weights = state::weights(route, Some(wanted));
    let Some(stage) = &mut wanted.stage else { return false };
    if stage.manual && !differs {
        return false;
    }
    stage.manual = true;
    stage.number = stage.number.saturating_add(1);
    let of = |name: &Name| weights.iter().find(|(known, _)| known == name).map_or(0, |(_, w)| w.micros());
    let (baseline, canary) = (of(&stage.baseline), of(&stage.canary));
    if !stage.has_audience() && baseline + canary > 0 {
        stage.share = part_of(canary, baseline + canary);
    }
    true
}

/// Whether the stage can be put in force.
fn check(
    state: &State,
    (name, before): (&Name, &RouteOverlay),
    (stage, withdraws): (&Stage, bool),
) -> Result<(), Refusal> {
    let route = split_route(state, name.as_str())?;
    for version in [&stage.baseline, &stage.canary] {
        backend(route, version.as_str())?;
    }
    if let Some(segment) =
        stage.segments.iter().find(|segment| !state.file.config.segments.contains_key(*segment))
    {
        return Err(Refusal::UnknownSegment { segment: segment.clone() });
    }
    if let Some(left) = before.left.as_ref().filter(|left| left.rollout == stage.rollout)
        && left.number >= stage.number
    {
        return Err(Refusal::StaleStage {
            route: name.clone(),
            rollout: stage.rollout.clone(),
            number: stage.number,
            actual: left.number,
        });
    }
    match before.stage.as_ref().filter(|now| now.rollout == stage.rollout) {
        Some(now) if now != stage && now.number >= stage.number && !withdraws => Err(Refusal::StaleStage {
            route: name.clone(),
            rollout: stage.rollout.clone(),
            number: stage.number,
            actual: now.number,
        }),
        _ if withdraws || stage.share == Fraction::NONE || stage.has_audience() => Ok(()),
        _ => {
            let weights = state.weights(route);
            let versions = [&stage.baseline, &stage.canary];
            match weights.iter().all(|(name, weight)| weight.is_zero() || !versions.contains(&name)) {
                true => Err(Refusal::NothingToShare {
                    route: name.clone(),
                    baseline: stage.baseline.clone(),
                    canary: stage.canary.clone(),
                }),
                false => Ok(()),
            }
        }
    }
}

fn enter(state: &State, route: &model::Route, before: &RouteOverlay, stage: &Stage) -> RouteOverlay {
    let mut after = before.clone();
    let share = if stage.has_audience() { Fraction::NONE } else { stage.share };
    if before.stage.as_ref() != Some(stage) {
        share_out(&state.weights(route), &mut after.weights, (&stage.baseline, &stage.canary), share);
    }
    after.stage = Some(stage.clone());
    after
}

fn leave(
    state: &State,
    name: &Name,
    (before, versions): (&RouteOverlay, Pair<'_>),
    share: Option<Fraction>,
) -> RouteOverlay {
    let mut after = RouteOverlay { stage: None, ..before.clone() };
    if let (Some(share), Ok(route)) = (share, state.route(name.as_str())) {
        share_out(&state.weights(route), &mut after.weights, versions, share);
    }
    after
}

/// Gives the canary its share of what the two versions have together. One that left the split has nothing, also when it comes back.
fn share_out(
    now: &[(Name, Weight)],
    weights: &mut BTreeMap<Name, Weight>,
    (baseline, canary): Pair<'_>,
    share: Fraction,
) {
    let of = |name: &Name| now.iter().find(|(known, _)| known == name).map(|(_, weight)| weight.micros());
    match (of(baseline), of(canary)) {
        (Some(old), Some(new)) => {
            let total = old + new;
            let part = u128::from(total) * u128::from(share.buckets()) + u128::from(BUCKETS / 2);
            let part = u64::try_from(part / u128::from(BUCKETS)).unwrap_or(total).min(total);
            weights.insert(baseline.clone(), Weight::from_micros(total - part));
            weights.insert(canary.clone(), Weight::from_micros(part));
        }
        (Some(_), None) => drop(weights.insert(canary.clone(), Weight::ZERO)),
        (None, Some(_)) => drop(weights.insert(baseline.clone(), Weight::ZERO)),
        (None, None) => {}
    }
}

/// Whether somebody is left who takes new users. A drain gives way to a withdrawal: it is not in force where it would stop the route.
fn takes_somebody(
    state: &State,
    route: &model::Route,
    (after, withdraws): (&RouteOverlay, bool),
) -> Result<(), Refusal> {
    let none = std::collections::BTreeSet::new();
    let drains = if withdraws { &none } else { &state.effective.drains };
    match state::takes_nobody(route, &state::weights(route, Some(after)), drains) {
        true => Err(Refusal::AllZero { route: route.name.clone() }),
        false => Ok(()),
    }
}

/// `part` of `total` as a fraction, to the nearest bucket.
fn part_of(part: u64, total: u64) -> Fraction {
    let buckets = (u128::from(part) * u128::from(BUCKETS) + u128::from(total / 2)) / u128::from(total.max(1));
    u32::try_from(buckets).ok().and_then(Fraction::from_buckets).unwrap_or(Fraction::ALL)
}

/// What the audit says of a route before or after.
fn told(state: &State, name: &Name, overlay: &RouteOverlay) -> Value {
    let weights = state.route(name.as_str()).map(|route| state::weights(route, Some(overlay)));
    json!({
        "stage": overlay.stage,
        "weights": weights.map(|weights| json_weights(&weights)).unwrap_or_default(),
        "epoch": overlay.epoch,
    })
}
