//! A data directory of small files.
//!
//! `overlay.json` and `signing-keys.json` are replaced as a whole: written beside, synced, renamed over, and the directory
//! synced, so that a reader finds the old content or the new one and never a part (the usual recipe, see `rename(2)` and
//! `fsync(2)`). `audit.jsonl` is appended to. `weir.lock` is held while the process has the directory: two writers
//! would undo each other's changes.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{SigningKey, Store, StoreError, Stored};
use crate::{control::audit, types::Revision};

/// The format of every file in the directory; a later Weir reads older ones.
const VERSION: u32 = 1;
const OVERLAY: &str = "overlay.json";
const KEYS: &str = "signing-keys.json";
const AUDIT: &str = "audit.jsonl";
const LOCK: &str = "weir.lock";
/// How much of the audit's end is read at start, in bytes: many rows, of which the last would do.
const AUDIT_TAIL: u64 = 64 << 10;

/// Keeps everything in a directory.
#[derive(Debug)]
pub struct FileStore {
    directory: PathBuf,
    /// The newest revision on disk. A write that a stuck disk held back must not replace a later one.
    newest: Mutex<Revision>,
    /// Held, never read.
    lock: File,
}

/// A file of the directory: the content beside the format's number.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    content: T,
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Format {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Keys {
    keys: Vec<SigningKey>,
}

// === impl FileStore ===

impl FileStore {
    /// Opens `directory`, and makes it (mode 0700) when it is missing.
    ///
    /// # Errors
    /// When it cannot be made or written to, or another process has it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        make(directory)?;
        let lock = open_lock(directory)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: directory.display().to_string() });
            }
            Err(TryLockError::Error(error)) => {
                return Err(io_error("lock", &directory.join(LOCK), &error));
            }
        }
        Ok(Self { directory: directory.to_owned(), newest: Mutex::default(), lock })
    }

    /// Opens `directory` with the lock that another process has on it: locks of this kind belong to the open file, which both have
    /// then, and end when neither has it.
    ///
    /// # Errors
    /// When `lock` is not that directory's, or it cannot be written to.
    pub fn adopt(directory: &Path, lock: File) -> Result<Self, StoreError> {
        let path = directory.join(LOCK);
        let same = || -> io::Result<bool> {
            let (held, there) = (lock.metadata()?, fs::metadata(&path)?);
            Ok((held.dev(), held.ino()) == (there.dev(), there.ino()))
        };
        if !same().map_err(|error| io_error("lock", &path, &error))? {
            return Err(StoreError::InUse { path: directory.display().to_string() });
        }
        Ok(Self { directory: directory.to_owned(), newest: Mutex::default(), lock })
    }

    /// Another handle to the lock, for a process that takes over.
    ///
    /// # Errors
    /// When this process is out of descriptors.
    pub fn lock(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    /// Reads a file of the directory; `None` when there is none.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let path = self.directory.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path, &error)),
        };
        let damaged = |error: String| StoreError::Damaged { path: path.display().to_string(), error };
        let format: Format = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if format.version != VERSION {
            return Err(damaged(format!(
                "its format is version {}, this is version {VERSION}",
                format.version
            )));
        }
        let file: Versioned<T> = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(file.content))
    }

    /// Replaces a file of the directory as a whole, durably.
    fn replace<T: Serialize>(&self, name: &str, content: T) -> Result<(), StoreError> {
        let path = self.directory.join(name);
        let beside = self.directory.join(format!("{name}.new"));
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(&Versioned { version: VERSION, content })?;
            text.push(b'\n');
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| io_error("write", &path, &error))
    }
}

impl Store for FileStore {
    fn load(&self) -> Result<Option<Stored>, StoreError> {
        self.read(OVERLAY)
    }

    fn save(&self, stored: &Stored) -> Result<(), StoreError> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.revision < *newest {
            return Err(StoreError::Stuck);
        }
        self.replace(OVERLAY, stored)?;
        *newest = stored.revision;
        Ok(())
    }

    fn audit(&self, row: &audit::Row) -> Result<(), StoreError> {
        let path = self.directory.join(AUDIT);
        let append = || -> io::Result<()> {
            let mut line = serde_json::to_vec(row)?;
            line.push(b'\n');
            let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&path)?;
            // A crash or a full disk may have left a part of a row; it must not spoil this one.
            let length = file.metadata()?.len();
            let mut last = [b'\n'];
            if length > 0 {
                file.read_exact_at(&mut last, length - 1)?;
            }
            if last != [b'\n'] {
                line.insert(0, b'\n');
            }
            // One write of a whole line, so that a row is there or is not.
            file.write_all(&line)
        };
        append().map_err(|error| io_error("write", &path, &error))
    }

    fn audited(&self) -> Option<Revision> {
        let file = File::open(self.directory.join(AUDIT)).ok()?;
        let start = file.metadata().ok()?.len().saturating_sub(AUDIT_TAIL);
        let mut tail = vec![0; usize::try_from(AUDIT_TAIL).ok()?];
        let length = file.read_at(&mut tail, start).ok()?;
        let rows = tail[..length].split(|byte| *byte == b'\n');
        // The first may have begun before the tail, and any may be torn: those say nothing.
        rows.filter_map(|row| serde_json::from_slice::<audit::Row>(row).ok()).map(|row| row.revision).max()
    }

    fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let path = self.directory.join(KEYS);
        match self.read::<Keys>(KEYS)? {
            Some(Keys { keys }) if keys.is_empty() => Err(StoreError::Damaged {
                path: path.display().to_string(),
                error: "it has no key".to_owned(),
            }),
            Some(Keys { keys }) => {
                // A restored backup may have come back readable by others.
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
                    .map_err(|error| io_error("protect", &path, &error))?;
                Ok(keys)
            }
            None => {
                let keys = Keys { keys: vec![SigningKey::random()] };
                self.replace(KEYS, &keys)?;
                Ok(keys.keys)
            }
        }
    }

    fn directory(&self) -> Option<&Path> {
        Some(&self.directory)
    }
}

