//! A store that forgets: for `--ephemeral` and tests.

use std::{path::Path, sync::Mutex};

use super::{SigningKey, Store, StoreError, Stored};
use crate::{control::audit, types::Revision};

/// Rows of the audit that are kept in memory.
const AUDIT_ROWS: usize = 1000;

/// Keeps everything in memory.
#[derive(Debug)]
pub struct MemoryStore {
    key: SigningKey,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    stored: Option<Stored>,
    audit: std::collections::VecDeque<audit::Row>,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store with a new signing key.
    #[must_use]
    pub fn new() -> Self {
        Self { key: SigningKey::random(), content: Mutex::default() }
    }

    /// The newest rows of the audit, oldest first.
    #[must_use]
    pub fn rows(&self) -> Vec<audit::Row> {
        self.lock().audit.iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        Ok(self.lock().stored.clone())
    }

    fn save(&self, stored: &Stored) -> Result<(), StoreError> {
        self.lock().stored = Some(stored.clone());
        Ok(())
    }

    fn audit(&self, row: &audit::Row) -> Result<(), StoreError> {
        let rows = &mut self.lock().audit;
        if rows.len() == AUDIT_ROWS {
            rows.pop_front();
        }
        rows.push_back(row.clone());
        Ok(())
    }

    fn audited(&self) -> Option<Revision> {
        self.lock().audit.iter().map(|row| row.revision).max()
    }

    fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        Ok(vec![self.key.clone()])
    }

    fn directory(&self) -> Option<&Path> {
        None
    }
}
