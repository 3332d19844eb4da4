//! The way forward: from step to step, and what people want of it.

use std::time::Duration;

use super::{ApprovalState, By, Command, Machine, Phase, Spread, StepStatus, Target, Tick, number};
use crate::{
    config::model::rollout::{HookKind, Occasion, OnInconclusive, OnNoData, OnTimeout},
    rollout::{
        judge::Decision,
        reason::{Reason, Verdict},
    },
};

impl Machine {
    /// What a tick does where nothing speaks against the canary.
    pub(super) fn go_on(&mut self, tick: &Tick) {
        match self.rollout.phase {
            Phase::Waiting => self.begin(tick),
            Phase::Progressing | Phase::Baking if self.rollout.traffic.target == Target::Withdrawn => {
                if !self.is_held_up(self.rollout.step, tick) {
                    self.enter_step(self.rollout.step);
                }
            }
            Phase::Progressing | Phase::Baking => {
                if self.rollout.traffic.in_force {
                    self.rollout.dwell = self.rollout.dwell.saturating_add(tick.elapsed);
                }
                self.finish_step(tick);
            }
            Phase::AwaitingApproval => self.wait_for_approval(tick),
            Phase::Paused
            | Phase::RollingBack
            | Phase::RolledBack
            | Phase::Promoted
            | Phase::Aborted
            | Phase::Superseded => {}
        }
    }

    /// The first step, once everybody agrees.
    fn begin(&mut self, tick: &Tick) {
        if let Some(other) = &tick.behind {
            return self.wait("rollout", &format!("{other} has to be over first"));
        }
        if !(self.all_passed(HookKind::ConfirmRollout, 0) && self.all_passed(HookKind::PreRollout, 0)) {
            return self.wait("hooks", "hooks have to agree before the first step");
        }
        if self.is_held_up(0, tick) {
            return;
        }
        self.enter_step(0);
    }

    /// Makes the next step when this one is over and everything allows it.
    fn finish_step(&mut self, tick: &Tick) {
        if !self.rollout.traffic.in_force || self.rollout.dwell < self.rollout.hold() {
            self.rollout.waits_for = None;
            return;
        }
        match &tick.decision {
            Decision::Go => {}
            Decision::Wait(reason) if self.lacks_proof(reason) => return self.fail((**reason).clone()),
            Decision::Wait(reason) | Decision::Hold(reason) | Decision::Fail(reason) => {
                self.rollout.waits_for = Some((**reason).clone());
                return;
            }
        }
        let step = self.rollout.step;
        if !self.all_passed(HookKind::ConfirmStep, step) {
            return self.wait("hooks", "hooks have to agree to the next step");
        }
        let approval = self.rollout.plan.steps.get(step).and_then(|step| step.approval.as_ref());
        if approval.is_some() && self.rollout.approval.given_by.is_none() {
            self.rollout.phase = Phase::AwaitingApproval;
            self.rollout.waits_for = None;
            self.enter("waits for somebody to agree to the next step".to_owned(), None, None);
            self.tell(Occasion::ApprovalNeeded);
            return;
        }
        self.advance(tick);
    }

    /// Whether the plan takes the canary back for a reason that only keeps others where they are.
    fn lacks_proof(&self, reason: &Reason) -> bool {
        let analysis = &self.rollout.plan.analysis;
        match reason.verdict {
            Verdict::Inconclusive => {
                reason.test == "e_value" && analysis.on_inconclusive == OnInconclusive::Rollback
            }
            Verdict::NoData => analysis.on_no_data == OnNoData::Fail,
            _ => false,
        }
    }

    /// On to the next step, or to the end of the plan.
    fn advance(&mut self, tick: &Tick) {
        let next = self.rollout.step + 1;
        if next >= self.rollout.plan.steps.len() {
            return self.finish();
        }
        let gives_all = Spread::of(&self.rollout.plan.steps, next).is_everything();
        let gave_all = Spread::of(&self.rollout.plan.steps, self.rollout.step).is_everything();
        if gives_all && !gave_all && !self.all_passed(HookKind::ConfirmPromotion, self.rollout.step) {
            return self.wait("hooks", "hooks have to agree before the canary gets everything");
        }
        if self.is_held_up(next, tick) {
            return;
        }
        self.close_step(StepStatus::Passed);
        self.enter_step(next);
    }

