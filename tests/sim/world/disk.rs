//! The journal, hooks that are called once it has that they are, and what is left when the process dies.

use std::{collections::BTreeMap, time::Duration};

use weir::{
    config::model::rollout::HookKind,
    rollout::machine::{Effect, Event, HookAnswer, HookStatus, Rollout},
};

use super::{
    Coming, Live, World,
    eyes::{Evidence, Eyes},
};
use crate::checks::{Checked, ensure};

/// What the journal does not have yet.
#[derive(Default)]
pub(crate) struct Unwritten {
    pub(super) stage: u32,
    pub(super) entries: usize,
    pub(super) effects: Vec<Effect>,
    is_writing: bool,
    retry_at: Duration,
    checkpoint: Duration,
}

/// What a write brings to the journal.
#[derive(Debug)]
pub(crate) struct Written {
    kept: Kept,
    entries: usize,
    effects: usize,
}

/// What the journal has of a rollout.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    state: String,
    evidence: Option<Evidence>,
    stage: u32,
    dwell: Duration,
}

// === impl Unwritten ===

impl Unwritten {
    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0 && self.effects.is_empty() && !self.is_writing
    }
}

// === impl World ===

impl World {
    /// Has written down what is not yet.
    pub(super) fn keep(&mut self) {
        for (id, live) in &mut self.active {
            let unwritten = &mut live.unwritten;
            let news = unwritten.entries > 0
                || !unwritten.effects.is_empty()
                || unwritten.stage < live.rollout.traffic.stage;
            let due = self.now >= unwritten.checkpoint + self.scale / 8;
            if unwritten.is_writing || self.now < unwritten.retry_at || !(news || due) {
                continue;
            }
            (unwritten.is_writing, unwritten.checkpoint) = (true, self.now);
            let (entries, effects) = (unwritten.entries, unwritten.effects.len());
            let kept = Kept {
                state: serde_json::to_string(&live.rollout).unwrap(),
                evidence: live.eyes.evidence(),
                stage: live.rollout.traffic.stage,
                dwell: live.rollout.dwell,
            };
            let takes = if self.faults.slow { self.dice.millis(100, 2000) } else { self.dice.millis(0, 20) };
            let works = !self.faults.disk_fails;
            let written = Box::new(Written { kept, entries, effects });
            self.coming.push((self.now + takes, Coming::Written { id: id.clone(), written, works }));
        }
    }

    /// The journal has what it was given, or not.
    pub(super) fn written(&mut self, id: &str, written: Written, works: bool) {
        if works {
            self.disk.insert(id.to_owned(), written.kept.clone());
        }
        let Some(live) = self.active.get_mut(id) else { return };
        let unwritten = &mut live.unwritten;
        unwritten.is_writing = false;
        if !works {
            unwritten.retry_at = self.now + Duration::from_secs(1);
            return;
        }
        unwritten.stage = unwritten.stage.max(written.kept.stage);
        unwritten.entries -= written.entries;
        let effects: Vec<Effect> = unwritten.effects.drain(..written.effects).collect();
        for effect in effects {
            if let Effect::CallHook { hook, step, call } = effect {
                self.call(id, (hook, step, call));
            }
        }
        self.obey(id);
    }

    fn call(&mut self, id: &str, (hook, step, call): (usize, usize, u32)) {
        let resumed = self.resumed.get(id).copied().unwrap_or(0);
        *self.called.entry((id.to_owned(), hook, step, call, resumed)).or_default() += 1;
        let kind = self.active[id].rollout.plan.hooks[hook].kind;
        let says_yes = if kind == HookKind::Rollback { 0.02 } else { 0.8 };
        let answer = match self.dice.unit() {
            of if of < says_yes => HookAnswer::Yes("200".to_owned()),
            of if of < 0.9 => HookAnswer::No("503".to_owned()),
            _ => HookAnswer::Failed("timed out".to_owned()),
        };
        let takes = if self.faults.slow {
            self.scale.mul_f64(0.2 * self.dice.unit())
        } else {
            self.dice.millis(1, 400)
        };
        let answers = self.now + takes;
        self.coming.push((answers, Coming::Hook { id: id.to_owned(), hook, step, answer: answer.clone() }));
        if self.dice.chance(0.05) {
            self.coming.push((answers, Coming::Hook { id: id.to_owned(), hook, step, answer }));
        }
    }

