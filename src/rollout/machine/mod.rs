//! The machine: what a rollout does next. Pure: a state and an event in, the next state and what is to be done out.
//!
//! Rules that hold whatever happens (tests/sim checks them over thousands of seeds):
//! - The canary never gets more than its step allows, and never anything after it was withdrawn.
//! - Withdrawing never waits: it is decided in every phase in which the canary has traffic, and needs no hook, approval or window.
//! - No step forward with a gate that does not allow it, in a freeze window, or to a canary that is not healthy.
//! - What is to be done is derived from the state, so that doing it twice does no harm.

mod event;
mod forward;
mod hooks;
mod start;
mod state;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use event::{By, Command, Effect, Entry, Event, HookAnswer, NotNow, Tick};
pub use start::Start;
pub use state::{
    ApprovalState, Ending, HookState, HookStatus, OnceKey, Paused, Phase, Rollout, Spread, StepState,
    StepStatus, Target, Traffic,
};

use super::{
    judge::Decision,
    reason::{Reason, Verdict},
};
use crate::config::model::rollout::{Occasion, OnFailure};

/// What came of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The state since.
    pub rollout: Rollout,
    /// What is to be done, in this order.
    pub effects: Vec<Effect>,
    /// What is worth telling.
    pub entries: Vec<Entry>,
}

/// The next state of `rollout` after `event`, at `now_ms` milliseconds since the Unix epoch.
///
/// The wall clock only dates what is told; how long something lasts is what ticks add up to.
#[must_use]
pub fn step(rollout: &Rollout, event: &Event, now_ms: u64) -> Turn {
    let mut machine = Machine { rollout: rollout.clone(), now_ms, effects: Vec::new(), entries: Vec::new() };
    machine.take(event);
    Turn { rollout: machine.rollout, effects: machine.effects, entries: machine.entries }
}

/// A state on its way to the next.
struct Machine {
    rollout: Rollout,
    now_ms: u64,
    effects: Vec<Effect>,
    entries: Vec<Entry>,
}

// === impl Machine ===

impl Machine {
    fn take(&mut self, event: &Event) {
        let over = self.rollout.phase.is_over();
        match event {
            Event::Tick(tick) => self.tick(tick),
            Event::InForce(stage) => self.in_force(*stage),
            Event::Refused(stage, why) if *stage == self.rollout.traffic.stage && !over => {
                let words = format!("the traffic could not be changed: {why}");
                self.rollout.waits_for = Some(Reason::plain("traffic", Verdict::Error, words));
            }
            Event::Refused(..) => {}
            Event::Hook { hook, step, answer } => self.hook_answered((*hook, *step), answer),
            Event::Command(command, by) => self.command(*command, by),
            Event::Killed(by) if !over && self.rollout.phase != Phase::RollingBack => {
                let words = format!("{} switched the kill switch on", by.actor);
                self.end(Phase::Aborted, Reason::plain("kill_switch", Verdict::Fail, words), Some(by));
            }
            Event::Manual(by, stage) if !over && self.rollout.phase != Phase::RollingBack => {
                self.rollout.traffic.stage = self.rollout.traffic.stage.max(*stage);
                let words = format!("{} set the weights by hand", by.actor);
                self.pause(Reason::plain("manual_weights", Verdict::Held, words), Some(by), false);
            }
            Event::Killed(_) | Event::Manual(..) => {}
            Event::Lost(why) if !over && self.rollout.phase != Phase::RollingBack => {
                self.end(Phase::Aborted, Reason::plain("configuration", Verdict::Fail, why.clone()), None);
            }
            Event::Superseded(other) if !over && self.rollout.phase != Phase::RollingBack => {
                let words = format!("{other} takes its place");
                self.end(Phase::Superseded, Reason::plain("superseded", Verdict::Fail, words), None);
            }
            Event::Lost(_) | Event::Superseded(_) => {}
            Event::Restarted(down) => self.restarted(*down),
        }
    }

