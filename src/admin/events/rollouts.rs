//! What happens in rollouts, as events.

use super::{
    Kind, Scope,
    payload::{AnalysisEvent, RolloutEvent},
};
use crate::{
    admin::{
        AppState,
        api::rollouts::{entry, live, summary},
    },
    control::audit::rfc3339,
    rollout::driver::Told,
    types::clock,
};

/// Publishes something that happened.
pub(super) fn publish(app: &AppState, told: &Told) {
    let entry = told.entry.as_ref().map(entry);
    let event = RolloutEvent {
        at: entry.as_ref().map_or_else(|| rfc3339(clock::unix_now()), |entry| entry.at.clone()),
        rollout: summary(&told.rollout),
        entry,
    };
    app.events.publish(Kind::Rollout, Scope::Routes(told.rollout.routes.clone()), &event, clock::now());
}

/// Publishes what the gates say of each rollout whose canary has traffic.
pub(super) fn analyse(app: &AppState) {
    if !app.events.wanted(Kind::Analysis) {
        return;
    }
    let (at, now) = (rfc3339(clock::unix_now()), clock::now());
    for shown in &app.rollouts.board().rollouts {
        let live = live(shown);
        if live.is_empty() {
            continue;
        }
        let event = AnalysisEvent { at: at.clone(), rollout: summary(&shown.rollout), live };
        app.events.publish_fleeting(
            Kind::Analysis,
            &Scope::Routes(shown.rollout.routes.clone()),
            &event,
            now,
        );
    }
}
