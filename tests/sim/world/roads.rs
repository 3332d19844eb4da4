//! Roads: the routes as they really are, whoever thinks what of them.

use weir::{
    rollout::machine::{Phase, Rollout, Spread, Target},
    telemetry::trial::Note,
    types::{Fraction, Name, Stage},
};

use super::{Coming, Kind, World};
use crate::{
    checks::{Checked, ensure},
    dice::Dice,
    traffic::{GOOD, Load, Traffic, Version},
};

/// A route.
pub(crate) struct Road {
    /// The stage that is in force.
    pub(super) stage: Option<Stage>,
    /// What the canary gets where no stage is in force.
    pub(super) share: Fraction,
    /// Somebody has set the weights by hand.
    pub(super) manual: bool,
    pub(super) traffic: Option<Traffic>,
    pub(super) fault: Fault,
    pub(super) notes: Vec<Note>,
}

/// What is wrong with the canary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    Nothing,
    /// It fails this part from the beginning.
    Fails(f64),
    /// After so many seconds it fails half.
    FailsLate(u64),
    /// It fails a third, every other five seconds.
    Flaps,
    /// Both fail.
    BothFail,
    Slow,
    Hangs,
}

// === impl Road ===

impl Road {
    pub(super) fn new(kind: Kind, dice: &mut Dice) -> Self {
        let users = dice.pick(&[None, Some(500), Some(50_000)]);
        let per_second = dice.pick(&[0.0, 2.0 / 60.0, 2.0, 20.0, 80.0, 80.0, 150.0, 150.0]);
        let load = Load { per_second, users, same_users_fail: dice.chance(0.3) };
        let fault = dice.pick(&[
            Fault::Nothing,
            Fault::Nothing,
            Fault::Fails(1.0),
            Fault::Fails(0.1),
            Fault::FailsLate(15),
            Fault::Flaps,
            Fault::BothFail,
            Fault::Slow,
            Fault::Hangs,
        ]);
        let traffic = (kind == Kind::Judged).then(|| Traffic::new(load, dice.bits()));
        Self { stage: None, share: Fraction::NONE, manual: false, traffic, fault, notes: Vec::new() }
    }

    /// What is measured begins anew.
    pub(super) fn begin_trial(&mut self) {
        self.notes.clear();
        if let Some(traffic) = &mut self.traffic {
            traffic.stage_begins();
        }
    }

    /// Requests come.
    pub(super) fn pass(&mut self, dice: &mut Dice) {
        let Some(traffic) = &mut self.traffic else { return };
        if dice.chance(0.01) {
            traffic.load.per_second = dice.pick(&[0.0, 1.0, 40.0, 400.0]);
        } else if traffic.load.per_second > 200.0 && dice.chance(0.2) {
            traffic.load.per_second = 20.0;
        }
        let share = self.stage.as_ref().map_or(self.share, |stage| stage.share);
        let notes = traffic.tick(share, self.fault.versions(traffic.now().as_secs()));
        if let Some(stage) = &self.stage {
            let drawn = !stage.has_audience();
            self.notes.extend(notes.into_iter().map(|note| Note { drawn: note.drawn && drawn, ..note }));
        }
    }

    /// Nobody gets more than they should.
    pub(super) fn check<'r>(&self, name: &Name, mut live: impl Iterator<Item = &'r Rollout>) -> Checked {
        let Some(stage) = &self.stage else { return Ok(()) };
        let Some(rollout) = live.find(|rollout| rollout.id == stage.rollout) else {
            return Err(format!("nobody looks after route {name}, which has {stage:?}"));
        };
        ensure!(rollout.routes.contains(name), "{} has route {name}, which is not its own", rollout.id);
        ensure!(!rollout.phase.is_over(), "{} is {:?} and has route {name}", rollout.id, rollout.phase);
        // Where people set the weights of one route, the others of its group stay as they were.
        let by_hand = rollout.paused.as_ref().is_some_and(|paused| paused.reason.gate == "manual_weights");
        if self.manual || by_hand {
            return Ok(());
        }
        ensure!(
            stage.number <= rollout.traffic.stage,
            "route {name} has stage {} of {:?}",
            stage.number,
            rollout.traffic
        );
        match rollout.traffic.target {
            _ if !rollout.traffic.in_force => {}
            Target::Step(step) => {
                let spread = Spread::of(&rollout.plan.steps, step);
                ensure!(
                    stage.number == rollout.traffic.stage,
                    "{:?} is in force, and is stage {}",
                    rollout.traffic,
                    stage.number
                );
                let same = (stage.share, &stage.segments, &stage.regions, stage.mirror)
                    == (spread.share, &spread.segments, &spread.regions, spread.mirror);
                ensure!(same, "route {name} has {stage:?} and not {spread:?}");
            }
            target => return Err(format!("{target:?} is in force, and route {name} has {stage:?}")),
        }
        Ok(())
    }
}

