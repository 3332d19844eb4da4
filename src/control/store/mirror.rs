//! Copies of what a start needs most, in plain files beside the database: the overlay and the keys that sign cookies.
//!
//! A start whose database is damaged, locked or on a full disk goes on with them: a killed version stays killed and users stay where they are.
//! Each file is replaced as a whole (written beside, synced, renamed over, and the directory synced), so that a reader finds the old content
//! or the new one and never a part (the usual recipe, see `rename(2)` and `fsync(2)`). The database is what counts; the copy may be a change
//! behind it, and is ahead only of one that could not be written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{SigningKey, StoreError, Stored};

/// The format of the files; a later Weir reads older ones.
const VERSION: u32 = 1;
const OVERLAY: &str = "overlay.json";
const KEYS: &str = "signing-keys.json";

/// The copies in one directory.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    directory: PathBuf,
}

/// Keeps the copy of the overlay up to date from a thread of its own: nobody waits for it.
#[derive(Debug)]
pub(super) struct MirrorWriter {
    news: Arc<News>,
    thread: Option<JoinHandle<()>>,
}

/// What is to be written next: only the newest counts.
#[derive(Debug, Default)]
struct News {
    state: Mutex<(Option<Stored>, bool)>,
    told: Condvar,
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

// === impl Mirror ===

impl Mirror {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The copy of the state; `None` when there is none.
    pub(super) fn stored(&self) -> Result<Option<Stored>, StoreError> {
        self.read(OVERLAY)
    }

    /// The copy of the keys; `None` when there is none.
    pub(super) fn keys(&self) -> Result<Option<Vec<SigningKey>>, StoreError> {
        let Some(Keys { keys }) = self.read(KEYS)? else { return Ok(None) };
        let path = self.directory.join(KEYS);
        if keys.is_empty() {
            let error = "it has no key".to_owned();
            return Err(StoreError::Damaged { path: path.display().to_string(), error });
        }
        // A restored backup may have come back readable by others. On a read-only disk it stays as it is.
        let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
        Ok(Some(keys))
    }

    pub(super) fn set_keys(&self, keys: &[SigningKey]) -> Result<(), StoreError> {
        self.replace(KEYS, &Keys { keys: keys.to_vec() })
    }

    /// Reads a file of the directory; `None` when there is none.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let path = self.directory.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path, &error)),
        };
        let damaged = |error: String| StoreError::Damaged { path: path.display().to_string(), error };
        let format: Format = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if format.version > VERSION {
            let path = path.display().to_string();
            return Err(StoreError::TooNew { path, found: format.version, known: VERSION });
        }
        let file: Versioned<T> = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(file.content))
    }

    /// Replaces a file of the directory as a whole, durably.
    fn replace<T: Serialize>(&self, name: &str, content: &T) -> Result<(), StoreError> {
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
        write().map_err(|error| StoreError::io("write", &path, &error))
    }
}

// === impl MirrorWriter ===

impl MirrorWriter {
    /// Writes what is [`offer`](Self::offer)ed.
    pub(super) fn start(mirror: Mirror) -> Self {
        let news = Arc::<News>::default();
        let thread = std::thread::Builder::new().name("weir-mirror".to_owned());
        let told = Arc::clone(&news);
        // Without the thread there is no copy; the database has it all the same.
        let thread = thread.spawn(move || keep(&mirror, &told)).ok();
        Self { news, thread }
    }

    /// Takes what is in force now, and returns at once.
    pub(super) fn offer(&self, stored: Stored) {
        self.news.tell(|(newest, _)| *newest = Some(stored));
    }
}

impl Drop for MirrorWriter {
    /// Waits for the last copy.
    fn drop(&mut self) {
        self.news.tell(|(_, ended)| *ended = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// === impl News ===

impl News {
    fn tell(&self, change: impl FnOnce(&mut (Option<Stored>, bool))) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.told.notify_one();
    }

    /// Waits for something to write; `None` at the end.
    fn next(&self) -> Option<Stored> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = |(newest, ended): &mut (Option<Stored>, bool)| newest.is_none() && !*ended;
        self.told.wait_while(state, nothing).unwrap_or_else(PoisonError::into_inner).0.take()
    }
}

/// Writes what comes in. What cannot be written is only a copy: the store itself says what is wrong with the disk.
fn keep(mirror: &Mirror, news: &News) {
    while let Some(newest) = news.next() {
        let _ = mirror.replace(OVERLAY, &newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::command::Digest,
        types::{Overlay, Revision},
    };

    fn stored(revision: u64) -> Stored {
        Stored { revision: Revision(revision), file: Digest::of(b"text"), overlay: Overlay::default() }
    }

    #[test]
    fn the_newest_is_there_when_the_writer_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::new(dir.path());
        assert_eq!(mirror.stored().unwrap(), None);
        let writer = MirrorWriter::start(mirror.clone());
        (1..=20).for_each(|revision| writer.offer(stored(revision)));
        drop(writer);
        assert_eq!(mirror.stored().unwrap(), Some(stored(20)));
        let keys = [SigningKey::random()];
        mirror.set_keys(&keys).unwrap();
        assert_eq!(mirror.keys().unwrap().unwrap(), keys);
        let mode = fs::metadata(dir.path().join(KEYS)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        for (name, text, expected) in [
            (OVERLAY, "", "overlay.json is damaged: EOF"),
            (OVERLAY, "{\"version\":1", "overlay.json is damaged: EOF"),
            (OVERLAY, "{\"version\":9}", "overlay.json is of a later version of Weir: its format is 9"),
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
            let mirror = Mirror::new(dir.path());
            let error = mirror.stored().map(|_| ()).and_then(|()| mirror.keys().map(|_| ()));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
