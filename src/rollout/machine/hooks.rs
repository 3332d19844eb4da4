//! What is asked of hooks, and what their answers mean.
//!
//! A hook that is asked once is asked once in an attempt, whatever happens: that it was called is in the journal before it is. When Weir
//! is restarted before the answer is there, nobody knows what came of it, so the rollout pauses and a person decides.

use std::time::Duration;

use super::{Effect, HookAnswer, HookState, HookStatus, Machine, Phase};
use crate::{
    config::model::rollout::HookKind,
    rollout::reason::{Reason, Verdict},
};

/// The pause before a hook that failed is called again.
const RETRY: Duration = Duration::from_secs(2);

impl HookKind {
    /// Whether it is asked again and again.
    fn is_asked_again(self) -> bool {
        matches!(
            self,
            Self::ConfirmRollout
                | Self::ConfirmStep
                | Self::ConfirmPromotion
                | Self::Rollout
                | Self::Rollback
        )
    }
}

impl Machine {
    fn kind(&self, hook: usize) -> Option<HookKind> {
        self.rollout.plan.hooks.get(hook).map(|hook| hook.kind)
    }

    /// Whether all hooks of a kind have agreed at a step; asks those that were not asked yet.
    pub(super) fn all_passed(&mut self, kind: HookKind, step: usize) -> bool {
        let mut passed = true;
        for hook in 0..self.rollout.plan.hooks.len() {
            if self.kind(hook) != Some(kind) {
                continue;
            }
            match self.rollout.hooks.iter().find(|state| state.hook == hook && state.step == step) {
                Some(state) => passed &= state.status == HookStatus::Passed,
                None => {
                    passed = false;
                    self.ask(hook, step);
                }
            }
        }
        passed
    }

    /// Those that are asked while a step lasts.
    pub(super) fn ask_step_hooks(&mut self, step: usize) {
        self.rollout.hooks.retain(|state| state.status != HookStatus::Running || state.step == step);
        let kinds = [HookKind::Rollout, HookKind::Rollback];
        self.rollout.hooks.retain(|state| {
            !self.rollout.plan.hooks.get(state.hook).is_some_and(|hook| kinds.contains(&hook.kind))
        });
        for hook in 0..self.rollout.plan.hooks.len() {
            if self.kind(hook).is_some_and(|kind| kinds.contains(&kind)) {
                self.ask(hook, step);
            }
        }
    }

    /// Those that are asked when all is over, once; a promotion that is undone ends a second time. Nothing depends on what they say, and
    /// nobody waits for the others any more.
    pub(super) fn ask_last_hooks(&mut self) {
        let hooks = &self.rollout.plan.hooks;
        let is_last = |hook: usize| hooks.get(hook).is_some_and(|hook| hook.kind == HookKind::PostRollout);
        let waits = |status: HookStatus| matches!(status, HookStatus::Due(_) | HookStatus::Running);
        self.rollout.hooks.retain(|state| is_last(state.hook) || !waits(state.status));
        for hook in 0..self.rollout.plan.hooks.len() {
            let asked = self.rollout.hooks.iter().any(|state| state.hook == hook);
            if self.kind(hook) == Some(HookKind::PostRollout) && !asked {
                self.ask(hook, self.rollout.step);
            }
        }
    }

    /// Those that hear of everything. Nobody waits for them, and nobody keeps what they say.
    pub(super) fn ask_event_hooks(&mut self) {
        let (step, call) = (self.rollout.step, u32::try_from(self.rollout.seq).unwrap_or(u32::MAX));
        for hook in 0..self.rollout.plan.hooks.len() {
            if self.kind(hook) == Some(HookKind::Event) {
                self.effects.push(Effect::CallHook { hook, step, call });
            }
        }
    }

    fn ask(&mut self, hook: usize, step: usize) {
        let status = HookStatus::Running;
        self.rollout.hooks.push(HookState { hook, step, calls: 1, failed: 0, status, said: None });
        self.effects.push(Effect::CallHook { hook, step, call: 1 });
    }

