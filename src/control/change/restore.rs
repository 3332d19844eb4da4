//! Going back to a revision.
//!
//! Weir never writes the control file, so what comes back is what was in force: on every route the weights of then, as overrides where the
//! file says otherwise by now, the kill switch, the overrides of users, and the drains. Routes that were not there then stay as they are.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Plan, put, unchanged};
use crate::{
    config::model,
    control::{
        command::Restoration,
        state::{self, State},
    },
    types::{Name, Overlay, RouteOverlay, Weight},
};

/// What restoring does to `state`.
pub(super) fn restore(state: &State, target: &Restoration) -> Plan {
    let mut overlay = Overlay { drains: target.overlay.drains.clone(), ..Overlay::clone(&state.overlay) };
    let mut warnings = Vec::new();
    let then = target.config.as_deref().map(|config| (config, state::resolve(config, &target.overlay).0));
    if then.is_none() {
        let revision = target.revision;
        warnings.push(format!(
            "the control file of {revision} cannot be read by this version: only its overrides come back"
        ));
    }
    for route in &state.file.config.routes {
        let old = then.as_ref().and_then(|(config, effective)| {
            let old = config.routes.iter().find(|old| old.name == route.name)?;
            Some(state::weights(old, effective.routes.get(&route.name)).into_iter().collect())
        });
        if then.is_some() && old.is_none() {
            warnings.push(format!("route `{}` was not there then, and stays as it is", route.name));
            continue;
        }
        if target.overlay.routes.get(&route.name).is_some_and(|kept| kept.stage.is_some()) {
            let name = &route.name;
            warnings.push(format!(
                "a rollout had route `{name}` then: its weights come back, but not the rollout"
            ));
        }
        let wanted = of_route(state, route, (target, &old.unwrap_or_default()));
        put(&mut overlay, &route.name, wanted);
    }
    // What does not fit the file at the moment comes back too, for when it does.
    for (name, kept) in &target.overlay.routes {
        if state.route(name.as_str()).is_err() {
            let now = overlay.routes.get(name).cloned().unwrap_or_default();
            put(&mut overlay, name, RouteOverlay { stage: now.stage, left: now.left, ..kept.clone() });
        }
    }
    if let Some((config, _)) = &then {
        let gone = config.routes.iter().filter(|old| state.route(old.name.as_str()).is_err());
        warnings.extend(gone.map(|old| format!("route `{}` is not in the control file any more", old.name)));
    }
    Plan {
        changed: overlay != *state.overlay,
        overlay,
        from: json!(state.revision),
        to: json!(target.revision),
        warnings,
        ..unchanged(state, None)
    }
}

/// What `route` gets so that what runs is what ran.
fn of_route(
    state: &State,
    route: &model::Route,
    (target, old): (&Restoration, &BTreeMap<Name, Weight>),
) -> RouteOverlay {
    let now = state.overlay.routes.get(&route.name).cloned().unwrap_or_default();
    let kept = target.overlay.routes.get(&route.name).cloned().unwrap_or_default();
    let mut weights = kept.weights.clone();
    for backend in &route.split.backends {
        if let Some(weight) = old.get(&backend.name).filter(|weight| **weight != backend.weight) {
            weights.insert(backend.name.clone(), *weight);
        }
    }
    // Pins of before a kill never count again; and pinned users leave what is killed by this.
    let kills = kept.kill_switch.is_some() && kept.kill_switch != now.kill_switch;
    let epoch = now.epoch.max(kept.epoch).saturating_add(u32::from(kills));
    // Only a rollout that runs can put a stage in force.
    RouteOverlay { weights, epoch, stage: now.stage, left: now.left, ..kept }
}