    /// Whether the step cannot be made now, and says why.
    fn is_held_up(&mut self, step: usize, tick: &Tick) -> bool {
        if let Some(why) = &tick.frozen {
            self.wait("freeze", &format!("no step forward is made now: {why}"));
            return true;
        }
        let reaches = Spread::of(&self.rollout.plan.steps, step).reaches_canary();
        if let Some(why) = tick.unhealthy.as_ref().filter(|_| reaches) {
            self.wait("health", &format!("the canary cannot take traffic: {why}"));
            return true;
        }
        false
    }

    fn wait(&mut self, gate: &str, words: &str) {
        let known = self.rollout.waits_for.as_ref().is_some_and(|reason| reason.words == words);
        if known {
            return;
        }
        let reason =
            Reason { step: number(self.rollout.step), ..Reason::plain(gate, Verdict::Inconclusive, words) };
        self.rollout.waits_for = Some(reason.clone());
        self.enter(format!("waits: {words}"), Some(reason), None);
    }

    fn close_step(&mut self, status: StepStatus) {
        let (now_ms, step) = (self.now_ms, self.rollout.step);
        if let Some(state) = self.rollout.steps.get_mut(step)
            && state.status == StepStatus::Running
        {
            (state.status, state.ended_ms) = (status, Some(now_ms));
        }
    }

    /// Begins a step: the traffic first, then everything else.
    fn enter_step(&mut self, step: usize) {
        let before = self.rollout.spread();
        let spread = Spread::of(&self.rollout.plan.steps, step);
        self.rollout.step = step;
        (self.rollout.waits_for, self.rollout.paused) = (None, None);
        self.rollout.approval = ApprovalState::default();
        self.rollout.phase = if spread.is_everything() { Phase::Baking } else { Phase::Progressing };
        self.rollout.dwell = Duration::ZERO;
        let now_ms = self.now_ms;
        if let Some(state) = self.rollout.steps.get_mut(step) {
            (state.status, state.began_ms, state.ended_ms) = (StepStatus::Running, Some(now_ms), None);
        }
        if before.as_ref() == Some(&spread) {
            // The same traffic: nothing that was measured has to begin anew.
            self.rollout.traffic.target = Target::Step(step);
        } else {
            self.move_traffic(Target::Step(step));
        }
        let count = self.rollout.plan.steps.len();
        self.enter(format!("step {} of {count} begins: {}", step + 1, describe(&spread)), None, None);
        let told = if step == 0 { Occasion::Started } else { Occasion::Advanced };
        self.tell(told);
        self.ask_step_hooks(step);
    }

    /// The last step is over.
    fn finish(&mut self) {
        let everything = self.rollout.spread().is_some_and(|spread| spread.is_everything());
        if everything {
            self.close_step(StepStatus::Passed);
            self.give_everything();
        } else {
            let words = "the plan is done and does not end at 100 %; promote or abort";
            self.close_step(StepStatus::Passed);
            self.pause(Reason::plain("plan", Verdict::Inconclusive, words), None, false);
        }
    }

    fn give_everything(&mut self) {
        self.rollout.phase = Phase::Baking;
        (self.rollout.waits_for, self.rollout.paused) = (None, None);
        if self.rollout.traffic.target != Target::Promoted {
            self.move_traffic(Target::Promoted);
            self.enter("the canary gets everything for good".to_owned(), None, None);
        }
    }

    fn wait_for_approval(&mut self, tick: &Tick) {
        let state = &mut self.rollout.approval;
        state.waited = state.waited.saturating_add(tick.elapsed);
        let Some(approval) =
            self.rollout.plan.steps.get(self.rollout.step).and_then(|step| step.approval.clone())
        else {
            return;
        };
        if approval.timeout.is_zero() || self.rollout.approval.waited < approval.timeout {
            return;
        }
        let words = format!("nobody agreed within {:?}", approval.timeout);
        let reason = Reason::plain("approval", Verdict::Inconclusive, words);
        match approval.on_timeout {
            OnTimeout::Abort => self.end(Phase::Aborted, reason, None),
            OnTimeout::Pause => self.pause(reason, None, false),
            OnTimeout::Promote => {
                self.rollout.approval.given_by = Some("timeout".to_owned());
                self.rollout.phase = self.moving();
                self.enter(
                    "goes on: nobody answered in time, and the plan says so".to_owned(),
                    Some(reason),
                    None,
                );
            }
        }
    }

