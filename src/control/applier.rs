//! The single writer: one task that owns the state and carries out commands, one at a time.
//!
//! The order is validate, compile, persist, publish, audit, broadcast. Everything up to publishing can fail and then has
//! changed nothing; nothing after it can fail the change. Two changes are published before they are persisted, and stay in
//! force when they cannot be: the kill switch, because no disk must stand between an operator and the brake, and a new
//! control file, because it is on disk already. What is in force and not on disk is written as soon as the disk takes it.

mod denied;
mod disk;
mod pause;

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::JoinHandle,
};

pub use self::pause::{PauseError, Paused};

use self::{
    disk::{RETRY, RETRY_LIMIT, WRITE_LIMIT},
    pause::Held,
};

use crate::{
    config::Config,
    control::{
        audit::{AuditResult, Denied, Row, rfc3339},
        change::{self, Plan},
        command::{Change, Channel, Command, ControlFile, Origin},
        refusal::Refusal,
        reload::ReloadFailure,
        state::{self, LastReload, State, StoreState},
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

/// Sends commands to the applier and sees the state; cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    inbox: mpsc::Sender<Message>,
    state: watch::Receiver<Arc<State>>,
    events: broadcast::Sender<Event>,
}

/// A command that was carried out, or would be.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The state now; for a dry run, as it would be.
    pub state: Arc<State>,
    /// Whether anything is different. What is already so makes no revision.
    pub changed: bool,
    /// What the sender should know.
    pub warnings: Vec<String>,
}

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
    Denied(Box<Denied>),
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
    /// A write that was given up on, but that the disk may still finish.
    stuck: Option<JoinHandle<()>>,
    /// Audit rows that could not be written yet, oldest first.
    unwritten: VecDeque<Row>,
    /// Whether the start itself is still to be written.
    unrecorded: bool,
    /// Messages that came during a pause.
    held: Held,
}

/// Why Weir cannot start with this file and this store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

// === impl Control ===

impl Control {
    /// Carries out `command`. When this returns `Ok`, the change is in force, and on disk unless the state's store says
    /// otherwise.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    pub async fn apply(&self, command: Command) -> Result<Accepted, Refusal> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Apply(Box::new(command), reply);
        self.inbox.send(message).await.map_err(|_| Refusal::Stopping)?;
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// The state in force.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// The state in force, and every later one.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.state.clone()
    }

    /// Everything that happens from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Makes the applier stand still: nothing is carried out and nothing is written as long as the [`Paused`] lives.
    ///
    /// # Errors
    /// When what is in force is not on disk, or the applier has ended.
    pub async fn pause(&self) -> Result<Paused, PauseError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Message::Pause(reply)).await.map_err(|_| PauseError::Stopping)?;
        answer.await.unwrap_or(Err(PauseError::Stopping))
    }

    /// Records that a changed control file could not even be tried.
    pub(super) async fn reload_failed(&self, failure: ReloadFailure) {
        // Nobody is left to tell when the applier has stopped.
        let _ = self.inbox.send(Message::ReloadFailed(failure)).await;
    }

    /// Records that the control file is again what runs.
    pub(super) async fn reload_unchanged(&self) {
        let _ = self.inbox.send(Message::ReloadUnchanged).await;
    }
}

// === impl Applier ===

impl<P: Publisher> Applier<P> {
    /// Makes `file`, with the overlay that the store has, run. Blocks on the store; meant for the time before anything is
    /// served.
    ///
    /// # Errors
    /// When the store cannot be read or written, or the state cannot be compiled.
    pub fn start(
        file: Arc<ControlFile>,
        publisher: P,
        store: Arc<dyn Store>,
    ) -> Result<(Control, Self), StartError> {
        let (control, mut applier) = Self::prepare(file, publisher, store)?;
        applier.record_start()?;
        Ok((control, applier))
    }

    /// The same, but writes nothing yet; [`record_start`](Self::record_start) is to follow before [`run`](Self::run). For a
    /// store that another process still has.
    ///
    /// # Errors
    /// When the store cannot be read, or the state cannot be compiled.
    pub fn prepare(
        file: Arc<ControlFile>,
        mut publisher: P,
        store: Arc<dyn Store>,
    ) -> Result<(Control, Self), StartError> {
        let stored = store.load()?;
        let unchanged = stored.as_ref().is_some_and(|stored| stored.file == file.digest);
        let (overlay, before) = stored.map_or_else(Default::default, |s| (s.overlay, s.revision));
        // A kill that no disk took has had its number all the same, and people may have seen it.
        let seen = store.audited().unwrap_or(before).max(before);
        let unchanged = unchanged && seen == before;
        let revision = if unchanged { before } else { seen.next() };
        let (effective, dangling) = state::resolve(&file.config, &overlay);
        let compiled = publisher.compile(&file.config, &effective, revision)?;
        publisher.publish(compiled);
        let at = clock::unix_now();
        let state = Arc::new(State {
            revision,
            at,
            origin: Origin::new("start", Channel::File),
            action: "start",
            file_revision: revision,
            overlay: Arc::new(overlay),
            effective: Arc::new(effective),
            dangling,
            last_reload: LastReload { ok: true, error: None, at },
            store: StoreState {
                directory: store.directory().map(ToOwned::to_owned),
                error: None,
                persisted: store.directory().is_some(),
            },
            file,
        });
        let (sender, inbox) = mpsc::channel(INBOX);
        let (events, _) = broadcast::channel(EVENTS);
        let (state, seen) = watch::channel(state);
        let control = Control { inbox: sender, state: seen, events: events.clone() };
        let applier = Self {
            publisher,
            store,
            state,
            inbox,
            events,
            stuck: None,
            unwritten: VecDeque::new(),
            unrecorded: !unchanged,
            held: Held::new(),
        };
        Ok((control, applier))
    }

