//! Writing rollouts down, beside the driver, and what has to wait for that.

use std::{sync::Arc, time::Duration};

use super::{Active, CHECKPOINT, Driver, Message, StartError, StartReply, now_ms};
use crate::{
    control::store::{
        StoreError,
        rollouts::{KeptEntry, KeptRollout, Outbound},
    },
    rollout::{
        machine::{Effect, Entry, Rollout},
        notice::Notice,
        outside::HookCall,
    },
    types::clock,
};

/// Between two attempts to write what could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// What the journal does not have yet, and what waits until it has.
#[derive(Default)]
pub(super) struct Unwritten {
    /// The newest stage that the journal has.
    pub(super) stage: u32,
    entries: Vec<Entry>,
    effects: Vec<Effect>,
    is_writing: bool,
    /// When it may be tried again.
    retry_at: Option<tokio::time::Instant>,
    /// Whether the journal knows the rollout at all.
    is_known: bool,
    /// Those who wait until it does.
    waiting: Vec<StartReply>,
}

/// What a write has brought to the journal.
pub(super) struct Written {
    stage: u32,
    entries: usize,
    effects: usize,
    messages: usize,
}

// === impl Unwritten ===

impl Unwritten {
    /// Takes what came of an event. That the traffic is to change is in the state itself.
    pub(super) fn add(&mut self, effects: Vec<Effect>, entries: Vec<Entry>) {
        self.effects.extend(effects.into_iter().filter(|effect| *effect != Effect::SetTraffic));
        self.entries.extend(entries);
    }

    /// Where to wait until the journal knows the rollout; `None` when it does.
    pub(super) fn waiting(&mut self) -> Option<&mut Vec<StartReply>> {
        (!self.is_known).then_some(&mut self.waiting)
    }

    /// What was read from the journal, at this stage.
    pub(super) fn read(stage: u32) -> Self {
        Self { stage, is_known: true, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.effects.is_empty() && !self.is_writing
    }
}

// === impl Driver ===

impl Driver {
    /// Has written down what is not yet.
    pub(super) fn keep(&mut self) {
        if self.context.control.stands_still() {
            return;
        }
        let now = clock::now();
        for active in self.active.values_mut() {
            let due = now.saturating_duration_since(active.checkpoint) >= CHECKPOINT;
            let unwritten = &active.unwritten;
            let has_news = !unwritten.is_known
                || !unwritten.entries.is_empty()
                || !unwritten.effects.is_empty()
                || unwritten.stage < active.rollout.traffic.stage;
            let may = unwritten.retry_at.is_none_or(|at| now >= at);
            if unwritten.is_writing || !may || !(has_news || due) {
                continue;
            }
            active.checkpoint = now;
            let (kept, entries, messages, written) = active.take_stock();
            let (journal, sender, id) =
                (self.context.control.journal().clone(), self.sender.clone(), active.rollout.id.clone());
            tokio::spawn(async move {
                let result = journal.keep(kept, entries, messages).await;
                // Without a driver there is nobody to tell.
                let _ = sender.send(Message::Written { id, written, result }).await;
            });
        }
    }

    /// The journal has what it was given, or not.
    pub(super) fn written(&mut self, id: &str, written: Written, result: Result<(), StoreError>) {
        let Some(active) = self.active.get_mut(id) else { return };
        active.unwritten.is_writing = false;
        if let Err(error) = result {
            if !active.unwritten.is_known && !active.unwritten.waiting.is_empty() {
                // Somebody waits to hear of it, so it is theirs to try again.
                let waiting = std::mem::take(&mut active.unwritten.waiting);
                self.active.remove(id);
                for reply in waiting {
                    let _ = reply.send(Err(StartError::Unwritten(error.clone())));
                }
                return;
            }
            active.unwritten.retry_at = Some(clock::now() + RETRY);
            self.problem(format!("rollout {id} cannot be written down: {error}"));
            return;
        }
        let unwritten = &mut active.unwritten;
        unwritten.retry_at = None;
        unwritten.is_known = true;
        for reply in unwritten.waiting.drain(..) {
            let _ = reply.send(Ok(Arc::new(active.rollout.clone())));
        }
        unwritten.stage = unwritten.stage.max(written.stage);
        unwritten.entries.drain(..written.entries.min(unwritten.entries.len()));
        let effects: Vec<Effect> =
            unwritten.effects.drain(..written.effects.min(unwritten.effects.len())).collect();
        if written.messages > 0 {
            self.context.outside.messages_are_due();
        }
        let calls: Vec<HookCall> =
            effects.iter().filter_map(|effect| call(&active.rollout, effect)).collect();
        for call in calls {
            let (outside, sender, id) =
                (Arc::clone(&self.context.outside), self.sender.clone(), id.to_owned());
            tokio::spawn(async move {
                let (hook, step) = (call.hook, call.step);
                let answer = outside.call(call).await;
                let _ = sender.send(Message::Hook { id, hook, step, answer }).await;
            });
        }
        if let Some(active) = self.active.get_mut(id)
            && active.wants_traffic()
        {
            super::traffic::set(&self.context, active, &self.sender);
        }
    }

    /// Writes everything once more, when the driver stops.
    pub(super) async fn finish(&mut self) {
        if self.context.control.stands_still() {
            return;
        }
        for active in self.active.values_mut() {
            let (kept, entries, messages, _) = active.take_stock();
            // What cannot be written now is known by the last checkpoint.
            let _ = self.context.control.journal().keep(kept, entries, messages).await;
        }
    }

    pub(super) fn problem(&mut self, words: String) {
        self.problems.retain(|known| *known != words);
        self.problems.push(words);
        if self.problems.len() > 20 {
            self.problems.remove(0);
        }
    }
}

// === impl Active ===

impl Active {
    /// All that the journal is to have, and what of it is news.
    fn take_stock(&mut self) -> (KeptRollout, Vec<KeptEntry>, Vec<Outbound>, Written) {
        self.unwritten.is_writing = true;
        self.rollout.at_ms = now_ms();
        let messages = Notice::of_effects(&self.rollout, &self.unwritten.effects, self.rollout.at_ms);
        let entries: Vec<KeptEntry> = self.unwritten.entries.iter().map(kept).collect();
        let written = Written {
            stage: self.rollout.traffic.stage,
            entries: entries.len(),
            effects: self.unwritten.effects.len(),
            messages: messages.len(),
        };
        (kept_rollout(&self.rollout, self.evidence()), entries, messages, written)
    }
}

fn kept(entry: &Entry) -> KeptEntry {
    KeptEntry { seq: entry.seq, entry: serde_json::to_string(entry).unwrap_or_default() }
}

/// A rollout as it is kept.
pub(super) fn kept_rollout(rollout: &Rollout, evidence: String) -> KeptRollout {
    KeptRollout {
        id: rollout.id.clone(),
        began_ms: rollout.began_ms,
        over: rollout.phase.is_over(),
        state: serde_json::to_string(rollout).unwrap_or_default(),
        evidence,
    }
}

/// The call that an effect is, if it is one.
fn call(rollout: &Rollout, effect: &Effect) -> Option<HookCall> {
    let Effect::CallHook { hook, step, call } = effect else { return None };
    HookCall::of(rollout, *hook, *step, *call)
}
