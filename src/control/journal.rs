//! The journal of rollouts: off the async threads and bounded in time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::store::{
    Store, StoreError,
    rollouts::{KeptEntry, KeptRollout, Outbound},
};
use crate::types::Name;

/// For a read or a write; beyond it the disk is stuck.
const LIMIT: Duration = Duration::from_secs(5);

/// Reads and writes what is kept of rollouts; cheap to clone.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
}

// === impl Journal ===

impl Journal {
    /// The journal in `store`.
    #[must_use]
    pub fn of(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Writes a rollout as it is now, what happened since and what is to be told.
    ///
    /// # Errors
    /// When it cannot be written. After [`StoreError::Stuck`] it may have been all the same.
    pub async fn keep(
        &self,
        rollout: KeptRollout,
        entries: Vec<KeptEntry>,
        messages: Vec<Outbound>,
    ) -> Result<(), StoreError> {
        self.with(move |store| store.keep_rollout(&rollout, &entries, &messages)).await
    }

    /// All rollouts that are kept, the newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn rollouts(&self) -> Result<Vec<KeptRollout>, StoreError> {
        self.with(|store| store.rollouts()).await
    }

    /// What happened in a rollout, in its order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn entries(&self, id: &str) -> Result<Vec<String>, StoreError> {
        let id = id.to_owned();
        self.with(move |store| store.rollout_entries(&id)).await
    }

    /// The version that each route's plan had when it was last looked at.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn versions(&self) -> Result<BTreeMap<Name, Option<String>>, StoreError> {
        self.with(|store| store.rollout_versions()).await
    }

    /// Takes the versions of now.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn set_versions(&self, versions: BTreeMap<Name, Option<String>>) -> Result<(), StoreError> {
        self.with(move |store| store.set_rollout_versions(&versions)).await
    }

    /// Messages that are due, at most `limit` for each sink, and when the next after them is.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn due_messages(
        &self,
        now_ms: u64,
        limit: usize,
    ) -> Result<(Vec<Outbound>, Option<u64>), StoreError> {
        self.with(move |store| store.due_messages(now_ms, limit)).await
    }

    /// Takes what came of an attempt to tell somebody something.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn set_message(&self, message: Outbound) -> Result<(), StoreError> {
        self.with(move |store| store.set_message(&message)).await
    }

    /// Takes note that what `nonce` names was used, and whether that was the first time. It is forgotten after `until_ms`.
    ///
    /// # Errors
    /// When it cannot be written. After [`StoreError::Stuck`] it may have been all the same.
    pub async fn use_link(&self, nonce: &str, now_ms: u64, until_ms: u64) -> Result<bool, StoreError> {
        let nonce = nonce.to_owned();
        self.with(move |store| store.use_link(&nonce, now_ms, until_ms)).await
    }

    /// Whether what `nonce` names was used, as far as that is not forgotten.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn is_link_used(&self, nonce: &str) -> Result<bool, StoreError> {
        let nonce = nonce.to_owned();
        self.with(move |store| store.is_link_used(&nonce)).await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store);
        match timeout(LIMIT, tokio::task::spawn_blocking(move || work(store.as_ref()))).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(StoreError::Stuck),
        }
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}
