//! The applier's writes: off the async threads, bounded in time, and tried again until the disk has what is in force.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::timeout};

use super::{Applier, Event, Publisher};
use crate::{
    control::{
        audit::Row,
        state::State,
        store::{Store, StoreError, Stored},
    },
    types::Overlay,
};

/// How long a write may take before the change is refused. A disk that takes longer is as good as broken, and the kill
/// switch may be next in the inbox.
pub(super) const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// From the last command or try to the next try, while the disk is behind.
pub(super) const RETRY: Duration = Duration::from_secs(3);
/// How long a try in the background may hold up commands.
pub(super) const RETRY_LIMIT: Duration = Duration::from_millis(500);
/// Audit rows that are kept for a disk that fails; the oldest give way.
const UNWRITTEN: usize = 256;

// === impl Applier ===

impl<P: Publisher> Applier<P> {
    /// Whether the disk lacks something, or was last seen failing.
    pub(super) fn is_behind(&self) -> bool {
        let state = self.state.borrow();
        let unsaved = state.store.directory.is_some() && !state.store.persisted;
        unsaved || state.store.error.is_some() || !self.unwritten.is_empty()
    }

    /// Tries to bring everything to disk, and tells when that ends a failure.
    pub(super) async fn catch_up(&mut self, limit: Duration) {
        let current = self.current();
        let stored = stored(&current);
        let saved = self.write(limit, move |store| store.save(&stored)).await;
        let persisted = saved.is_ok();
        let result = match saved {
            Ok(()) => self.write_rows(limit).await,
            Err(error) => Err(error),
        };
        self.state.send_modify(|state| {
            let store = &mut Arc::make_mut(state).store;
            store.persisted = (persisted || store.persisted) && store.directory.is_some();
            store.error = result.as_ref().err().map(ToString::to_string);
        });
        // That it still fails is no news.
        if result.is_ok() {
            self.emit(Event::StoreRecovered);
        }
    }

    pub(super) async fn save(&mut self, stored: Stored) -> Result<(), StoreError> {
        self.write(WRITE_LIMIT, move |store| store.save(&stored)).await
    }

    /// Adds a row to the audit, after those that wait; where that fails it waits too.
    pub(super) async fn audit(&mut self, row: Row) -> Result<(), StoreError> {
        if self.unwritten.len() == UNWRITTEN {
            self.unwritten.pop_front();
        }
        self.unwritten.push_back(row);
        self.write_rows(WRITE_LIMIT).await
    }

    async fn write_rows(&mut self, limit: Duration) -> Result<(), StoreError> {
        while let Some(row) = self.unwritten.front().cloned() {
            self.write(limit, move |store| store.audit(&row)).await?;
            self.unwritten.pop_front();
        }
        Ok(())
    }

    async fn write(
        &mut self,
        limit: Duration,
        work: impl FnOnce(&dyn Store) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        if self.stuck.as_ref().is_some_and(|stuck| !stuck.is_finished()) {
            return Err(StoreError::Stuck);
        }
        let store = Arc::clone(&self.store);
        let (reply, answer) = oneshot::channel();
        let task = tokio::task::spawn_blocking(move || {
            // The applier may have given up on the answer.
            let _ = reply.send(work(store.as_ref()));
        });
        match timeout(limit, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::Stuck),
            Err(_) => {
                self.stuck = Some(task);
                Err(StoreError::Stuck)
            }
        }
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

/// `state` as the store keeps it.
pub(super) fn stored(state: &State) -> Stored {
    Stored {
        revision: state.revision,
        file: state.file.digest.clone(),
        overlay: Overlay::clone(&state.overlay),
    }
}