/// Makes `directory` (mode 0700) when it is missing.
fn make(directory: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    builder.create(directory).map_err(|error| io_error("create", directory, &error))
}

fn open_lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    lock.map_err(|error| io_error("write", &path, &error))
}

fn io_error(action: &'static str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io { action, path: path.display().to_string(), error: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::command::Digest,
        types::{Name, Overlay, RouteOverlay, Weight},
    };

    fn stored(revision: u64) -> Stored {
        let weights = [(Name::new("canary").unwrap(), Weight::from_f64(0.5).unwrap())].into();
        let overlay = RouteOverlay { weights, kill_switch: None, epoch: 3 };
        Stored {
            revision: Revision(revision),
            file: Digest::of(b"text"),
            overlay: Overlay { routes: [(Name::new("shop").unwrap(), overlay)].into() },
        }
    }

    #[test]
    fn what_is_saved_is_loaded_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let store = FileStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), None);
        store.save(&stored(7)).unwrap();
        let keys = store.signing_keys().unwrap();
        assert!(matches!(FileStore::open(&path), Err(StoreError::InUse { .. })));
        drop(store);
        let store = FileStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), Some(stored(7)));
        assert_eq!(store.signing_keys().unwrap(), keys);
        let mode = fs::metadata(path.join(KEYS)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_lock_is_handed_over_without_a_moment_in_which_it_is_free() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = FileStore::open(dir.path()).unwrap();
        assert!(matches!(
            FileStore::adopt(other.path(), first.lock().unwrap()),
            Err(StoreError::Io { action: "lock", .. })
        ));
        drop(FileStore::open(other.path()).unwrap());
        assert!(matches!(
            FileStore::adopt(other.path(), first.lock().unwrap()),
            Err(StoreError::InUse { .. })
        ));
        let second = FileStore::adopt(dir.path(), first.lock().unwrap()).unwrap();
        drop(first);
        assert!(matches!(FileStore::open(dir.path()), Err(StoreError::InUse { .. })));
        second.save(&stored(3)).unwrap();
        drop(second);
        assert_eq!(FileStore::open(dir.path()).unwrap().load().unwrap(), Some(stored(3)));
    }

    #[test]
    fn an_older_revision_never_replaces_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::open(dir.path()).unwrap();
        store.save(&stored(8)).unwrap();
        assert_eq!(store.save(&stored(7)), Err(StoreError::Stuck));
        assert_eq!(store.load().unwrap(), Some(stored(8)));
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        for (name, text, expected) in [
            (OVERLAY, "", "overlay.json is damaged: EOF"),
            (OVERLAY, "{\"version\":1", "overlay.json is damaged: EOF"),
            (
                OVERLAY,
                "{\"version\":9}",
                "overlay.json is damaged: its format is version 9, this is version 1",
            ),
            (OVERLAY, "{\"version\":1}", "overlay.json is damaged: missing field"),
            (
                KEYS,
                "{\"version\":1,\"content\":{\"keys\":[]}}",
                "signing-keys.json is damaged: it has no key",
            ),
            (
                KEYS,
                "{\"version\":1,\"content\":{\"keys\":[{\"id\":\"a\",\"secret\":\"12\"}]}}",
                "signing-keys.json is damaged: a key's",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), text).unwrap();
            let store = FileStore::open(dir.path()).unwrap();
            let error = store
                .load()
                .map(|_| ())
                .and_then(|()| store.signing_keys().map(|_| ()))
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_and_harms_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::open(dir.path()).unwrap();
        store.save(&stored(1)).unwrap();
        // A directory in the place of the temporary file fails for root too, who may write anywhere.
        fs::create_dir(dir.path().join("overlay.json.new")).unwrap();
        let error = store.save(&stored(2)).unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains("overlay.json"), "{error}");
        assert_eq!(store.load().unwrap(), Some(stored(1)));
    }

    #[test]
    fn audit_rows_are_appended_as_lines() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::open(dir.path()).unwrap();
        let row = audit::Row {
            time: audit::rfc3339(std::time::Duration::from_secs(1)),
            revision: Revision(2),
            origin: crate::control::Origin::new("alice", crate::control::Channel::Cli),
            action: "kill".to_owned(),
            result: audit::AuditResult::Applied,
            route: Name::new("shop").ok(),
            from: serde_json::Value::Null,
            to: "stable".into(),
        };
        assert_eq!(store.audited(), None);
        store.audit(&row).unwrap();
        // A full disk tears a row; the next one is whole all the same.
        let path = dir.path().join(AUDIT);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"time\":\"19").unwrap();
        store.audit(&row).unwrap();
        assert_eq!(store.audited(), Some(Revision(2)));
        let text = fs::read_to_string(dir.path().join(AUDIT)).unwrap();
        let rows: Vec<Option<audit::Row>> =
            text.lines().map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(rows, [Some(row.clone()), None, Some(row)]);
    }
}