    fn tick(&mut self, tick: &Tick) {
        if self.rollout.phase.is_over() {
            self.rollout.age = self.rollout.age.saturating_add(tick.elapsed);
            self.wait_for_hooks(tick.elapsed);
            return;
        }
        let deadline = self.rollout.plan.deadline;
        self.rollout.age = self.rollout.age.saturating_add(tick.elapsed);
        if self.rollout.phase == Phase::RollingBack {
            self.keep_traffic();
            return;
        }
        self.rollout.behind.clone_from(&tick.behind);
        self.keep_gates(&tick.gates);
        // What others say counts in a step without traffic too, and what was seen before a promotion until that is in force.
        let has_canary = matches!(self.rollout.traffic.target, Target::Step(_) | Target::Promoted);
        if let Decision::Fail(reason) = &tick.decision
            && has_canary
        {
            self.fail((**reason).clone());
            if self.rollout.phase == Phase::RollingBack {
                return;
            }
        }
        if !deadline.is_zero() && self.rollout.age >= deadline {
            let words = format!("it was not done within {deadline:?}");
            self.end(Phase::RolledBack, Reason::plain("deadline", Verdict::Fail, words), None);
            return;
        }
        self.tell_of_hold(&tick.decision);
        self.keep_traffic();
        self.wait_for_hooks(tick.elapsed);
        if self.rollout.phase != Phase::RollingBack {
            self.go_on(tick);
        }
    }

    /// Has the traffic changed again, as long as it is not what it should be.
    fn keep_traffic(&mut self) {
        if !self.rollout.traffic.in_force {
            self.effects.push(Effect::SetTraffic);
        }
    }

    fn keep_gates(&mut self, gates: &[Reason]) {
        let step = self.rollout.step;
        if let Some(state) = self.rollout.steps.get_mut(step)
            && !gates.is_empty()
        {
            state.gates = gates.iter().cloned().map(|gate| Reason { step: number(step), ..gate }).collect();
        }
    }

    /// Tells people, once, that both versions are bad or the split is wrong.
    fn tell_of_hold(&mut self, decision: &Decision) {
        match decision {
            Decision::Hold(reason) => {
                let is_new = self.rollout.held.as_ref().is_none_or(|held| held.gate != reason.gate);
                self.rollout.held = Some((**reason).clone());
                if is_new {
                    self.enter(format!("holds: {reason}"), Some((**reason).clone()), None);
                    self.tell(Occasion::Held);
                }
            }
            _ => self.rollout.held = None,
        }
    }

    /// A gate failed.
    fn fail(&mut self, reason: Reason) {
        let reason = Reason { step: number(self.rollout.step), ..reason };
        match self.rollout.plan.on_failure {
            OnFailure::Pause if reason.gate != "blast_radius" => {
                if !self.rollout.paused.as_ref().is_some_and(|paused| paused.withdrawn) {
                    self.pause(reason, None, true);
                }
            }
            OnFailure::Freeze if reason.gate != "blast_radius" => {
                let known =
                    self.rollout.paused.as_ref().is_some_and(|paused| paused.reason.gate == reason.gate);
                if !known {
                    self.pause(reason, None, false);
                }
            }
            _ => self.end(Phase::RolledBack, reason, None),
        }
    }

    /// The canary is withdrawn, now, and the rollout ends in `phase` once that is so.
    fn end(&mut self, phase: Phase, reason: Reason, by: Option<&By>) {
        let (now_ms, step) = (self.now_ms, self.rollout.step);
        for (place, state) in self.rollout.steps.iter_mut().enumerate() {
            match state.status {
                StepStatus::Running => (state.status, state.ended_ms) = (StepStatus::Failed, Some(now_ms)),
                StepStatus::Pending if place >= step => state.status = StepStatus::Skipped,
                _ => {}
            }
        }
        self.rollout.ending = Some(Ending {
            phase,
            reason: reason.clone(),
            by: by.map(|by| by.actor.clone()),
            decided_ms: now_ms,
        });
        self.rollout.phase = Phase::RollingBack;
        (self.rollout.paused, self.rollout.waits_for, self.rollout.held) = (None, None, None);
        self.move_traffic(Target::Withdrawn);
        self.enter(format!("the canary is withdrawn: {reason}"), Some(reason), by.cloned());
    }