    /// Calls those whose time has come.
    pub(super) fn wait_for_hooks(&mut self, elapsed: Duration) {
        let paused = self.rollout.phase == Phase::Paused;
        for state in &mut self.rollout.hooks {
            let HookStatus::Due(left) = state.status else { continue };
            let kind = self.rollout.plan.hooks.get(state.hook).map(|hook| hook.kind);
            // What agrees to the next step is not asked while nobody wants one; what withdraws the canary always is.
            if paused && kind != Some(HookKind::Rollback) {
                continue;
            }
            let left = left.saturating_sub(elapsed);
            state.status = HookStatus::Due(left);
            if left.is_zero() {
                state.status = HookStatus::Running;
                state.calls = state.calls.saturating_add(1);
                self.effects.push(Effect::CallHook { hook: state.hook, step: state.step, call: state.calls });
            }
        }
    }

    pub(super) fn hook_answered(&mut self, (hook, step): (usize, usize), answer: &HookAnswer) {
        let threshold = self.rollout.plan.analysis.threshold;
        let Some(declared) = self.rollout.plan.hooks.get(hook).cloned() else { return };
        let asked = |state: &&mut HookState| {
            state.hook == hook && state.step == step && state.status == HookStatus::Running
        };
        let Some(state) = self.rollout.hooks.iter_mut().find(asked) else { return };
        let (good, text) = match answer {
            HookAnswer::Yes(text) => (true, text),
            HookAnswer::No(text) | HookAnswer::Failed(text) => (false, text),
        };
        state.said = Some(text.clone());
        state.failed = if good { 0 } else { state.failed.saturating_add(1) };
        let failed = state.failed;
        state.status = match declared.kind {
            HookKind::Rollout | HookKind::Rollback => HookStatus::Due(declared.every),
            _ if good => HookStatus::Passed,
            kind if kind.is_asked_again() => HookStatus::Due(declared.every),
            _ if failed <= declared.retries => HookStatus::Due(RETRY),
            _ => HookStatus::Failed,
        };
        let status = state.status;
        if self.rollout.phase.is_over() || self.rollout.phase == Phase::RollingBack {
            return;
        }
        let name = &declared.name;
        match (declared.kind, good) {
            (HookKind::Rollback, true) => {
                let words = format!("hook {name} says that the canary has to go: {text}");
                self.end(Phase::RolledBack, Reason::plain(name, Verdict::Fail, words), None);
            }
            (HookKind::Rollout, false) if failed >= threshold => {
                let words = format!("hook {name} failed {failed} times in a row: {text}");
                self.fail(Reason::plain(name, Verdict::Fail, words));
            }
            (HookKind::PreRollout, false) if status == HookStatus::Failed => {
                let words = format!("hook {name} failed: {text}");
                self.end(Phase::RolledBack, Reason::plain(name, Verdict::Fail, words), None);
            }
            _ => {}
        }
    }

    /// What was under way when Weir went down.
    pub(super) fn hooks_after_restart(&mut self) {
        let mut unknown = None;
        for state in &mut self.rollout.hooks {
            if state.status != HookStatus::Running {
                continue;
            }
            match self.rollout.plan.hooks.get(state.hook) {
                Some(hook) if hook.kind.is_asked_again() => state.status = HookStatus::Due(Duration::ZERO),
                Some(hook) if hook.kind == HookKind::PreRollout => {
                    state.status = HookStatus::Unknown;
                    unknown = Some(hook.name.clone());
                }
                _ => state.status = HookStatus::Unknown,
            }
        }
        let goes_on = !self.rollout.phase.is_over() && self.rollout.phase != Phase::RollingBack;
        if let Some(name) = unknown.filter(|_| goes_on) {
            let words = format!(
                "nobody knows what came of hook {name}, which was under way when Weir was restarted; resume calls it again"
            );
            self.pause(Reason::plain(&name, Verdict::Error, words), None, false);
        }
    }

    /// Somebody wants to go on in spite of what hooks said: those without an answer are asked again.
    pub(super) fn forgive_hooks(&mut self) {
        self.rollout.hooks.retain(|state| !matches!(state.status, HookStatus::Unknown | HookStatus::Failed));
    }
}
