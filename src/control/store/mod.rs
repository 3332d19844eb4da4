//! The store: what must survive a restart, behind one trait.
//!
//! - [`SqliteStore`]: a database in the data directory, and beside it a copy (`mirror`) of what a start needs most
//! - [`MemoryStore`]: nothing but memory, for `--ephemeral`
//! - [`rollouts`]: what is kept of rollouts
//! - [`record`]: what is written, and [`chain`]: how the audit proves that no row was changed or taken out
//! - `migrations`: the numbered steps from an empty database to today's

pub mod chain;
mod keys;
mod lock;
mod memory;
mod migrations;
mod mirror;
pub mod record;
pub mod rollouts;
mod sqlite;

use std::path::Path;

pub use chain::{Broken, Head, Verified};
pub use keys::SigningKey;
pub use lock::Lock;
pub use memory::MemoryStore;
pub use record::{AuditQuery, AuditRow, KeptRevision, NewRevision, Record, RevisionInfo, Stored, Used};
pub use rollouts::RolloutStore;
pub use sqlite::SqliteStore;

use crate::types::Revision;

/// Keeps what must survive a restart. Calls block on the disk, so they are made off the async threads.
pub trait Store: RolloutStore + Send + Sync + 'static {
    /// What was written last.
    ///
    /// # Errors
    /// When it cannot be read or is damaged, and there is no mirror of it either; it is never silently reset.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Writes `records`, and that `stored` is in force, all or nothing, durably: after this returns, a power cut loses nothing.
    ///
    /// # Errors
    /// When it cannot be written; what was there before is then unharmed.
    fn write(&self, stored: &Stored, records: &[Record]) -> Result<(), StoreError>;

    /// Takes what is in force now for a start that cannot read the rest, and returns at once. [`write`](Self::write) does not do this
    /// itself: what is in force may be what could not be written, and the other way round.
    fn mirror(&self, stored: &Stored);

    /// Revisions below `before`, newest first, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    fn revisions(&self, before: Option<Revision>, limit: usize) -> Result<Vec<RevisionInfo>, StoreError>;

    /// One revision with all that ran then; `None` when it is not kept.
    ///
    /// # Errors
    /// When it cannot be read.
    fn revision(&self, number: Revision) -> Result<Option<KeptRevision>, StoreError>;

    /// Rows of the audit, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError>;

    /// Looks at every row of the audit for one that was changed or is missing.
    ///
    /// # Errors
    /// When they cannot be read. That a row was changed is no error of this kind.
    fn verify(&self) -> Result<Result<Verified, Broken>, StoreError>;

    /// The keys that sign assignment cookies, the current one first; made on a first start, and never empty.
    ///
    /// # Errors
    /// When they cannot be read or written.
    fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError>;

    /// The data directory; `None` when everything is in memory.
    fn directory(&self) -> Option<&Path>;
}

/// What a start finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The state that was in force; `None` on a first start.
    pub stored: Option<Stored>,
    /// The highest number that a revision has had. It may be above that of the state.
    pub newest: Revision,
    /// The idempotency keys that were used.
    pub used: Vec<Used>,
    /// Whether the store lacks `stored`: it comes from the mirror.
    pub behind: bool,
    /// Why the database cannot be read.
    pub fault: Option<StoreError>,
}

/// Why the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The operating system said no.
    #[error("cannot {action} {path}: {error}")]
    Io {
        /// What was tried: `read`, `write`, `create`, `lock`, `open`.
        action: &'static str,
        /// The file or directory.
        path: String,
        /// What the system said.
        error: String,
    },
    /// A file's content is not what Weir wrote.
    #[error("{path} is damaged: {error}; restore it from a backup, or move it away to start without it")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        error: String,
    },
    /// A later Weir has written it.
    #[error("{path} is of a later version of Weir: its format is {found}, this Weir knows up to {known}")]
    TooNew {
        /// The file.
        path: String,
        /// The format that it has.
        found: u32,
        /// The newest format that this version knows.
        known: u32,
    },
    /// Another process has the directory.
    #[error("{path} is in use by another weir process")]
    InUse {
        /// The directory.
        path: String,
    },
    /// Another program holds the database.
    #[error("{path} is locked by another program")]
    Locked {
        /// The file.
        path: String,
    },
    /// The disk did not answer in time.
    #[error("the data directory does not answer; the last write is still under way")]
    Stuck,
}

impl StoreError {
    fn io(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::Io { action, path: path.display().to_string(), error: error.to_string() }
    }
}
