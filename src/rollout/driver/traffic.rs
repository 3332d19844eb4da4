//! Changing the traffic: what a rollout wants, as a command to control.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::{Active, Context, Message};
use crate::{
    control::{Change, Channel, Command, Origin, Refusal, StageChange, StageTarget},
    rollout::machine::{self, Rollout, Target},
    types::{Fraction, Name, RouteOverlay},
};

/// Has the applier make the traffic what the rollout wants. The answer comes as a message, so that nothing waits for a disk.
pub(super) fn set(context: &Context, active: &mut Active, sender: &mpsc::Sender<Message>) {
    let rollout = &active.rollout;
    let stage = rollout.traffic.stage;
    active.applying = Some(stage);
    let (id, control, sender) = (rollout.id.clone(), context.control.clone(), sender.clone());
    let changes = changes(
        rollout,
        &control.state().file.config.routes.iter().map(|route| &route.name).collect::<Vec<_>>(),
    );
    let origin =
        Origin { reason: reason(rollout), ..Origin::new(&format!("rollout {id}"), Channel::Rollout) };
    tokio::spawn(async move {
        let result = if changes.is_empty() {
            Ok(())
        } else {
            apply(&control, Command::new(Change::SetStages(changes), origin)).await
        };
        // The driver may have stopped; then the next one asks anew.
        let _ = sender.send(Message::Applied { id, stage, result }).await;
    });
}

/// Withdraws every canary that has traffic by a rollout which nobody knows any more.
pub(super) fn withdraw_all(context: &Context) {
    let state = context.control.state();
    let out = |(route, overlay): (&Name, &RouteOverlay)| {
        let stage = overlay.stage.as_ref()?;
        let (rollout, number) = (stage.rollout.clone(), stage.number.saturating_add(1));
        let to = StageTarget::Out { rollout, number, share: Some(Fraction::NONE), again: None };
        Some((route.clone(), StageChange { to, raise_epoch: true }))
    };
    let changes: BTreeMap<Name, StageChange> = state.overlay.routes.iter().filter_map(out).collect();
    if changes.is_empty() {
        return;
    }
    let reason =
        Some("what is kept of the rollout cannot be read, so nobody would watch the canary".to_owned());
    let origin = Origin { reason, ..Origin::new("rollouts", Channel::Rollout) };
    let control = context.control.clone();
    // A refusal is in the audit; there is nobody else to tell.
    tokio::spawn(
        async move { drop(apply(&control, Command::new(Change::SetStages(changes), origin)).await) },
    );
}

async fn apply(control: &crate::control::Control, command: Command) -> Result<(), Refusal> {
    match control.apply(command).await {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

fn changes(rollout: &Rollout, known: &[&Name]) -> BTreeMap<Name, StageChange> {
    let stage = rollout.traffic.stage;
    let is_undone =
        rollout.ending.as_ref().is_some_and(|ending| ending.reason.gate == machine::Command::Undo.as_str());
    let versions = (rollout.plan.baseline.clone(), rollout.plan.canary.clone());
    let again = is_undone.then_some(versions);
    let out = |share| StageTarget::Out {
        rollout: rollout.id.clone(),
        number: stage,
        share: Some(share),
        again: again.clone(),
    };
    let (to, raise_epoch) = match (rollout.traffic.target, rollout.stage()) {
        (Target::Withdrawn, _) => (out(Fraction::NONE), true),
        (Target::Promoted, _) => (out(Fraction::ALL), false),
        (_, Some(stage)) => (StageTarget::Stage(stage), false),
        (_, None) => return BTreeMap::new(),
    };
    // A route that is gone needs nothing.
    let routes = rollout.routes.iter().filter(|route| known.contains(route));
    routes.map(|route| (route.clone(), StageChange { to: to.clone(), raise_epoch })).collect()
}

/// Why, for the audit.
fn reason(rollout: &Rollout) -> Option<String> {
    match (&rollout.ending, rollout.traffic.target) {
        (Some(ending), Target::Withdrawn) => Some(ending.reason.words.clone()),
        (None, Target::Withdrawn) => rollout.paused.as_ref().map(|paused| paused.reason.words.clone()),
        (_, Target::Promoted) => Some("promoted".to_owned()),
        (_, Target::Step(step)) => Some(format!("step {} of {}", step + 1, rollout.plan.steps.len())),
        (_, Target::Untouched) => None,
    }
}