    fn pause(&mut self, reason: Reason, by: Option<&By>, withdraw: bool) {
        if !withdraw && self.has_manual_weights() {
            // It is paused, and resume has to know that the traffic is not what the step says.
            return;
        }
        self.rollout.phase = Phase::Paused;
        self.rollout.paused =
            Some(Paused { reason: reason.clone(), by: by.map(|by| by.actor.clone()), withdrawn: withdraw });
        if withdraw {
            self.move_traffic(Target::Withdrawn);
        }
        self.enter(format!("paused: {reason}"), Some(reason), by.cloned());
        self.tell(Occasion::Paused);
    }

    /// Wants the traffic to be something else. First of all effects: nothing comes before it.
    fn move_traffic(&mut self, target: Target) {
        let stage = self.rollout.traffic.stage + 1;
        self.rollout.traffic = Traffic { stage, target, in_force: false };
        self.rollout.dwell = Duration::ZERO;
        self.effects.insert(0, Effect::SetTraffic);
    }

    fn in_force(&mut self, stage: u32) {
        if stage != self.rollout.traffic.stage || self.rollout.traffic.in_force {
            return;
        }
        self.rollout.traffic.in_force = true;
        self.rollout.waits_for = None;
        match (self.rollout.phase, self.rollout.traffic.target) {
            (Phase::RollingBack, Target::Withdrawn) => self.ended(),
            (_, Target::Promoted) => self.promoted(),
            _ => {}
        }
    }

    /// The canary has been withdrawn.
    fn ended(&mut self) {
        let Some(ending) = self.rollout.ending.clone() else { return };
        self.rollout.phase = ending.phase;
        self.rollout.ended_ms = Some(self.now_ms);
        let words = match ending.phase {
            Phase::RolledBack => "rolled back",
            Phase::Superseded => "superseded",
            _ => "aborted",
        };
        self.enter(words.to_owned(), Some(ending.reason), None);
        let told = if ending.phase == Phase::RolledBack { Occasion::RolledBack } else { Occasion::Aborted };
        self.tell(told);
        self.ask_last_hooks();
    }

    fn promoted(&mut self) {
        self.rollout.phase = Phase::Promoted;
        (self.rollout.paused, self.rollout.waits_for, self.rollout.held) = (None, None, None);
        self.rollout.ended_ms = Some(self.now_ms);
        self.rollout.age = Duration::ZERO;
        self.enter("promoted".to_owned(), None, None);
        self.tell(Occasion::Promoted);
        self.ask_last_hooks();
    }

    fn restarted(&mut self, down: Duration) {
        self.rollout.age = self.rollout.age.saturating_add(down);
        if self.rollout.phase.is_over() {
            self.hooks_after_restart();
            return;
        }
        if self.rollout.paused.as_ref().is_some_and(|paused| paused.reason.gate == "manual_weights") {
            // The weights are somebody's until they say otherwise.
            self.hooks_after_restart();
            return;
        }
        // What was in force before may not be now; it is made so, which costs nothing when it is.
        self.rollout.traffic.in_force = false;
        self.effects.push(Effect::SetTraffic);
        self.hooks_after_restart();
        self.enter(
            format!("goes on after a restart; it was last written down {down:.1?} before"),
            None,
            None,
        );
    }

    /// Has people told of what was entered last.
    fn tell(&mut self, occasion: Occasion) {
        self.effects.push(Effect::Tell { occasion, seq: self.rollout.seq });
    }

    /// Writes down what happened.
    fn enter(&mut self, words: String, reason: Option<Reason>, by: Option<By>) {
        self.rollout.seq += 1;
        let (seq, phase, step) = (self.rollout.seq, self.rollout.phase, self.rollout.step);
        self.entries.push(Entry { seq, at_ms: self.now_ms, phase, step, words, reason, by });
        self.ask_event_hooks();
    }
}

/// A step as people count.
fn number(step: usize) -> Option<u32> {
    u32::try_from(step + 1).ok()
}
