//! The single writer: one task that owns the state and carries out commands, one at a time.
//!
//! The order is validate, compile, persist, publish, broadcast. What is persisted is one transaction: the state, its revision and its row
//! of the audit. Everything up to publishing can fail and then has changed nothing; nothing after it can fail the change. Two changes are
//! published before they are persisted, and stay in force when they cannot be: the kill switch, because no disk must stand between an
//! operator and the brake, and a new control file, because it is on disk already. What is in force and not on disk is written as soon as
//! the disk takes it (`disk`).

mod disk;
mod handle;
mod once;
mod pause;
mod start;
#[cfg(test)]
mod tests;

use std::sync::{Arc, atomic::AtomicBool};

use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

pub use self::{
    handle::{Accepted, Control, Denial, Note},
    pause::{PauseError, Paused},
    start::StartError,
};

use self::{
    disk::{Backlog, RETRY, RETRY_LIMIT, WRITE_LIMIT, record_of, write_limit},
    once::UsedKeys,
    pause::Held,
};

use crate::{
    config::Config,
    control::{
        audit::{AuditResult, Row, rfc3339},
        change::{self, Plan},
        command::{Change, Channel, Command, Origin},
        refusal::Refusal,
        reload::ReloadFailure,
        state::{self, LastReload, State},
        store::{Store, StoreError},
    },
    types::{Name, Overlay, Revision, clock},
};

/// Commands that may wait. Senders beyond it wait themselves; commands take milliseconds.
const INBOX: usize = 64;
/// Events that a slow listener may be behind before it misses some.
const EVENTS: usize = 256;

/// Makes a state run. `compile` is pure: until `publish`, nothing outside has changed.
pub trait Publisher: Send + 'static {
    /// What is published.
    type Compiled: Send;

    /// Lowers the state to what the data plane reads.
    ///
    /// # Errors
    /// When the state cannot run, all reasons at once.
    fn compile(
        &mut self,
        config: &Arc<Config>,
        overlay: &Overlay,
        revision: Revision,
    ) -> Result<Self::Compiled, CompileError>;

    /// Makes it run.
    fn publish(&mut self, compiled: Self::Compiled);
}

/// Why a state cannot run: one line for each reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct CompileError(pub Vec<String>);

/// Something that happened, for the log, metrics and live views.
#[derive(Debug, Clone)]
pub enum Event {
    /// A change is in force.
    Applied {
        /// The state since.
        state: Arc<State>,
        /// The route it was about.
        route: Option<Name>,
        /// What it was before.
        from: Value,
        /// What it is now.
        to: Value,
    },
    /// A control file was refused; the last good one runs.
    ReloadRefused(ReloadFailure),
    /// The control file was read again, and is what runs.
    ReloadUnchanged {
        /// Whether the file was refused before, and the refusal is over.
        recovered: bool,
    },
    /// The store failed; what is in force is not on disk, or a change was refused for it.
    StoreFailed(StoreError),
    /// The store works again; what is in force is on disk.
    StoreRecovered,
}

/// What comes into the inbox.
#[derive(Debug)]
enum Message {
    Apply(Box<Command>, oneshot::Sender<Result<Accepted, Refusal>>),
    ReloadFailed(ReloadFailure),
    /// The file's content is what runs already.
    ReloadUnchanged,
    /// Somebody was not allowed to do something.
    Denied(Box<Denial>),
    /// Somebody did something that is no change.
    Note(Box<Note>, oneshot::Sender<Result<(), StoreError>>),
    /// Stand still.
    Pause(oneshot::Sender<Result<Paused, PauseError>>),
}

/// The task's state. [`Applier::start`] makes the first state run; [`Applier::run`] carries out commands.
pub struct Applier<P> {
    publisher: P,
    store: Arc<dyn Store>,
    state: watch::Sender<Arc<State>>,
    inbox: mpsc::Receiver<Message>,
    events: broadcast::Sender<Event>,
    /// What is in force and not on disk yet.
    backlog: Backlog,
    /// Idempotency keys that were used.
    used: UsedKeys,
    /// Whether the start itself is still to be written, and is the first with this store.
    unrecorded: Option<bool>,
    /// Messages that came while no command could be carried out.
    held: Held,
    /// Whether nothing is carried out, because another process takes over.
    standing_still: Arc<AtomicBool>,
}

// === impl Applier ===