    /// Writes the start down, if the file is another one than last time. Blocks on the store.
    ///
    /// # Errors
    /// When the state cannot be saved. It is in force all the same, and saved as soon as the store takes it.
    pub fn record_start(&mut self) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.unrecorded) {
            return Ok(());
        }
        let current = self.current();
        let saved = self.store.save(&disk::stored(&current));
        if let Err(error) = &saved {
            self.state.send_modify(|state| Arc::make_mut(state).store.persisted = false);
            self.note_store(Some(error.clone()));
        }
        let digest = serde_json::json!(current.file.digest);
        let row = self.row("start", AuditResult::Applied, (Value::Null, digest));
        if let Err(error) = self.store.audit(&row) {
            self.unwritten.push_back(row);
            self.note_store(Some(error));
        }
        saved
    }

    /// Carries out commands until every [`Control`] is gone or `stop` is done; what is under way is finished.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let behind = self.is_behind();
            let held = self.held.pop_front();
            let message = tokio::select! {
                biased;
                () = &mut stop => return,
                held = std::future::ready(held), if held.is_some() => held,
                message = self.inbox.recv() => message,
                () = tokio::time::sleep(RETRY), if behind => {
                    self.catch_up(RETRY_LIMIT).await;
                    continue;
                }
            };
            match message {
                Some(Message::Apply(command, reply)) => {
                    let answer = self.apply(*command).await;
                    // The sender may have gone away; the change holds all the same.
                    let _ = reply.send(answer);
                }
                Some(Message::ReloadFailed(failure)) => self.reload_refused(failure).await,
                Some(Message::ReloadUnchanged) => self.reload_unchanged(),
                Some(Message::Denied(denied)) => self.denied(*denied).await,
                Some(Message::Pause(reply)) => {
                    if !self.pause(reply, stop.as_mut()).await {
                        return;
                    }
                }
                None => return,
            }
        }
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
        let current = Arc::clone(&self.state.borrow());
        let emergency = command.change.is_emergency();
        match command.expected {
            Some(expected) if expected != current.revision && !emergency => {
                return Err(Refusal::Conflict { expected, actual: current.revision });
            }
            _ => {}
        }
        let plan = change::plan(&current, &command.change)?;
        if !plan.changed {
            if !command.dry_run && self.is_behind() {
                self.catch_up(WRITE_LIMIT).await;
            }
            return Ok(Accepted { state: self.current(), changed: false, warnings: plan.warnings });
        }
        let mut next = successor(&current, &plan, &command);
        let config = Arc::clone(&next.file.config);
        let compiled = self.publisher.compile(&config, &next.effective, next.revision)?;
        let warnings = [plan.warnings.clone(), new_dangling(&current, &next)].concat();
        if command.dry_run {
            return Ok(Accepted { state: Arc::new(next), changed: true, warnings });
        }
        let stored = disk::stored(&next);
        let saved = if command.change.comes_before_the_disk() {
            self.publisher.publish(compiled);
            self.save(stored).await
        } else {
            self.save(stored).await?;
            self.publisher.publish(compiled);
            Ok(())
        };
        next.store.persisted = saved.is_ok() && next.store.directory.is_some();
        next.store.error = saved.as_ref().err().map(ToString::to_string);
        let next = Arc::new(next);
        self.state.send_replace(Arc::clone(&next));
        let result = if saved.is_ok() { AuditResult::Applied } else { AuditResult::NotPersisted };
        let mut row = self.row(command.change.as_str(), result, (plan.from.clone(), plan.to.clone()));
        row.route.clone_from(&plan.route);
        let audited = self.audit(row).await;
        match saved.err().or(audited.err()) {
            Some(error) => self.note_store(Some(error)),
            None if current.store.error.is_some() => self.emit(Event::StoreRecovered),
            None => {}
        }
        self.emit(Event::Applied {
            state: Arc::clone(&next),
            route: plan.route,
            from: plan.from,
            to: plan.to,
        });
        Ok(Accepted { state: self.current(), changed: true, warnings })
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
        let row = self.row("reload", AuditResult::Refused, (Value::Null, failure.text.clone().into()));
        if let Err(error) = self.audit(row).await {
            self.note_store(Some(error));
        }
        self.emit(Event::ReloadRefused(failure));
    }

    /// An audit row about the state in force.
    fn row(&self, action: &str, result: AuditResult, (from, to): (Value, Value)) -> Row {
        let state = self.state.borrow();
        let origin = match result {
            AuditResult::Refused => Origin::new("watcher", Channel::File),
            AuditResult::Applied | AuditResult::NotPersisted => state.origin.clone(),
        };
        let time = rfc3339(clock::unix_now());
        Row {
            time,
            revision: state.revision,
            origin,
            action: action.to_owned(),
            result,
            route: None,
            from,
            to,
        }
    }

    fn emit(&self, event: Event) {
        // Without listeners there is nobody to tell.
        let _ = self.events.send(event);
    }
}

/// The state after `plan`.
fn successor(current: &State, plan: &Plan, command: &Command) -> State {
    let revision = current.revision.next();
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

#[cfg(test)]
mod tests;