    /// The phase of a rollout that is under way.
    fn moving(&self) -> Phase {
        match self.rollout.traffic.target {
            Target::Untouched => Phase::Waiting,
            Target::Step(step) if Spread::of(&self.rollout.plan.steps, step).is_everything() => Phase::Baking,
            Target::Promoted => Phase::Baking,
            _ => Phase::Progressing,
        }
    }

    /// Somebody wants something. What makes no sense now has been refused before (see [`Command::check`]).
    pub(super) fn command(&mut self, command: Command, by: &By) {
        if command.check(self.rollout.phase).is_err() {
            return;
        }
        let why = by.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let said =
            |what: &str| Reason::plain(command.as_str(), Verdict::Held, format!("{} {what}{why}", by.actor));
        match command {
            Command::Pause => self.pause(said("paused it"), Some(by), false),
            Command::Resume => self.resume(by),
            Command::Abort => {
                if self.rollout.phase != Phase::RollingBack {
                    self.end(Phase::Aborted, said("aborted it"), Some(by));
                }
            }
            Command::Reject => self.end(Phase::Aborted, said("did not agree"), Some(by)),
            Command::Approve => {
                self.rollout.approval.given_by = Some(by.actor.clone());
                self.rollout.phase = self.moving();
                self.enter(format!("{} agreed{why}", by.actor), None, Some(by.clone()));
            }
            Command::Promote | Command::PromoteFull if self.rollout.behind.is_some() => {
                let other = self.rollout.behind.clone().unwrap_or_default();
                self.wait("rollout", &format!("{other} has to be over first, whoever wants to go on"));
            }
            Command::Promote => self.promote_by_hand(by),
            Command::PromoteFull => {
                self.close_step(StepStatus::Skipped);
                self.skip_rest();
                self.enter(format!("{} gives the canary everything{why}", by.actor), None, Some(by.clone()));
                self.give_everything();
            }
            // The old version is no backup any more, and the route may be another rollout's.
            Command::Undo if self.rollout.age >= self.rollout.plan.keep_baseline => {}
            Command::Undo => {
                self.rollout.ended_ms = None;
                self.end(Phase::RolledBack, said("brought the old version back"), Some(by));
            }
        }
    }

    fn resume(&mut self, by: &By) {
        let manual = self.has_manual_weights();
        self.rollout.paused = None;
        self.rollout.approval.waited = Duration::ZERO;
        self.forgive_hooks();
        self.enter(format!("{} resumed it", by.actor), None, Some(by.clone()));
        // Where the canary was withdrawn, the step begins again with the next tick, if nothing stands in its way.
        if manual {
            self.move_traffic(self.rollout.traffic.target);
        }
        self.rollout.phase = self.moving();
    }

    pub(super) fn has_manual_weights(&self) -> bool {
        self.rollout.paused.as_ref().is_some_and(|paused| paused.reason.gate == "manual_weights")
    }

    fn promote_by_hand(&mut self, by: &By) {
        let (manual, stage) = (self.has_manual_weights(), self.rollout.traffic.stage);
        let why = by.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        self.enter(format!("{} made the next step{why}", by.actor), None, Some(by.clone()));
        let next = if self.rollout.traffic.target == Target::Untouched { 0 } else { self.rollout.step + 1 };
        self.close_step(StepStatus::Skipped);
        if next < self.rollout.plan.steps.len() {
            self.enter_step(next)
        } else {
            self.give_everything()
        }
        if manual && stage == self.rollout.traffic.stage {
            self.move_traffic(self.rollout.traffic.target);
        }
    }

    fn skip_rest(&mut self) {
        for state in self.rollout.steps.iter_mut().filter(|state| state.status == StepStatus::Pending) {
            state.status = StepStatus::Skipped;
        }
    }
}

/// A step's traffic for people.
fn describe(spread: &Spread) -> String {
    let mut words = vec![format!("{} to the canary", spread.share)];
    let list = |names: &[crate::types::Name]| {
        names.iter().map(crate::types::Name::as_str).collect::<Vec<_>>().join(", ")
    };
    if !spread.segments.is_empty() {
        words.push(format!("of segment {}", list(&spread.segments)));
    }
    if !spread.regions.is_empty() {
        words.push(format!("from {}", list(&spread.regions)));
    }
    if let Some(share) = spread.mirror {
        words.push(format!("and copies of {share}"));
    }
    words.join(" ")
}