impl<P: Publisher> Applier<P> {
    /// Carries out commands until every [`Control`] is gone or `stop` is done; what is under way is finished.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let behind = self.is_behind();
            let held = self.held.pop_front();
            let message = tokio::select! {
                biased;
                () = &mut stop => {
                    self.catch_up(RETRY_LIMIT).await;
                    return;
                }
                held = std::future::ready(held), if held.is_some() => held,
                message = self.inbox.recv() => message,
                () = tokio::time::sleep(RETRY), if behind => {
                    self.catch_up(RETRY_LIMIT).await;
                    continue;
                }
            };
            let Some(message) = message else { return };
            if let Message::Pause(reply) = message {
                if !self.pause(reply, stop.as_mut()).await {
                    return;
                }
            } else {
                self.handle(message).await;
            }
        }
    }

    async fn handle(&mut self, message: Message) {
        match message {
            Message::Apply(command, reply) => {
                let answer = self.apply(*command).await;
                // The sender may have gone away; the change holds all the same.
                let _ = reply.send(answer);
            }
            Message::ReloadFailed(failure) => self.reload_refused(failure).await,
            Message::ReloadUnchanged => self.reload_unchanged(),
            Message::Denied(denial) => {
                let what = (denial.action.as_str(), AuditResult::Refused);
                let mut record = self.record(what, &denial.origin, (Value::Null, denial.detail.into()));
                record.row.route = denial.route;
                self.keep_for_later(record);
                // Many come at once or none; one write takes all that have come.
                if self.inbox.is_empty() && self.held.is_empty() {
                    self.catch_up(RETRY_LIMIT).await;
                }
            }
            Message::Note(note, reply) => {
                let written = self.note(*note).await;
                // The sender may have gone away; it is written all the same.
                let _ = reply.send(written);
            }
            Message::Pause(_) => {}
        }
    }

    async fn note(&mut self, note: Note) -> Result<(), StoreError> {
        self.settle().await;
        let told = (Value::Null, note.to);
        let mut record = self.record((note.action, AuditResult::Applied), &note.origin, told);
        record.row.route = Some(note.route);
        record.revision = None;
        let written = self.commit(record).await;
        if let Err(error) = &written {
            self.note_store(Some(error.clone()));
        }
        written
    }

    async fn apply(&mut self, command: Command) -> Result<Accepted, Refusal> {
        let is_reload = matches!(command.change, Change::Reload(_));
        let dry_run = command.dry_run;
        let answer = self.decide_and_act(command).await;
        match &answer {
            _ if dry_run || !is_reload => {}
            Ok(accepted) if !accepted.changed => self.reload_unchanged(),
            Ok(_) => self.note_reload(Ok(())),
            Err(refusal) => self.reload_refused(ReloadFailure::refused(refusal)).await,
        }
        if let (Err(Refusal::Store(error)), false) = (&answer, dry_run) {
            self.note_store(Some(error.clone()));
        }
        answer
    }

    async fn decide_and_act(&mut self, command: Command) -> Result<Accepted, Refusal> {
        self.settle().await;
        let current = self.current();
        if let Some(revision) = self.used.revision(&command)? {
            return Ok(Accepted {
                before: Arc::clone(&current),
                state: current,
                changed: false,
                warnings: Vec::new(),
                replayed: Some(revision),
            });
        }
        // What could not be done at any revision is told as that (RFC 9110, section 13.2.1).
        let plan = change::plan(&current, &command.change)?;
        match command.expected {
            Some(expected) if expected != current.revision && !command.change.is_emergency() => {
                return Err(Refusal::Conflict { expected, actual: current.revision });
            }
            _ => {}
        }
        if !plan.changed {
            if !command.dry_run && self.is_behind() {
                self.catch_up(write_limit(&command.change)).await;
            }
            return Ok(accepted(&current, self.current(), (false, plan.warnings)));
        }
        let next = successor(&current, &plan, &command, self.backlog.doubtful());
        let compiled = self.publisher.compile(&next.file.config, &next.effective, next.revision)?;
        let warnings = [plan.warnings.clone(), new_dangling(&current, &next)].concat();
        if command.dry_run {
            return Ok(accepted(&current, Arc::new(next), (true, warnings)));
        }
        self.act(compiled, next, (&plan, &command)).await?;
        Ok(accepted(&current, self.current(), (true, warnings)))
    }

    /// Makes `next` run, and brings it to disk.
    async fn act(
        &mut self,
        compiled: P::Compiled,
        mut next: State,
        (plan, command): (&Plan, &Command),
    ) -> Result<(), StoreError> {
        let was_failing = next.store.error.is_some();
        let mut record = record_of(&next, once::used(command, &next));
        record.row.route.clone_from(&plan.route);
        record.row.from = plan.from.clone();
        record.row.to = plan.to.clone();
        let saved = if command.change.comes_before_the_disk() {
            self.publisher.publish(compiled);
            // Whoever looks sees what is in force, not what is on disk.
            next.store.persisted = false;
            self.state.send_replace(Arc::new(next.clone()));
            // A crash while the database writes must not forget a kill.
            self.store.mirror(&record.stored);
            self.keep(record, write_limit(&command.change)).await
        } else {
            let stored = record.stored.clone();
            self.commit(record).await?;
            self.publisher.publish(compiled);
            self.store.mirror(&stored);
            Ok(())
        };
        self.used.note(command, next.revision);
        next.store.persisted = saved.is_ok() && next.store.directory.is_some();
        next.store.error = saved.as_ref().err().map(ToString::to_string);
        let next = Arc::new(next);
        self.state.send_replace(Arc::clone(&next));
        match saved {
            Err(error) => self.emit(Event::StoreFailed(error)),
            Ok(()) if was_failing => self.emit(Event::StoreRecovered),
            Ok(()) => {}
        }
        self.emit(Event::Applied {
            state: next,
            route: plan.route.clone(),
            from: plan.from.clone(),
            to: plan.to.clone(),
        });
        Ok(())
    }

    fn current(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    fn note_reload(&mut self, result: Result<(), String>) {
        let at = clock::unix_now();
        self.state.send_modify(|state| {
            Arc::make_mut(state).last_reload = LastReload { ok: result.is_ok(), error: result.err(), at };
        });
    }

    fn reload_unchanged(&mut self) {
        let recovered = !self.state.borrow().last_reload.ok;
        self.note_reload(Ok(()));
        self.emit(Event::ReloadUnchanged { recovered });
    }

    async fn reload_refused(&mut self, failure: ReloadFailure) {
        self.note_reload(Err(failure.text.clone()));
        let origin = Origin::new("watcher", Channel::File);
        let why = (Value::Null, failure.text.clone().into());
        let record = self.record(("reload", AuditResult::Refused), &origin, why);
        if let Err(error) = self.keep(record, WRITE_LIMIT).await {
            self.note_store(Some(error));
        }
        self.emit(Event::ReloadRefused(failure));
    }

    fn emit(&self, event: Event) {
        // Without listeners there is nobody to tell.
        let _ = self.events.send(event);
    }
}

