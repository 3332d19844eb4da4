//! The store: what must survive a restart, behind one trait.
//!
//! Today a directory of small files ([`FileStore`]) or nothing at all ([`MemoryStore`], for `--ephemeral`).

mod file;
mod keys;
mod memory;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use file::FileStore;
pub use keys::SigningKey;
pub use memory::MemoryStore;

use crate::{
    control::{audit, command::Digest},
    types::{Overlay, Revision},
};

/// Keeps what must survive a restart. Calls block on the disk, so they are made off the async threads.
pub trait Store: Send + Sync + 'static {
    /// What was saved last; `None` on a first start.
    ///
    /// # Errors
    /// When it cannot be read or is damaged; it is never silently reset.
    fn load(&self) -> Result<Option<Stored>, StoreError>;

    /// Saves `stored`, durably: after this returns, a power cut loses nothing.
    ///
    /// # Errors
    /// When it cannot be written; what was saved before is then unharmed.
    fn save(&self, stored: &Stored) -> Result<(), StoreError>;

    /// Adds a row to the audit.
    ///
    /// # Errors
    /// When it cannot be written.
    fn audit(&self, row: &audit::Row) -> Result<(), StoreError>;

    /// The highest revision among the newest rows of the audit. It may be above the saved one: a kill is audited even when
    /// it could not be saved.
    fn audited(&self) -> Option<Revision>;

    /// The keys that sign assignment cookies, the current one first; made on a first start, and never empty.
    ///
    /// # Errors
    /// When they cannot be read or written.
    fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError>;

    /// The data directory; `None` when everything is in memory.
    fn directory(&self) -> Option<&Path>;
}

/// The control plane's state as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The number of the last accepted change.
    pub revision: Revision,
    /// The control file that was in force.
    pub file: Digest,
    /// Every override.
    pub overlay: Overlay,
}

/// Why the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The operating system said no.
    #[error("cannot {action} {path}: {error}")]
    Io {
        /// What was tried: `read`, `write`, `create`, `lock`.
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
    /// Another process has the directory.
    #[error("{path} is in use by another weir process")]
    InUse {
        /// The directory.
        path: String,
    },
    /// The disk did not answer in time.
    #[error("the data directory does not answer; the last write is still under way")]
    Stuck,
}
