//! The machine in a world that obeys, and in one that does not.

mod hooks;

use super::*;
use crate::{
    config::model::rollout::{Approval, Hook, HookKind, OnTimeout, Payload, RolloutPlan, Step},
    rollout::fixtures::{name, plan, rollout, secs, weight},
    types::Fraction,
};

/// A rollout in a world that does what it wants at once.
struct World {
    rollout: Rollout,
    now_ms: u64,
    decision: Decision,
    behind: Option<String>,
    unhealthy: Option<String>,
    frozen: Option<String>,
    told: Vec<Occasion>,
    called: Vec<(String, u32)>,
    obeys: bool,
}

impl World {
    fn new(plan: RolloutPlan) -> Self {
        Self {
            rollout: rollout(plan),
            now_ms: 0,
            decision: Decision::Go,
            behind: None,
            unhealthy: None,
            frozen: None,
            told: Vec::new(),
            called: Vec::new(),
            obeys: true,
        }
    }

    fn take(&mut self, event: &Event) {
        let turn = step(&self.rollout, event, self.now_ms);
        self.rollout = turn.rollout;
        for effect in turn.effects {
            match effect {
                Effect::SetTraffic if self.obeys => {
                    self.take(&Event::InForce(self.rollout.traffic.stage));
                }
                Effect::SetTraffic => {}
                Effect::CallHook { hook, call, .. } => {
                    self.called.push((self.rollout.plan.hooks[hook].name.clone(), call));
                }
                Effect::Tell { occasion, .. } => self.told.push(occasion),
            }
        }
    }

    fn tick(&mut self, elapsed: Duration) {
        self.now_ms += u64::try_from(elapsed.as_millis()).unwrap();
        let tick = Tick {
            elapsed,
            decision: self.decision.clone(),
            gates: Vec::new(),
            behind: self.behind.clone(),
            unhealthy: self.unhealthy.clone(),
            frozen: self.frozen.clone(),
        };
        self.take(&Event::Tick(Box::new(tick)));
    }

    fn run(&mut self, time: u64) {
        (0..time).for_each(|_| self.tick(secs(1)));
    }

    fn command(&mut self, command: Command) {
        self.take(&Event::Command(command, By { actor: "ada".to_owned(), reason: None }));
    }

    fn share(&self) -> Option<f64> {
        self.rollout.spread().map(|spread| spread.share.as_f64())
    }

    fn is(&self, phase: Phase, step: usize) {
        assert_eq!((self.rollout.phase, self.rollout.step), (phase, step), "{:#?}", self.rollout);
    }
}

fn bad() -> Decision {
    Decision::Fail(Box::new(Reason::plain("error_rate", Verdict::Fail, "6 % > 1 %")))
}

fn steps() -> Vec<Step> {
    vec![weight(5.0, 60), weight(50.0, 60), Step { bake: secs(30), ..weight(100.0, 0) }]
}

#[test]
fn a_healthy_canary_goes_step_by_step_to_everything() {
    let mut world = World::new(plan(steps(), Vec::new()));
    world.run(1);
    world.is(Phase::Progressing, 0);
    assert_eq!(world.share(), Some(0.05));
    world.run(59);
    world.is(Phase::Progressing, 0);
    world.run(1);
    world.is(Phase::Progressing, 1);
    assert_eq!(world.share(), Some(0.5));
    world.run(60);
    world.is(Phase::Baking, 2);
    world.run(31);
    world.is(Phase::Promoted, 2);
    assert_eq!(world.rollout.traffic.target, Target::Promoted);
    assert_eq!(world.told, [Occasion::Started, Occasion::Advanced, Occasion::Advanced, Occasion::Promoted]);
    assert!(world.rollout.steps.iter().all(|step| step.status == StepStatus::Passed));
}

