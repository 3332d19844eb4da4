//! What was: reading revisions and the audit, off the async threads and bounded in time.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::store::{AuditQuery, AuditRow, Broken, KeptRevision, RevisionInfo, Store, StoreError, Verified};
use crate::types::Revision;

/// For a look at a page of history.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// For a look at every row; some million rows a second.
const VERIFY_LIMIT: Duration = Duration::from_secs(60);

/// Reads from the store; cheap to clone.
#[derive(Clone)]
pub struct History {
    store: Arc<dyn Store>,
}

// === impl History ===

impl History {
    /// The history that `store` keeps.
    #[must_use]
    pub fn of(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Revisions below `before`, newest first, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn revisions(
        &self,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<RevisionInfo>, StoreError> {
        self.read(READ_LIMIT, move |store| store.revisions(before, limit)).await
    }

    /// One revision with all that ran then; `None` when it is not kept.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn revision(&self, number: Revision) -> Result<Option<KeptRevision>, StoreError> {
        self.read(READ_LIMIT, move |store| store.revision(number)).await
    }

    /// Rows of the audit, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        self.read(READ_LIMIT, move |store| store.audit(&query)).await
    }

    /// Looks at every row of the audit for one that was changed or is missing.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn verify(&self) -> Result<Result<Verified, Broken>, StoreError> {
        self.read(VERIFY_LIMIT, |store| store.verify()).await
    }

    async fn read<T: Send + 'static>(
        &self,
        limit: Duration,
        look: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store);
        let task = tokio::task::spawn_blocking(move || look(store.as_ref()));
        match timeout(limit, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(StoreError::Stuck),
        }
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}
