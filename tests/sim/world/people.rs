//! People: they click what they like, when they like, and deploy the next version.

use weir::rollout::machine::{By, Command, Event, Phase, Target};

use super::World;
use crate::checks::Checked;

const COMMANDS: [Command; 12] = [
    Command::Pause,
    Command::Resume,
    Command::Resume,
    Command::Resume,
    Command::Promote,
    Command::PromoteFull,
    Command::Abort,
    Command::Approve,
    Command::Approve,
    Command::Approve,
    Command::Reject,
    Command::Undo,
];

fn by(actor: &str) -> By {
    By { actor: actor.to_owned(), reason: None }
}

// === impl World ===

impl World {
    /// What people do between two ticks.
    pub(super) fn people(&mut self) -> Checked {
        if self.dice.chance(0.01) {
            self.start()?;
        }
        if self.dice.chance(0.01) {
            self.retry();
        }
        let busy = if self.kind == super::Kind::Scripted { 0.08 } else { 0.01 };
        let ids: Vec<String> = self.active.keys().cloned().collect();
        for id in ids {
            if self.dice.chance(busy) {
                let command = self.dice.pick(&COMMANDS);
                self.command(&id, command)?;
            }
            let odd = self.dice.unit();
            let Some(live) = self.active.get(&id) else { continue };
            let (moves, over) =
                (matches!(live.rollout.traffic.target, Target::Step(_)), live.rollout.phase.is_over());
            if odd < 0.002 && moves {
                self.step(&id, &Event::Killed(by("bob")))?;
            } else if odd < 0.003 && !over {
                self.step(&id, &Event::Lost("route `shop` is not in the control file any more".to_owned()))?;
            } else if odd < 0.01
                && let Some(stage) = self.set_by_hand(&id)
            {
                self.by_hand = true;
                self.step(&id, &Event::Manual(by("bob"), stage))?;
            }
        }
        Ok(())
    }

    fn command(&mut self, id: &str, command: Command) -> Checked {
        let phase = self.active[id].rollout.phase;
        let before = self.active[id].rollout.clone();
        let fits = command.check(phase).is_ok();
        self.by_hand |= fits && !matches!(command, Command::Pause | Command::Resume | Command::Approve);
        if fits && command == Command::Resume {
            *self.resumed.entry(id.to_owned()).or_default() += 1;
        }
        self.step(id, &Event::Command(command, by("ada")))?;
        let after = &self.active[id].rollout;
        if !fits && *after != before {
            return Err(format!("{command:?} did something while {phase:?}"));
        }
        Ok(())
    }

    /// The same once more.
    fn retry(&mut self) {
        let mut over = self.over.iter().chain(self.active.values().map(|live| &live.rollout));
        let Some(before) = over.rfind(|rollout| rollout.phase.is_over()).cloned() else {
            return;
        };
        let under_way = |rollout: &weir::rollout::machine::Rollout| {
            !rollout.phase.is_over() && rollout.routes.iter().any(|route| before.routes.contains(route))
        };
        if self.active.values().any(|live| under_way(&live.rollout)) {
            return;
        }
        let id = format!("{}-again-{}", before.id, self.ticks);
        self.insert(before.again(id, "ada".to_owned(), self.wall_ms));
    }

    /// Somebody ends what has no deadline.
    pub(super) fn end_the_endless(&mut self) -> Checked {
        let endless = |phase: Phase| !phase.is_over() && phase != Phase::RollingBack;
        for id in self.active.keys().cloned().collect::<Vec<_>>() {
            let rollout = &self.active[&id].rollout;
            if endless(rollout.phase) && rollout.plan.deadline.is_zero() {
                self.step(&id, &Event::Command(Command::Abort, by("ada")))?;
            }
        }
        Ok(())
    }
}