// === impl Fault ===

impl Fault {
    /// The two versions, so many seconds after the stage began.
    fn versions(self, second: u64) -> [Version; 2] {
        let canary = match self {
            Self::Nothing => GOOD,
            Self::Fails(part) => Version::failing(part),
            Self::FailsLate(at) if second >= at => Version::failing(0.5),
            Self::FailsLate(_) => GOOD,
            Self::Flaps if second / 5 % 2 == 1 => Version::failing(0.33),
            Self::Flaps => GOOD,
            Self::BothFail => return [Version::failing(0.4); 2],
            Self::Slow => GOOD.slower(20.0),
            Self::Hangs => Version { hung: 0.5, ..GOOD },
        };
        [GOOD, canary]
    }
}

// === impl World ===

impl World {
    /// The applier carries out what a rollout wanted when it asked: all of its routes, or none.
    pub(super) fn apply(&mut self, rollout: &Rollout) -> Checked {
        let (id, stage) = (rollout.id.clone(), rollout.traffic.stage);
        let result =
            if self.faults.refuses { Err("the disk is full".to_owned()) } else { self.carry_out(rollout) };
        self.coming.push((self.now, Coming::Applied { id, stage, result }));
        Ok(())
    }

    fn carry_out(&mut self, rollout: &Rollout) -> Result<(), String> {
        let wanted = rollout.stage();
        let roads = self.roads.iter_mut().filter(|(name, _)| rollout.routes.contains(name));
        for (_, road) in roads {
            let own = road.stage.as_ref().filter(|stage| stage.rollout == rollout.id);
            match (&wanted, rollout.traffic.target) {
                (Some(wanted), _) => {
                    if let Some(now) = own
                        && now != wanted
                        && now.number >= wanted.number
                    {
                        return Err(format!("stage {} comes after {}", wanted.number, now.number));
                    }
                    if own != Some(wanted) {
                        (road.stage, road.manual) = (Some(wanted.clone()), false);
                        road.begin_trial();
                    }
                }
                (None, Target::Withdrawn | Target::Promoted) if own.is_some() => {
                    let all = rollout.traffic.target == Target::Promoted;
                    (road.stage, road.manual) = (None, false);
                    road.share = if all { Fraction::ALL } else { Fraction::NONE };
                    road.begin_trial();
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Somebody sets the weights of a rollout's route by hand.
    /// The number that the stage has since; `None` when there was nothing to set.
    pub(super) fn set_by_hand(&mut self, id: &str) -> Option<u32> {
        let rollout = &self.active.get(id)?.rollout;
        let moves = matches!(rollout.traffic.target, Target::Step(_)) && rollout.traffic.in_force;
        let route = self.dice.pick(&rollout.routes);
        let road = self.roads.get_mut(&route)?;
        let number = rollout.traffic.stage;
        let of = |stage: &&mut Stage| stage.rollout == id && stage.number == number;
        let stage = road.stage.as_mut().filter(of).filter(|_| moves && rollout.phase != Phase::Paused)?;
        (stage.share, stage.number) = (Fraction::from_percent(50.0).unwrap(), number + 1);
        road.manual = true;
        road.begin_trial();
        Some(number + 1)
    }
}
