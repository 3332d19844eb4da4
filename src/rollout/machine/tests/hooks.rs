//! Hooks: what is asked when, and what the answers do.

use super::*;

fn hook(name: &str, kind: HookKind) -> Hook {
    Hook {
        name: name.to_owned(),
        kind,
        url: String::new(),
        timeout: secs(30),
        retries: 1,
        every: secs(10),
        payload: Payload::Weir,
        headers: Vec::new(),
        secret_file: None,
        metadata: Vec::new(),
    }
}

fn with_hooks(hooks: Vec<Hook>) -> World {
    World::new(RolloutPlan { hooks, ..plan(steps(), Vec::new()) })
}

fn answer(world: &mut World, hook: usize, step: usize, answer: HookAnswer) {
    world.take(&Event::Hook { hook, step, answer });
}

fn yes() -> HookAnswer {
    HookAnswer::Yes("200".to_owned())
}

fn no() -> HookAnswer {
    HookAnswer::No("503".to_owned())
}

#[test]
fn hooks_confirm_before_anything_moves_and_once_hooks_are_called_once() {
    let mut world =
        with_hooks(vec![hook("confirm", HookKind::ConfirmRollout), hook("load", HookKind::PreRollout)]);
    world.run(3);
    world.is(Phase::Waiting, 0);
    assert_eq!(world.called, [("confirm".to_owned(), 1)]);
    answer(&mut world, 0, 0, no());
    world.run(11);
    answer(&mut world, 0, 0, yes());
    world.run(2);
    assert_eq!(world.called[1..], [("confirm".to_owned(), 2), ("load".to_owned(), 1)]);
    world.is(Phase::Waiting, 0);
    answer(&mut world, 1, 0, yes());
    world.run(1);
    world.is(Phase::Progressing, 0);
    assert_eq!(world.called.len(), 3);
}

#[test]
fn a_once_hook_that_fails_for_good_ends_it_before_it_began() {
    let mut world = with_hooks(vec![hook("load", HookKind::PreRollout)]);
    world.run(1);
    answer(&mut world, 0, 0, HookAnswer::Failed("timeout".to_owned()));
    world.run(3);
    assert_eq!(world.called.len(), 2);
    answer(&mut world, 0, 0, no());
    world.is(Phase::RolledBack, 0);
}

#[test]
fn what_a_restart_interrupts_is_not_called_again_but_left_to_a_person() {
    let mut world = with_hooks(vec![hook("load", HookKind::PreRollout)]);
    world.run(1);
    world.take(&Event::Restarted(secs(1)));
    world.run(10);
    world.is(Phase::Paused, 0);
    assert_eq!(world.called.len(), 1);
    world.command(Command::Resume);
    world.run(1);
    assert_eq!(world.called, [("load".to_owned(), 1), ("load".to_owned(), 1)]);
    answer(&mut world, 0, 0, yes());
    world.run(1);
    world.is(Phase::Progressing, 0);
}

#[test]
fn hooks_of_steps_hold_and_withdraw() {
    let mut world = with_hooks(vec![
        hook("step", HookKind::ConfirmStep),
        hook("all", HookKind::ConfirmPromotion),
        hook("check", HookKind::Rollout),
        hook("stop", HookKind::Rollback),
    ]);
    world.run(1);
    assert_eq!(world.called, [("check".to_owned(), 1), ("stop".to_owned(), 1)]);
    answer(&mut world, 2, 0, yes());
    answer(&mut world, 3, 0, no());
    world.run(60);
    world.is(Phase::Progressing, 0);
    answer(&mut world, 0, 0, yes());
    world.run(1);
    world.is(Phase::Progressing, 1);
    world.run(61);
    answer(&mut world, 0, 1, yes());
    world.run(1);
    world.is(Phase::Progressing, 1);
    answer(&mut world, 1, 1, yes());
    world.run(1);
    world.is(Phase::Baking, 2);
    answer(&mut world, 3, 2, yes());
    world.is(Phase::RolledBack, 2);
    assert_eq!(world.rollout.ending.as_ref().unwrap().reason.gate, "stop");

    let mut world = with_hooks(vec![hook("check", HookKind::Rollout)]);
    world.run(1);
    for _ in 0..3 {
        answer(&mut world, 0, 0, no());
        world.run(11);
    }
    world.is(Phase::RolledBack, 0);
}
