//! The applier's writes: off the async threads, bounded in time, and tried again until the disk has what is in force.
//!
//! A change that must be on disk first goes with everything that still waits in one transaction ([`Applier::commit`]). What is in force
//! already waits in the [`Backlog`] until the disk takes it ([`Applier::keep`]). A write that is given up on may still come to its end:
//! nothing else is written before it has, and a change that was refused for it and is on disk in the end is [withdrawn](Applier::withdraw).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle, time::sleep_until};

use super::{Applier, Event, Publisher};
use crate::{
    control::{
        audit::AuditResult,
        command::{Change, Channel, Origin},
        state::State,
        store::{NewRevision, Record, StoreError, Stored, Used},
    },
    types::{Overlay, Revision, clock},
};

/// How long a write may take before the change is refused. A disk that takes longer is as good as broken.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// How long the answer to a kill waits for the disk; it is in force by then.
pub(super) const BRAKE_LIMIT: Duration = Duration::from_millis(250);
/// How much longer a write may take once a kill waits behind it.
const GIVE_WAY: Duration = Duration::from_millis(30);
/// From the last command or try to the next try, while the disk is behind.
pub(super) const RETRY: Duration = Duration::from_secs(3);
/// How long a try in the background may hold up commands.
pub(super) const RETRY_LIMIT: Duration = Duration::from_millis(500);
/// Records that are kept for a disk that fails. Of more, the oldest refusals give way first: what was denied changed nothing, and whoever is
/// denied over and over must not push the record of a kill out.
const BACKLOG: usize = 256;

/// What the disk does not have yet.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Oldest first.
    records: VecDeque<Record>,
    /// How many gave way.
    lost: u64,
    late: Option<Late>,
}

/// A write that was given up on, but that the disk may still finish.
#[derive(Debug)]
struct Late {
    task: JoinHandle<Result<(), StoreError>>,
    /// How many of the backlog's records it has.
    waiting: usize,
    /// How many of those have given way since.
    gone: u64,
    /// How many it says gave way before.
    lost: u64,
    /// The change that was refused for it: the revision that it would have made.
    refused: Option<Revision>,
}

/// How a write went.
enum Written {
    Done(Result<(), StoreError>),
    GivenUp(JoinHandle<Result<(), StoreError>>),
}

// === impl Backlog ===

impl Backlog {
    fn push(&mut self, record: Record) {
        if self.records.len() == BACKLOG {
            self.give_way();
        }
        self.records.push_back(record);
    }

    /// Makes room for one more.
    fn give_way(&mut self) {
        let refused = self.records.iter().position(|record| record.row.result == AuditResult::Refused);
        let index = refused.unwrap_or(0);
        self.records.remove(index);
        self.lost += 1;
        if let Some(late) = self.late.as_mut().filter(|late| index < late.waiting) {
            late.waiting -= 1;
            late.gone += 1;
        }
    }

    /// The number of a change that was refused, and may be on disk in the end.
    pub(super) fn doubtful(&self) -> Option<Revision> {
        self.late.as_ref().and_then(|late| late.refused)
    }

    /// Whether a write is under way that nobody waits for any more.
    fn is_stuck(&self) -> bool {
        self.late.as_ref().is_some_and(|late| !late.task.is_finished())
    }
}

// === impl Applier ===

impl<P: Publisher> Applier<P> {
    /// Whether the disk lacks something, or was last seen failing.
    pub(super) fn is_behind(&self) -> bool {
        let state = self.state.borrow();
        let unsaved = state.store.directory.is_some() && !state.store.persisted;
        let backlog = &self.backlog;
        unsaved || state.store.error.is_some() || !backlog.records.is_empty() || backlog.late.is_some()
    }

    /// Tries to bring everything to disk, and tells when that ends a failure.
    pub(super) async fn catch_up(&mut self, limit: Duration) {
        let failed = self.state.borrow().store.error.is_some();
        self.settle().await;
        let result = self.flush(limit).await;
        self.state.send_modify(|state| {
            let store = &mut Arc::make_mut(state).store;
            store.persisted = result.is_ok() && store.directory.is_some();
            store.error = result.as_ref().err().map(ToString::to_string);
        });
        // That it still fails is no news.
        if result.is_ok() && failed {
            self.emit(Event::StoreRecovered);
        }
    }

    /// Writes `record`, and all that waits before it. It is not kept where that fails: what it tells of has not happened then.
    pub(super) async fn commit(&mut self, record: Record) -> Result<(), StoreError> {
        self.write_all(WRITE_LIMIT, Some(record)).await
    }

    /// Writes `record`, after those that wait; where that fails it waits too.
    pub(super) async fn keep(&mut self, record: Record, limit: Duration) -> Result<(), StoreError> {
        self.backlog.push(record);
        let result = self.flush(limit).await;
        if result.is_err()
            && let Some(last) = self.backlog.records.back_mut()
            && last.row.result == AuditResult::Applied
        {
            last.row.result = AuditResult::NotPersisted;
        }
        result
    }

    /// The same for what need not be on disk before somebody is answered: it is written when nothing else is to do.
    pub(super) fn keep_for_later(&mut self, record: Record) {
        self.backlog.push(record);
    }

    /// Writes all that waits; without anything, tries the disk.
    async fn flush(&mut self, limit: Duration) -> Result<(), StoreError> {
        self.write_all(limit, None).await
    }

