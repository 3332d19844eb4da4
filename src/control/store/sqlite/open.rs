//! Opening the database, and what its errors mean.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::super::{
    StoreError,
    migrations::{self, MigrationError},
};

/// How long another program's lock is waited for.
const LOCK_WAIT: Duration = Duration::from_millis(500);
/// Up to this size, in bytes, the whole database is checked when it is opened; that takes some ten milliseconds.
const CHECK_LIMIT: i64 = 16 << 20;

/// A connection, and which file it is of.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: Connection,
    device: u64,
    inode: u64,
}

// === impl Open ===

impl Open {
    /// Opens the database, which is made (mode 0600) when it is missing, and brings it to today's form.
    pub(super) fn for_writing(path: &Path) -> Result<Self, StoreError> {
        // SQLite gives the files beside it the same mode.
        let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        made.map_err(|error| StoreError::io("open", path, &error))?;
        let mut open = Self::connect(path)?;
        let failed = |error| fault(path, error);
        let connection = &mut open.connection;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        check(connection, path)?;
        migrations::migrate(connection).map_err(|error| match error {
            MigrationError::Sqlite(error) => fault(path, error),
            MigrationError::TooNew(found) => {
                StoreError::TooNew { path: path.display().to_string(), found, known: migrations::newest() }
            }
            MigrationError::Foreign => damaged(path, "it is a database of another program"),
        })?;
        Ok(open)
    }

    /// Opens the database to look at it.
    pub(super) fn for_reading(path: &Path) -> Result<Self, StoreError> {
        let open = Self::connect(path)?;
        open.connection.pragma_update(None, "query_only", true).map_err(|error| fault(path, error))?;
        Ok(open)
    }

    fn connect(path: &Path) -> Result<Self, StoreError> {
        let found = fs::metadata(path).map_err(|error| StoreError::io("open", path, &error))?;
        // Each connection is behind a lock of ours.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|error| fault(path, error))?;
        connection.busy_timeout(LOCK_WAIT).map_err(|error| fault(path, error))?;
        Ok(Self { connection, device: found.dev(), inode: found.ino() })
    }

    /// Whether its file is still the one at `path`, with its log beside it: what is written to files that were taken away is lost.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let same =
            fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        same && log_of(path).exists()
    }
}

/// The write-ahead log beside a database.
fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Looks at a database of ordinary size whether its pages are in order.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let look = || -> rusqlite::Result<Option<String>> {
        if number("page_count")?.saturating_mul(number("page_size")?) > CHECK_LIMIT {
            return Ok(None);
        }
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok((verdict != "ok").then_some(verdict))
    };
    match look() {
        Ok(None) => Ok(()),
        Ok(Some(verdict)) => Err(damaged(path, verdict.lines().last().unwrap_or("it does not fit together"))),
        Err(error) => Err(fault(path, error)),
    }
}

/// What an error of SQLite means (<https://sqlite.org/rescode.html>).
pub(super) fn fault(path: &Path, error: rusqlite::Error) -> StoreError {
    let io = |action, text: &str| StoreError::Io {
        action,
        path: path.display().to_string(),
        error: text.to_owned(),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Locked { path: path.display().to_string() }
        }
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, "its pages do not fit together"),
        Some(ErrorCode::NotADatabase) => damaged(path, "it is not a database"),
        Some(ErrorCode::DiskFull) => io("write", "no space is left on the disk"),
        Some(ErrorCode::ReadOnly) => io("write", "the disk or the file is read-only"),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => io("open", &error.to_string()),
        Some(ErrorCode::SystemIoFailure) => io("write", "the disk reports an error, or is full"),
        Some(_) => io("write", &error.to_string()),
        None => damaged(path, &error.to_string()),
    }
}

fn damaged(path: &Path, error: &str) -> StoreError {
    StoreError::Damaged { path: path.display().to_string(), error: error.to_owned() }
}