#[test]
fn a_failed_gate_withdraws_the_canary_in_every_phase_with_traffic() {
    let approval = Approval { roles: Vec::new(), timeout: Duration::ZERO, on_timeout: OnTimeout::Abort };
    let with_approval = vec![Step { approval: Some(approval), ..weight(5.0, 10) }, weight(100.0, 30)];
    type Way = fn(&mut World);
    let ways: [(Phase, Way); 4] = [
        (Phase::Progressing, |world| world.run(5)),
        (Phase::AwaitingApproval, |world| world.run(15)),
        (Phase::Paused, |world| {
            world.run(5);
            world.command(Command::Pause);
        }),
        (Phase::Baking, |world| {
            world.run(15);
            world.command(Command::Approve);
            world.run(5);
        }),
    ];
    for (phase, way) in ways {
        let mut world = World::new(plan(with_approval.clone(), Vec::new()));
        way(&mut world);
        assert_eq!(world.rollout.phase, phase);
        world.decision = bad();
        world.tick(Duration::from_millis(200));
        assert_eq!(world.rollout.phase, Phase::RolledBack, "from {phase:?}");
        assert_eq!(world.rollout.traffic.target, Target::Withdrawn);
        assert_eq!(world.told.last(), Some(&Occasion::RolledBack));
        assert_eq!(
            world.rollout.ending.as_ref().unwrap().reason.step,
            Some(u32::try_from(world.rollout.step).unwrap() + 1)
        );
    }
}

#[test]
fn traffic_comes_before_everything_else_and_is_tried_until_it_is_so() {
    let mut world = World::new(plan(steps(), Vec::new()));
    world.run(5);
    let told = world.told.len();
    (world.obeys, world.decision) = (false, bad());
    let turn = step(
        &world.rollout,
        &Event::Tick(Box::new(Tick {
            elapsed: secs(1),
            decision: bad(),
            gates: Vec::new(),
            behind: None,
            unhealthy: None,
            frozen: None,
        })),
        0,
    );
    assert_eq!(turn.effects.first(), Some(&Effect::SetTraffic));
    world.run(3);
    world.is(Phase::RollingBack, 0);
    assert_eq!(world.told.len(), told, "nobody is told before it is so");
    world.obeys = true;
    world.run(1);
    world.is(Phase::RolledBack, 0);
}

#[test]
fn the_step_lasts_until_the_gates_allow_the_next() {
    let mut world = World::new(plan(steps(), Vec::new()));
    world.decision = Decision::Wait(Box::new(Reason::plain("p99", Verdict::NoData, "too few requests")));
    world.run(600);
    world.is(Phase::Progressing, 0);
    assert_eq!(world.rollout.waits_for.as_ref().unwrap().words, "too few requests");
    world.decision = Decision::Go;
    world.run(1);
    world.is(Phase::Progressing, 1);
}

#[test]
fn the_deadline_ends_what_does_not_come_to_an_end() {
    let mut world = World::new(RolloutPlan { deadline: secs(300), ..plan(steps(), Vec::new()) });
    world.decision = Decision::Wait(Box::new(Reason::plain("p99", Verdict::NoData, "too few requests")));
    world.run(299);
    world.is(Phase::Progressing, 0);
    world.run(1);
    world.is(Phase::RolledBack, 0);
    assert_eq!(world.rollout.ending.as_ref().unwrap().reason.gate, "deadline");
}

#[test]
fn dwell_goes_on_after_a_restart_and_only_while_the_traffic_is_in_force() {
    let mut world = World::new(plan(steps(), Vec::new()));
    world.run(41);
    assert_eq!(world.rollout.dwell, secs(40));
    let kept = serde_json::to_string(&world.rollout).unwrap();
    world.rollout = serde_json::from_str(&kept).unwrap();
    world.obeys = false;
    world.take(&Event::Restarted(secs(500)));
    world.run(10);
    assert_eq!(world.rollout.dwell, secs(40));
    world.obeys = true;
    world.run(1);
    assert_eq!((world.rollout.dwell, world.rollout.age), (secs(40), secs(41 + 500 + 11)));
    world.run(20);
    world.is(Phase::Progressing, 1);
}