    /// The process dies and comes again.
    pub(super) fn die(&mut self) -> Checked {
        self.tell("the process dies".to_owned());
        for (_, coming) in std::mem::take(&mut self.coming) {
            match coming {
                // What was on its way may have arrived.
                Coming::Written { id, written, works: true } if self.dice.chance(0.5) => {
                    self.disk.insert(id, written.kept);
                }
                Coming::Apply(rollout) if self.dice.chance(0.5) => {
                    self.apply(&rollout)?;
                    self.coming.clear();
                }
                _ => {}
            }
        }
        self.coming.clear();
        (self.active, self.over) = (BTreeMap::new(), Vec::new());
        let down = if self.dice.chance(0.5) {
            self.dice.millis(0, 2000)
        } else {
            self.scale.mul_f64(self.dice.unit())
        };
        self.now += down;
        self.applier_free = self.now;
        self.wall_ms += u64::try_from(down.as_millis()).unwrap();
        for road in self.roads.values_mut() {
            road.begin_trial();
        }
        for (id, kept) in self.disk.clone() {
            let rollout: Rollout = serde_json::from_str(&kept.state).unwrap();
            let has_fractions = self.kind == super::Kind::Judged;
            ensure!(
                has_fractions || serde_json::to_string(&rollout).unwrap() == kept.state,
                "the journal of {id} reads as something else"
            );
            let eyes = Eyes::resumed(&rollout, kept.evidence.as_ref());
            let mut live = Live::new(rollout, eyes);
            live.unwritten.stage = kept.stage;
            if live.is_over() {
                self.over.push(live.rollout);
                continue;
            }
            self.active.insert(id.clone(), live);
            self.step(&id, &Event::Restarted(down))?;
            let dwell = self.active[&id].rollout.dwell;
            ensure!(dwell == kept.dwell, "dwell is {dwell:?} after a restart, and was {:?}", kept.dwell);
        }
        Ok(())
    }

    /// Hooks that are called once were called once, and are not forgotten.
    pub(super) fn check_hooks(&self, rollout: &Rollout) -> Checked {
        for ((id, hook, step, call, _), times) in &self.called {
            let once = *id == rollout.id
                && matches!(rollout.plan.hooks[*hook].kind, HookKind::PreRollout | HookKind::PostRollout);
            ensure!(
                !once || *times == 1,
                "hook {hook} of {id} was called {times} times as call {call} of step {step}"
            );
        }
        for (place, hook) in rollout.plan.hooks.iter().enumerate() {
            let states: Vec<_> = rollout.hooks.iter().filter(|state| state.hook == place).collect();
            let runs = |status: HookStatus| matches!(status, HookStatus::Running | HookStatus::Due(_));
            ensure!(
                !states.iter().any(|state| runs(state.status)),
                "hook {place} of {} is not answered",
                rollout.id
            );
            if hook.kind == HookKind::PostRollout {
                ensure!(states.len() == 1, "hook {place} of {} was asked {} times", rollout.id, states.len());
                let calls =
                    self.called.keys().filter(|(id, hook, ..)| *id == rollout.id && *hook == place).count();
                ensure!(
                    calls > 0 || states[0].status == HookStatus::Unknown,
                    "hook {place} of {} was lost",
                    rollout.id
                );
                ensure!(
                    calls <= 1 + usize::try_from(hook.retries).unwrap(),
                    "hook {place} of {} was called {calls} times",
                    rollout.id
                );
            }
        }
        Ok(())
    }
}
