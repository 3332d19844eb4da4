//! Standing still, so that another process can take the store over.
//!
//! While the applier is paused, nothing is carried out and nothing is written: commands wait. Only an emergency does not, as
//! long as the other process has not been told to go on: it ends the pause, and the other process has to try again.

use std::{collections::VecDeque, sync::atomic::Ordering};

use tokio::sync::oneshot;

use super::{Applier, INBOX, Message, Publisher, disk::WRITE_LIMIT};

/// The applier stands still as long as this lives.
#[derive(Debug)]
pub struct Paused {
    /// Asks for the end of emergencies; dropped, the applier goes on.
    seal: Option<oneshot::Sender<oneshot::Sender<()>>>,
    /// Held while sealed; dropped, the applier goes on.
    resume: oneshot::Sender<()>,
    broken: oneshot::Receiver<()>,
}

/// Why the applier cannot stand still now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PauseError {
    /// What is in force would be lost.
    #[error("what is in force is not on disk")]
    Unsaved,
    /// The applier has ended.
    #[error("weir is stopping")]
    Stopping,
    /// An emergency came first.
    #[error("the kill switch was used meanwhile")]
    Emergency,
}

/// The applier's side of a pause.
#[derive(Debug)]
struct Pause {
    seal: oneshot::Receiver<oneshot::Sender<()>>,
    resume: oneshot::Receiver<()>,
    broken: oneshot::Sender<()>,
}

/// How a pause ends.
enum End {
    Resume,
    Stop,
}

// === impl Paused ===

impl Paused {
    /// Waits for an emergency, which ends the pause.
    pub async fn broken(&mut self) {
        // The applier may be gone, which ends the pause as well.
        let _ = (&mut self.broken).await;
    }

    /// From here on even emergencies wait: the other process takes over.
    ///
    /// # Errors
    /// When an emergency has ended the pause.
    pub async fn seal(&mut self) -> Result<(), PauseError> {
        let (reply, sealed) = oneshot::channel();
        let asked = self.seal.take().is_some_and(|seal| seal.send(reply).is_ok());
        if asked && sealed.await.is_ok() { Ok(()) } else { Err(PauseError::Emergency) }
    }

    /// Ends the pause.
    pub fn resume(self) {
        // The applier may be gone.
        let _ = self.resume.send(());
    }
}

// === impl Applier ===

impl<P: Publisher> Applier<P> {
    /// Stands still until the pause ends. Whether to go on: not when `stop` is done.
    pub(super) async fn pause(
        &mut self,
        reply: oneshot::Sender<Result<Paused, PauseError>>,
        mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> bool {
        if self.is_behind() {
            self.catch_up(WRITE_LIMIT).await;
        }
        if self.is_behind() {
            let _ = reply.send(Err(PauseError::Unsaved));
            return true;
        }
        let (seal, wants_seal) = oneshot::channel();
        let (resume, resumed) = oneshot::channel();
        let (broken, breaks) = oneshot::channel();
        let paused = Paused { seal: Some(seal), resume, broken: breaks };
        self.standing_still.store(true, Ordering::Release);
        if reply.send(Ok(paused)).is_err() {
            self.standing_still.store(false, Ordering::Release);
            return true;
        }
        let pause = Pause { seal: wants_seal, resume: resumed, broken };
        match self.stand_still(pause, stop.as_mut()).await {
            End::Stop => false,
            End::Resume => {
                self.standing_still.store(false, Ordering::Release);
                self.save_again().await;
                true
            }
        }
    }

    async fn stand_still(
        &mut self,
        pause: Pause,
        mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> End {
        let Pause { mut seal, mut resume, broken } = pause;
        let mut sealed = false;
        loop {
            let room = self.held.len() < INBOX;
            tokio::select! {
                biased;
                () = &mut stop => return End::Stop,
                _ = &mut resume => return End::Resume,
                asked = &mut seal, if !sealed => match asked {
                    Ok(reply) => {
                        sealed = true;
                        let _ = reply.send(());
                    }
                    Err(_) => return End::Resume,
                },
                message = self.inbox.recv(), if room => {
                    let Some(message) = message else { return End::Stop };
                    let emergency = message.is_emergency() && !sealed;
                    if emergency {
                        self.held.push_front(message);
                        let _ = broken.send(());
                        return End::Resume;
                    }
                    self.held.push_back(message);
                }
            }
        }
    }

    /// The other process may have written before it failed.
    async fn save_again(&mut self) {
        let store = std::sync::Arc::clone(&self.store);
        let found = tokio::task::spawn_blocking(move || store.load());
        let Ok(Ok(Ok(found))) = tokio::time::timeout(WRITE_LIMIT, found).await else { return };
        if found.newest > self.current().revision {
            self.withdraw(found.newest);
            self.catch_up(WRITE_LIMIT).await;
        }
    }
}

/// Messages that wait for the end of a pause, oldest first.
pub(super) type Held = VecDeque<Message>;

// === impl Message ===

impl Message {
    pub(super) fn is_emergency(&self) -> bool {
        matches!(self, Self::Apply(command, _) if command.change.is_emergency() && !command.dry_run)
    }
}