#[test]
fn a_canary_that_is_not_healthy_and_a_freeze_window_stop_steps_forward() {
    let mut world = World::new(plan(steps(), Vec::new()));
    world.unhealthy = Some("no endpoint is healthy".to_owned());
    world.run(5);
    world.is(Phase::Waiting, 0);
    assert_eq!(world.rollout.waits_for.as_ref().unwrap().gate, "health");
    world.unhealthy = None;
    world.run(1);
    world.is(Phase::Progressing, 0);
    world.frozen = Some("weekend".to_owned());
    world.run(100);
    world.is(Phase::Progressing, 0);
    assert_eq!(world.rollout.waits_for.as_ref().unwrap().gate, "freeze");
    // Never steps back.
    world.decision = bad();
    world.run(1);
    world.is(Phase::RolledBack, 0);
}

#[test]
fn a_rollout_waits_for_the_one_whose_place_it_takes() {
    let mut world = World::new(plan(steps(), Vec::new()));
    world.behind = Some("r-0".to_owned());
    world.run(9);
    world.is(Phase::Waiting, 0);
    world.behind = None;
    world.run(1);
    world.is(Phase::Progressing, 0);
}

#[test]
fn approvals_are_given_refused_or_run_out() {
    let approval = |on_timeout| Approval { roles: Vec::new(), timeout: secs(20), on_timeout };
    let plan = |on_timeout| {
        plan(
            vec![Step { approval: Some(approval(on_timeout)), ..weight(5.0, 10) }, weight(100.0, 30)],
            Vec::new(),
        )
    };
    for (on_timeout, command, phase, at) in [
        (OnTimeout::Abort, Some(Command::Approve), Phase::Baking, 1),
        (OnTimeout::Abort, Some(Command::Reject), Phase::Aborted, 0),
        (OnTimeout::Abort, None, Phase::Aborted, 0),
        (OnTimeout::Pause, None, Phase::Paused, 0),
        (OnTimeout::Promote, None, Phase::Baking, 1),
    ] {
        let mut world = World::new(plan(on_timeout));
        world.run(11);
        world.is(Phase::AwaitingApproval, 0);
        assert_eq!(world.told.last(), Some(&Occasion::ApprovalNeeded));
        if let Some(command) = command {
            world.command(command);
        }
        world.run(21);
        world.is(phase, at);
    }
}

#[test]
fn people_can_pause_resume_promote_abort_and_undo() {
    let mut world = World::new(plan(steps(), Vec::new()));
    world.run(10);
    world.command(Command::Pause);
    world.run(500);
    world.is(Phase::Paused, 0);
    world.command(Command::Resume);
    assert_eq!(world.rollout.dwell, secs(9), "the dwell of before is kept");
    world.command(Command::Promote);
    world.is(Phase::Progressing, 1);
    assert_eq!(world.rollout.steps[0].status, StepStatus::Skipped);
    world.command(Command::PromoteFull);
    world.is(Phase::Promoted, 1);
    world.command(Command::Undo);
    world.is(Phase::RolledBack, 1);
    assert_eq!(world.rollout.traffic.target, Target::Withdrawn);

    let mut world = World::new(plan(steps(), Vec::new()));
    world.run(10);
    world.command(Command::Abort);
    world.is(Phase::Aborted, 0);
    let before = world.rollout.clone();
    world.command(Command::Resume);
    assert_eq!(world.rollout, before, "what makes no sense does nothing");
}

