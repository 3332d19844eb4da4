//! What everybody but the driver has of it: a way to start and steer rollouts, and to see them.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{Board, CommandError, Message, Told};
use crate::{
    config::model::rollout::RolloutPlan,
    control::{Journal, store::StoreError},
    rollout::machine::{By, Command, Entry, OnceKey, Rollout},
    types::Name,
};

/// Starts and steers rollouts, and sees them; cheap to clone.
#[derive(Debug, Clone)]
pub struct Rollouts {
    inbox: mpsc::Sender<Message>,
    board: watch::Receiver<Arc<Board>>,
    told: broadcast::Sender<Told>,
    journal: Journal,
}

/// A rollout that somebody wants.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRequest {
    /// The routes that move in step, at least one.
    pub routes: Vec<Name>,
    /// The plan.
    pub plan: RolloutPlan,
    /// Who wants it.
    pub by: By,
    /// Whether it takes the place of rollouts that are under way on its routes.
    pub supersede: bool,
}

/// Why a rollout was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// There is no such rollout to repeat.
    #[error("there is no rollout {0}")]
    Unknown(String),
    /// It is not over.
    #[error("rollout {0} is still under way, so there is nothing to repeat")]
    NotOver(String),
    /// Another one is under way on a route of it.
    #[error("rollout {rollout} is under way on route `{route}`")]
    UnderWay {
        /// The route.
        route: Name,
        /// The other one's id.
        rollout: String,
    },
    /// A route is not what the plan needs.
    #[error("{0}")]
    Unfit(String),
    /// Its idempotency key was used for something else.
    #[error("the idempotency key was used for another request, which started rollout {0}")]
    KeyReused(String),
    /// The journal does not take it; nothing has begun.
    #[error("it cannot be written down: {0}")]
    Unwritten(StoreError),
    /// The driver has stopped.
    #[error("weir is stopping")]
    Stopping,
}

// === impl Rollouts ===

impl Rollouts {
    pub(super) fn new(
        inbox: mpsc::Sender<Message>,
        board: watch::Receiver<Arc<Board>>,
        told: broadcast::Sender<Told>,
        journal: Journal,
    ) -> Self {
        Self { inbox, board, told, journal }
    }

    /// One behind which there is no driver.
    #[cfg(test)]
    pub(crate) fn detached(journal: Journal) -> Self {
        let (inbox, _) = mpsc::channel(1);
        let (_, board) = watch::channel(Arc::default());
        Self { inbox, board, told: broadcast::Sender::new(1), journal }
    }

    /// Starts a rollout. One that takes another's place begins when that is over.
    ///
    /// # Errors
    /// Why not.
    pub async fn start(&self, request: StartRequest) -> Result<Arc<Rollout>, StartError> {
        self.start_once(request, None).await
    }

    /// The same, where a request with this idempotency key has not started one already; then that one is given.
    ///
    /// # Errors
    /// Why not.
    pub async fn start_once(
        &self,
        request: StartRequest,
        once: Option<OnceKey>,
    ) -> Result<Arc<Rollout>, StartError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Start(Box::new(request), once, reply);
        self.inbox.send(message).await.map_err(|_| StartError::Stopping)?;
        answer.await.unwrap_or(Err(StartError::Stopping))
    }

    /// Starts a rollout that is over once more, with a clean state.
    ///
    /// # Errors
    /// Why not.
    pub async fn retry(&self, id: &str, by: By) -> Result<Arc<Rollout>, StartError> {
        self.retry_once(id, by, None).await
    }

    /// The same, where a request with this idempotency key has not started one already; then that one is given.
    ///
    /// # Errors
    /// Why not.
    pub async fn retry_once(
        &self,
        id: &str,
        by: By,
        once: Option<OnceKey>,
    ) -> Result<Arc<Rollout>, StartError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Retry { id: id.to_owned(), by, once, reply };
        self.inbox.send(message).await.map_err(|_| StartError::Stopping)?;
        answer.await.unwrap_or(Err(StartError::Stopping))
    }

    /// Has a rollout do something.
    ///
    /// # Errors
    /// Why not.
    pub async fn command(&self, id: &str, command: Command, by: By) -> Result<Arc<Rollout>, CommandError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Command { id: id.to_owned(), command, by, reply };
        self.inbox.send(message).await.map_err(|_| CommandError::Stopping)?;
        answer.await.unwrap_or(Err(CommandError::Stopping))
    }

    /// All rollouts as they are.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board.borrow())
    }

    /// All rollouts, and every change of them.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Board>> {
        self.board.clone()
    }

    /// Everything that happens in rollouts from now on.
    #[must_use]
    pub fn told(&self) -> broadcast::Receiver<Told> {
        self.told.subscribe()
    }

    /// What happened in a rollout, in its order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn entries(&self, id: &str) -> Result<Vec<Entry>, StoreError> {
        let kept = self.journal.entries(id).await?;
        Ok(kept.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
    }
}
