//! A SQLite database in the data directory.
//!
//! Write-ahead log and `synchronous=FULL`: what was committed is on the disk (<https://sqlite.org/pragma.html#pragma_synchronous>). One
//! connection writes, another reads, so that nobody who looks at the history delays a change. A connection is opened when it is needed and
//! dropped when it fails, so that a disk that works again, or a file that was put in place of a damaged one, is found without a restart.

mod open;
mod rollouts;
mod rows;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, TransactionBehavior, params};

use self::open::{Open, fault};
use super::{
    AuditQuery, AuditRow, Broken, Head, KeptRevision, Loaded, Lock, Record, RevisionInfo, SigningKey, Store,
    StoreError, Stored, Verified,
    chain::{self, Walk},
    mirror::{Mirror, MirrorWriter},
};
use crate::types::Revision;

/// The database's file.
const DATABASE: &str = "weir.db";
/// How long idempotency keys are known, in milliseconds: a day.
const KEYS_KEPT_MS: u64 = 24 * 60 * 60 * 1000;
/// Between two looks for texts of control files that no kept revision ran with, in revisions.
const SWEEP_EVERY: u64 = 64;

/// Keeps everything in a database.
#[derive(Debug)]
pub struct SqliteStore {
    directory: PathBuf,
    path: PathBuf,
    /// Revisions that are kept.
    kept: u64,
    writer: Mutex<Option<Open>>,
    reader: Mutex<Option<Open>>,
    mirror: Mirror,
    copies: MirrorWriter,
    /// Held, never read.
    _lock: Lock,
}

// === impl SqliteStore ===

impl SqliteStore {
    /// The store of a directory whose lock this process has, which keeps the newest `kept` revisions. Nothing is opened yet.
    #[must_use]
    pub fn new(directory: &Path, lock: Lock, kept: u64) -> Self {
        let mirror = Mirror::new(directory);
        Self {
            path: directory.join(DATABASE),
            directory: directory.to_owned(),
            kept,
            writer: Mutex::default(),
            reader: Mutex::default(),
            copies: MirrorWriter::start(mirror.clone()),
            mirror,
            _lock: lock,
        }
    }

    fn write_with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.with(&mut slot, Open::for_writing, work);
        if written.is_err()
            && let Ok(mut reader) = self.reader.try_lock()
        {
            // All connections of a process share the index of the log: one that was opened while the disk was read-only would keep
            // the others from writing when it no longer is.
            *reader = None;
        }
        written
    }

    fn read_with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        self.with(&mut slot, Open::for_reading, work)
    }

    /// Does `work` with the connection of `slot`, which is opened first where there is none, or where the file is another one by now.
    fn with<T>(
        &self,
        slot: &mut Option<Open>,
        open: impl FnOnce(&Path) -> Result<Open, StoreError>,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        slot.take_if(|open| !open.is_at(&self.path));
        if slot.is_none() {
            *slot = Some(open(&self.path)?);
        }
        let connection = &mut slot.as_mut().expect("it was opened").connection;
        work(connection).map_err(|error| {
            let fault = fault(&self.path, error);
            // Another program's lock says nothing about the connection.
            if !matches!(fault, StoreError::Locked { .. }) {
                *slot = None;
            }
            fault
        })
    }
}

impl Store for SqliteStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let mirrored = self.mirror.stored();
        match (self.write_with(rows::load), mirrored) {
            (Ok(loaded), Ok(Some(mirrored))) if mirrored.revision > loaded.newest => {
                // A kill that the database did not take.
                let newest = mirrored.revision;
                Ok(Loaded { newest, stored: Some(mirrored), behind: true, ..loaded })
            }
            (Ok(loaded), _) => Ok(loaded),
            (Err(fault @ StoreError::TooNew { .. }), _) => Err(fault),
            (Err(fault), Ok(Some(mirrored))) => Ok(Loaded {
                newest: mirrored.revision,
                stored: Some(mirrored),
                used: Vec::new(),
                behind: true,
                fault: Some(fault),
            }),
            (Err(fault), _) => Err(fault),
        }
    }

    fn write(&self, stored: &Stored, records: &[Record]) -> Result<(), StoreError> {
        self.write_with(|connection| {
            let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut head = rows::head(&all)?;
            for record in records {
                let text = rows::json(&record.row)?;
                head = Head { seq: head.seq + 1, hash: chain::link(&head.hash, &text) };
                all.execute(
                    "INSERT INTO audit (seq, row, hash) VALUES (?1, ?2, ?3)",
                    params![rows::int(head.seq), text, head.hash],
                )?;
                rows::add_revision(&all, record, self.kept)?;
                rows::add_used(&all, record.used.as_ref())?;
            }
            all.execute(
                "UPDATE audit_head SET seq = ?1, hash = ?2",
                params![rows::int(head.seq), head.hash],
            )?;
            rows::set_state(&all, stored)?;
            all.commit()
        })
    }

    fn mirror(&self, stored: &Stored) {
        self.copies.offer(stored.clone());
    }

    fn revisions(&self, before: Option<Revision>, limit: usize) -> Result<Vec<RevisionInfo>, StoreError> {
        self.read_with(|connection| rows::revisions(connection, before, limit))
    }

    fn revision(&self, number: Revision) -> Result<Option<KeptRevision>, StoreError> {
        self.read_with(|connection| rows::revision(connection, number))
    }

    fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        self.read_with(|connection| rows::audit(connection, query))
    }

    fn verify(&self) -> Result<Result<Verified, Broken>, StoreError> {
        self.read_with(|connection| {
            // One transaction, so that rows and head are of one moment.
            let moment = connection.transaction()?;
            let head = rows::head(&moment)?;
            let mut statement = moment.prepare("SELECT seq, row, hash FROM audit ORDER BY seq")?;
            let mut found = statement.query([])?;
            let mut walk = Walk::new();
            while let Some(row) = found.next()? {
                let (seq, text, hash): (i64, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
                if let Err(broken) = walk.step(u64::try_from(seq).unwrap_or(0), &text, &hash) {
                    return Ok(Err(broken));
                }
            }
            Ok(walk.finish(head))
        })
    }

    fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let mirrored = self.mirror.keys();
        let kept = self.write_with(|connection| {
            let kept = rows::signing_keys(connection)?;
            if !kept.is_empty() {
                return Ok(kept);
            }
            // The copy is older than the database when this is the first start of a version that has one.
            let keys = match &mirrored {
                Ok(Some(keys)) => keys.clone(),
                _ => vec![SigningKey::random()],
            };
            rows::add_signing_keys(connection, &keys)?;
            Ok(keys)
        });
        match (kept, mirrored) {
            (Ok(keys), mirrored) => {
                if !matches!(mirrored, Ok(Some(mirrored)) if mirrored == keys) {
                    // Only a copy; the database has them.
                    let _ = self.mirror.set_keys(&keys);
                }
                Ok(keys)
            }
            (Err(_), Ok(Some(mirrored))) => Ok(mirrored),
            (Err(fault), _) => Err(fault),
        }
    }

    fn directory(&self) -> Option<&Path> {
        Some(&self.directory)
    }
}