fn accepted(before: &Arc<State>, state: Arc<State>, (changed, warnings): (bool, Vec<String>)) -> Accepted {
    Accepted { before: Arc::clone(before), state, changed, warnings, replayed: None }
}

/// The audit's row about the change that made `state`.
fn row(state: &State) -> Row {
    Row {
        time: rfc3339(clock::unix_now()),
        revision: state.revision,
        origin: state.origin.clone(),
        action: state.action.to_owned(),
        result: AuditResult::Applied,
        route: None,
        from: Value::Null,
        to: Value::Null,
    }
}

/// The state after `plan`.
fn successor(current: &State, plan: &Plan, command: &Command, doubtful: Option<Revision>) -> State {
    let revision = doubtful.unwrap_or_default().max(current.revision).next();
    let (effective, dangling) = state::resolve(&plan.file.config, &plan.overlay);
    let is_reload = matches!(command.change, Change::Reload(_));
    State {
        revision,
        at: clock::unix_now(),
        origin: command.origin.clone(),
        action: command.change.as_str(),
        file: Arc::clone(&plan.file),
        file_revision: if is_reload { revision } else { current.file_revision },
        overlay: Arc::new(plan.overlay.clone()),
        effective: Arc::new(effective),
        dangling,
        last_reload: current.last_reload.clone(),
        store: current.store.clone(),
    }
}

/// What is dangling after a change and was not before, as warnings.
fn new_dangling(before: &State, after: &State) -> Vec<String> {
    let new = after.dangling.iter().filter(|dangling| !before.dangling.contains(dangling));
    new.map(ToString::to_string).collect()
}