    /// Writes all that waits, and after it `new`, which is refused where that fails.
    async fn write_all(&mut self, limit: Duration, new: Option<Record>) -> Result<(), StoreError> {
        if self.backlog.late.is_some() {
            return Err(StoreError::Stuck);
        }
        let lost = std::mem::take(&mut self.backlog.lost);
        let gap = (lost > 0).then(|| self.gap(lost));
        let waiting = self.backlog.records.len();
        let refused = new.as_ref().map(|record| record.stored.revision);
        let in_force = new.as_ref().map_or_else(|| stored(&self.current()), |record| record.stored.clone());
        let batch = gap.into_iter().chain(self.backlog.records.iter().cloned()).chain(new).collect();
        match self.write(limit, (in_force, batch)).await {
            Written::Done(Ok(())) => {
                self.backlog.records.clear();
                Ok(())
            }
            Written::Done(Err(error)) => {
                self.backlog.lost += lost;
                Err(error)
            }
            Written::GivenUp(task) => {
                self.backlog.late = Some(Late { task, waiting, gone: 0, lost, refused });
                Err(StoreError::Stuck)
            }
        }
    }

    /// That records gave way. It stands before the others, and must not undo what they say.
    fn gap(&self, lost: u64) -> Record {
        let origin = Origin::new("weir", Channel::File);
        let record = self.record(("lost_rows", AuditResult::Applied), &origin, (Value::Null, json!(lost)));
        Record { revision: None, ..record }
    }

    /// Takes note of a write that was given up on, if it has come to its end by now. For the time before a change is decided on, because what
    /// is found may make a revision.
    pub(super) async fn settle(&mut self) {
        if self.backlog.is_stuck() {
            return;
        }
        let Some(Late { task, waiting, gone, lost, refused }) = self.backlog.late.take() else { return };
        if !matches!(task.await, Ok(Ok(()))) {
            self.backlog.lost += lost;
            return;
        }
        self.backlog.records.drain(..waiting);
        // What gave way meanwhile is on disk all the same.
        self.backlog.lost -= gone;
        if let Some(revision) = refused {
            self.withdraw(revision);
        }
    }

    /// Undoes, by a revision of its own, one that is on disk and was refused because the disk took so long.
    pub(super) fn withdraw(&mut self, refused: Revision) {
        let current = self.current();
        let revision = refused.max(current.revision).next();
        let Ok(compiled) = self.publisher.compile(&current.file.config, &current.effective, revision) else {
            return;
        };
        self.publisher.publish(compiled);
        let origin = Origin::new("weir", Channel::File);
        self.state.send_modify(|state| {
            let state = Arc::make_mut(state);
            state.revision = revision;
            state.at = clock::unix_now();
            state.origin = origin.clone();
            state.action = "withdraw";
        });
        let change = (json!(refused), json!(current.revision));
        let record = self.record(("withdraw", AuditResult::Applied), &origin, change);
        self.backlog.push(record);
    }

    /// Writes off the async threads. A kill that comes meanwhile is not kept waiting.
    async fn write(&mut self, limit: Duration, (stored, batch): (Stored, Vec<Record>)) -> Written {
        let store = Arc::clone(&self.store);
        let (done, mut finished) = oneshot::channel();
        let task = tokio::task::spawn_blocking(move || {
            let result = store.write(&stored, &batch);
            // The applier may have given up on it.
            let _ = done.send(());
            result
        });
        let mut give_up = clock::now() + limit;
        loop {
            tokio::select! {
                biased;
                _ = &mut finished => break,
                () = sleep_until(give_up) => return Written::GivenUp(task),
                Some(message) = self.inbox.recv(), if self.held.len() < super::INBOX => {
                    if message.is_emergency() {
                        give_up = give_up.min(clock::now() + GIVE_WAY);
                        self.held.push_front(message);
                    } else {
                        self.held.push_back(message);
                    }
                }
            }
        }
        Written::Done(task.await.unwrap_or(Err(StoreError::Stuck)))
    }

    /// What happened just now, with the state in force since.
    pub(super) fn record(
        &self,
        (action, result): (&str, AuditResult),
        origin: &Origin,
        (from, to): (Value, Value),
    ) -> Record {
        let state = self.state.borrow();
        let mut record = record_of(&state, None);
        record.row.origin = origin.clone();
        record.row.action = action.to_owned();
        record.row.result = result;
        record.row.from = from;
        record.row.to = to;
        if result == AuditResult::Refused {
            record.revision = None;
        }
        record
    }

    /// Keeps what the store last said in the state, and tells when it failed.
    pub(super) fn note_store(&mut self, error: Option<StoreError>) {
        let text = error.as_ref().map(ToString::to_string);
        self.state.send_if_modified(|state| {
            let changed = state.store.error != text;
            if changed {
                Arc::make_mut(state).store.error = text;
            }
            changed
        });
        if let Some(error) = error {
            self.emit(Event::StoreFailed(error));
        }
    }
}

/// How long the answer to `change` may wait for the disk.
pub(super) fn write_limit(change: &Change) -> Duration {
    if change.is_emergency() { BRAKE_LIMIT } else { WRITE_LIMIT }
}

/// The record of the change that made `state`.
pub(super) fn record_of(state: &State, used: Option<Used>) -> Record {
    let at_ms = u64::try_from(state.at.as_millis()).unwrap_or(u64::MAX);
    Record {
        stored: stored(state),
        revision: Some(NewRevision { file_text: Arc::clone(&state.file.text), at_ms }),
        row: super::row(state),
        used,
    }
}

/// `state` as the store keeps it.
pub(super) fn stored(state: &State) -> Stored {
    Stored {
        revision: state.revision,
        file: state.file.digest.clone(),
        overlay: Overlay::clone(&state.overlay),
    }
}