#[test]
fn a_kill_a_lost_backend_and_another_rollout_end_it_and_weights_by_hand_pause_it() {
    let by = By { actor: "bob".to_owned(), reason: None };
    for (event, phase) in [
        (Event::Killed(by.clone()), Phase::Aborted),
        (Event::Lost("backend `canary` left the file".to_owned()), Phase::Aborted),
        (Event::Superseded("r-2".to_owned()), Phase::Superseded),
        (Event::Manual(by.clone(), 2), Phase::Paused),
    ] {
        let mut world = World::new(plan(steps(), Vec::new()));
        world.run(10);
        world.take(&event);
        world.is(phase, 0);
        if phase == Phase::Paused {
            assert_eq!(world.rollout.traffic.stage, 2);
            world.command(Command::Resume);
            world.is(Phase::Progressing, 0);
            assert_eq!(world.rollout.traffic.stage, 3, "the traffic is set anew");
        }
    }
}

#[test]
fn a_failure_may_pause_instead_and_the_step_begins_again() {
    let mut world = World::new(RolloutPlan { on_failure: OnFailure::Pause, ..plan(steps(), Vec::new()) });
    world.run(30);
    world.decision = bad();
    world.run(3);
    world.is(Phase::Paused, 0);
    assert_eq!(world.rollout.traffic.target, Target::Withdrawn);
    world.decision = Decision::Go;
    world.unhealthy = Some("no endpoint is healthy".to_owned());
    world.command(Command::Resume);
    world.run(2);
    assert_eq!(world.share(), None, "not before it is healthy");
    world.unhealthy = None;
    world.run(1);
    world.is(Phase::Progressing, 0);
    assert_eq!((world.share(), world.rollout.dwell), (Some(0.05), Duration::ZERO));

    let mut world = World::new(RolloutPlan { on_failure: OnFailure::Freeze, ..plan(steps(), Vec::new()) });
    world.run(30);
    world.decision = bad();
    world.run(3);
    world.is(Phase::Paused, 0);
    assert_eq!(world.share(), Some(0.05));
    assert_eq!(world.told.iter().filter(|told| **told == Occasion::Paused).count(), 1);
}

#[test]
fn both_bad_holds_and_tells_once() {
    let mut world = World::new(plan(steps(), Vec::new()));
    world.decision = Decision::Hold(Box::new(Reason::plain("error_rate", Verdict::Held, "both are bad")));
    world.run(200);
    world.is(Phase::Progressing, 0);
    assert_eq!(world.told, [Occasion::Held, Occasion::Started]);
}

#[test]
fn a_plan_that_ends_below_everything_asks_for_a_decision() {
    let mut world = World::new(plan(vec![weight(50.0, 10)], Vec::new()));
    world.run(12);
    world.is(Phase::Paused, 0);
    assert_eq!(world.share(), Some(0.5));
    world.command(Command::Promote);
    world.is(Phase::Promoted, 0);
}

#[test]
fn audiences_mirrors_and_shares_follow_the_steps() {
    let steps = [
        Step { segments: vec![name("internal")], hold: secs(1), ..Step::default() },
        Step { regions: vec![name("us-east")], ..weight(5.0, 1) },
        Step { mirror: Fraction::from_percent(10.0), ..Step::default() },
        weight(20.0, 1),
        Step::default(),
        weight(100.0, 1),
    ];
    let spread = |step| Spread::of(&steps, step);
    assert_eq!((spread(0).share, spread(0).segments), (Fraction::ALL, vec![name("internal")]));
    assert!(!spread(0).is_everything());
    assert_eq!(
        (spread(1).share.as_f64(), spread(1).regions, spread(1).segments),
        (0.05, vec![name("us-east")], vec![])
    );
    assert_eq!(
        (spread(2).share.as_f64(), spread(2).regions, spread(2).mirror),
        (0.05, vec![name("us-east")], Fraction::from_percent(10.0))
    );
    assert_eq!((spread(3).share.as_f64(), spread(3).has_audience(), spread(3).mirror), (0.2, false, None));
    assert_eq!(spread(4), spread(3));
    assert!(spread(5).is_everything());
}
