//! What a change of the state means for a rollout.

use crate::{
    config::model,
    control::State,
    rollout::machine::{By, Event, Phase, Rollout, Target},
    types::Name,
};

/// The event that a state is for a rollout, when it is one.
pub(super) fn event(rollout: &Rollout, state: &State) -> Option<Event> {
    if rollout.phase.is_over() || rollout.phase == Phase::RollingBack {
        return None;
    }
    if let Some(why) = rollout.routes.iter().find_map(|route| lost(rollout, state, route)) {
        return Some(Event::Lost(why));
    }
    if !matches!(rollout.traffic.target, Target::Step(_)) {
        return None;
    }
    let withdrawn = |route: &&Name| {
        let left = state.overlay.routes.get(*route).and_then(|overlay| overlay.left.as_ref());
        left.is_some_and(|left| left.rollout == rollout.id && left.number >= rollout.traffic.stage)
    };
    if let Some(route) = rollout.routes.iter().find(withdrawn) {
        // Nothing was waited for to withdraw it, not even the journal.
        return Some(Event::Lost(format!(
            "the canary was withdrawn from route `{route}` before Weir was restarted"
        )));
    }
    let by = || By { actor: state.origin.actor.clone(), reason: state.origin.reason.clone() };
    for route in &rollout.routes {
        if state.kill_switch(route).is_some() {
            return Some(Event::Killed(by()));
        }
        let overlay = state.overlay.routes.get(route);
        let stage = overlay.and_then(|overlay| overlay.stage.as_ref());
        if let Some(stage) = stage.filter(|stage| stage.manual && stage.rollout == rollout.id)
            && stage.number > rollout.traffic.stage
        {
            return Some(Event::Manual(by(), stage.number));
        }
    }
    None
}

/// Why a route cannot go on, when it cannot.
fn lost(rollout: &Rollout, state: &State, name: &Name) -> Option<String> {
    let Ok(route) = state.route(name.as_str()) else {
        return Some(format!("route `{name}` is not in the control file any more"));
    };
    let missing = |backend: &Name| !route.split.backends.iter().any(|known| known.name == *backend);
    if let Some(gone) =
        [&rollout.plan.baseline, &rollout.plan.canary].into_iter().find(|backend| missing(backend))
    {
        return Some(format!("backend `{gone}` is not in the split of route `{name}` any more"));
    }
    let gone = rollout.plan.steps.iter().flat_map(|step| &step.segments);
    let mut gone = gone.filter(|segment| !state.file.config.segments.contains_key(*segment));
    gone.next().map(|segment| format!("segment `{segment}` is not in the control file any more"))
}

/// The routes that move in step with `route`: those of its group, or it alone.
pub(super) fn group(state: &State, route: &model::Route) -> Vec<Name> {
    let Some(group) = route.rollout.as_ref().and_then(|plan| plan.group.as_ref()) else {
        return vec![route.name.clone()];
    };
    let same =
        |other: &&model::Route| other.rollout.as_ref().is_some_and(|plan| plan.group.as_ref() == Some(group));
    state.file.config.routes.iter().filter(same).map(|other| other.name.clone()).collect()
}
