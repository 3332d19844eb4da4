//! What everybody but the applier has of it: a way to send commands and to see the state.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{Event, Message, PauseError, Paused};
use crate::control::{
    command::{Command, Origin},
    history::History,
    journal::Journal,
    refusal::Refusal,
    reload::ReloadFailure,
    state::State,
};

/// Sends commands to the applier and sees the state; cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) state: watch::Receiver<Arc<State>>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) history: History,
    pub(super) journal: Journal,
    pub(super) standing_still: Arc<AtomicBool>,
}

/// A command that was carried out, or would be.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The state before.
    pub before: Arc<State>,
    /// The state now; for a dry run, as it would be.
    pub state: Arc<State>,
    /// Whether anything is different. What is already so makes no revision.
    pub changed: bool,
    /// What the sender should know.
    pub warnings: Vec<String>,
    /// The revision that the same command made before, where its idempotency key was used already; nothing was done now.
    pub replayed: Option<crate::types::Revision>,
}

/// Something that somebody was not allowed to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// Who tried, through what.
    pub origin: Origin,
    /// What was tried: a word such as `denied`, `login`.
    pub action: String,
    /// The route that it was about.
    pub route: Option<crate::types::Name>,
    /// What was tried and why it was refused, for people.
    pub detail: String,
}

/// Something that was done and is no change of the state, for the audit.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// Who did it, through what, and why.
    pub origin: Origin,
    /// What was done: a word such as `sign_override`.
    pub action: &'static str,
    /// The route that it was about.
    pub route: crate::types::Name,
    /// What came of it.
    pub to: serde_json::Value,
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

    /// What was: revisions and the audit.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whether another process is taking the store over, so that nothing may be written to it.
    #[must_use]
    pub fn stands_still(&self) -> bool {
        self.standing_still.load(Ordering::Acquire)
    }

    /// What is kept of rollouts.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Has something that was refused written to the audit, soon. Whoever calls this sees to it that nobody can fill the disk with it.
    pub async fn denied(&self, denial: Denial) {
        // Nobody is left to write it when the applier has stopped.
        let _ = self.inbox.send(Message::Denied(Box::new(denial))).await;
    }

    /// Has something that was done written to the audit. When this returns `Ok`, it is on disk.
    ///
    /// # Errors
    /// When it could not be written, or the applier has ended; then it had better not be done.
    pub async fn note(&self, note: Note) -> Result<(), Refusal> {
        let (reply, written) = oneshot::channel();
        let message = Message::Note(Box::new(note), reply);
        self.inbox.send(message).await.map_err(|_| Refusal::Stopping)?;
        Ok(written.await.map_err(|_| Refusal::Stopping)??)
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
    pub(in crate::control) async fn reload_failed(&self, failure: ReloadFailure) {
        // Nobody is left to tell when the applier has stopped.
        let _ = self.inbox.send(Message::ReloadFailed(failure)).await;
    }

    /// Records that the control file is again what runs.
    pub(in crate::control) async fn reload_unchanged(&self) {
        let _ = self.inbox.send(Message::ReloadUnchanged).await;
    }
}
