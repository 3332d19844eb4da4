//! Files and their changes.
//!
//! What is compared is content; notifications only say when to look. The parent directory is watched, because editors and
//! deployment tools replace a file by renaming another over it, and the file itself is watched, because a file that is
//! mounted alone into a container has its parent elsewhere. For a symbolic link (a Kubernetes ConfigMap is a chain of two,
//! swapped at `..data`) the target's directory is watched too. Every 5 s the files are looked at in any case: network
//! file systems and some container runtimes notify of nothing.
//!
//! A file that is being written has a moment in which it is short, and half a YAML file can be a valid YAML file. So a look
//! waits until the writer has closed the file, or has been quiet for [`QUIET`]; a rename is a finished file already.

mod settle;

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use self::settle::{Hint, Settle};
use crate::{control::command::Digest, types::clock};

pub use self::settle::{DEBOUNCE, QUIET};

/// Between two looks without a notification.
pub const POLL: Duration = Duration::from_secs(5);
/// Notifications that may wait; more are dropped, for those that wait cause a look anyway.
const NOTIFICATIONS: usize = 256;
/// Changes that may wait for who asked for them.
const CHANGES: usize = 16;

/// A file has new content, or cannot be read any more.
#[derive(Debug, Clone)]
pub struct FileEvent {
    /// The path, as it was asked for.
    pub path: PathBuf,
    /// The whole content, or why it cannot be read. A file that is missing for a moment is not told.
    pub content: Result<Arc<[u8]>, String>,
}

/// Watches files; made with [`watch`].
pub struct FileWatcher {
    files: Vec<Watched>,
    notifications: mpsc::Receiver<Vec<(PathBuf, Hint)>>,
    /// `None` where the system has no notifications; polling does then.
    system: Option<RecommendedWatcher>,
    changes: mpsc::Sender<FileEvent>,
    rescan: mpsc::Receiver<()>,
    poll: Duration,
}

/// Makes the watcher look at once, and tell the content whether or not it is new.
#[derive(Debug, Clone)]
pub struct Rescan(mpsc::Sender<()>);

/// One file, and what is known of it.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// The content that was told last.
    told: Option<Digest>,
    /// What the file system said when the content was last read.
    signature: Option<Signature>,
    /// Whether it was missing at the last poll.
    missing: bool,
    /// What is being watched for it.
    watching: Vec<PathBuf>,
    settle: Settle,
}

/// What changes when a file is written or replaced; reading it is much cheaper than the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Notified,
    Poll,
    Asked,
}

/// A watcher of `paths`, each with the content that is known already; its events, and a way to force a look.
///
/// `poll` is the time between two looks without a notification, usually [`POLL`].
#[must_use]
pub fn watch(
    paths: Vec<(PathBuf, Option<Digest>)>,
    poll: Duration,
) -> (FileWatcher, mpsc::Receiver<FileEvent>, Rescan) {
    let (changes, events) = mpsc::channel(CHANGES);
    let (notify, notifications) = mpsc::channel(NOTIFICATIONS);
    let (ask, rescan) = mpsc::channel(1);
    let system = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if let Some(hint) = hint(event.kind) {
            // When the queue is full, what is in it causes a look.
            let _ = notify.try_send(event.paths.into_iter().map(|path| (path, hint)).collect());
        }
    });
    let files = paths.into_iter().map(|(path, told)| Watched::new(path, told)).collect();
    let mut watcher = FileWatcher { files, notifications, system: system.ok(), changes, rescan, poll };
    watcher.arm();
    (watcher, events, Rescan(ask))
}

/// What a notification means for a file; `None` when it cannot have changed.
fn hint(kind: EventKind) -> Option<Hint> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Hint::Finished),
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => None,
        // A new file is empty at first.
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => Some(Hint::Writing),
        EventKind::Remove(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => {
            Some(Hint::Replaced)
        }
    }
}

// === impl Rescan ===

impl Rescan {
    /// Looks at every file now.
    pub fn now(&self) {
        // One that waits is as good as two.
        let _ = self.0.try_send(());
    }
}

// === impl FileWatcher ===

impl FileWatcher {
    /// Watches until nobody receives the events any more.
    pub async fn run(mut self) {
        let mut poll = tokio::time::interval(self.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.files.iter().filter_map(|file| file.settle.due()).min();
            let settled = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let occasion = tokio::select! {
                () = self.changes.closed() => return,
                Some(batch) = self.notifications.recv() => {
                    self.take_hints(&batch);
                    continue;
                }
                () = settled => Occasion::Notified,
                _ = poll.tick() => Occasion::Poll,
                Some(()) = self.rescan.recv() => Occasion::Asked,
            };
            for index in 0..self.files.len() {
                let due = self.files[index].settle.due().is_some_and(|at| at <= clock::now());
                if (occasion != Occasion::Notified || due) && self.look(index, occasion).await.is_err() {
                    return;
                }
            }
            self.arm();
        }
    }

    fn take_hints(&mut self, batch: &[(PathBuf, Hint)]) {
        let now = clock::now();
        for (path, hint) in batch {
            for file in self.files.iter_mut().filter(|file| file.concerns(path)) {
                file.settle.observe(*hint, now);
            }
        }
    }

    /// Reads a file and tells its content when it is new. `Err` when nobody listens.
    async fn look(&mut self, index: usize, occasion: Occasion) -> Result<(), ()> {
        let file = &mut self.files[index];
        if occasion == Occasion::Poll && file.settle.due().is_some() {
            return Ok(());
        }
        file.settle = Settle::default();
        let path = file.path.clone();
        let known = (occasion == Occasion::Poll).then_some(file.signature).flatten();
        let read = tokio::task::spawn_blocking(move || read(&path, known)).await;
        let content = match read {
            Ok(Ok(None)) | Err(_) => return Ok(()),
            Ok(Ok(Some((signature, content)))) => {
                file.signature = Some(signature);
                file.missing = false;
                let digest = Digest::of(&content);
                if file.told.as_ref() == Some(&digest) && occasion != Occasion::Asked {
                    return Ok(());
                }
                file.told = Some(digest);
                Ok(content)
            }
            Ok(Err(error)) => {
                // Between an editor's delete and its create, a file is missing: that is told by a later look.
                let told = file.missing;
                file.missing |= occasion != Occasion::Notified;
                file.signature = None;
                if told || occasion == Occasion::Notified {
                    return Ok(());
                }
                file.told = None;
                Err(error.to_string())
            }
        };
        let event = FileEvent { path: file.path.clone(), content };
        self.changes.send(event).await.map_err(|_| ())
    }

    /// Watches what has to be watched now: after a replacement, the new file instead of the old.
    fn arm(&mut self) {
        let Some(system) = &mut self.system else { return };
        for file in &mut self.files {
            let wanted = file.places();
            for gone in file.watching.iter().filter(|path| !wanted.contains(path)) {
                let _ = system.unwatch(gone);
            }
            // A watch belongs to an inode, so a path is watched anew each time; where it fails, polling does.
            file.watching = wanted;
            for path in &file.watching {
                let _ = system.watch(path, RecursiveMode::NonRecursive);
            }
        }
    }
}

// === impl Watched ===

impl Watched {
    fn new(path: PathBuf, told: Option<Digest>) -> Self {
        Self { path, told, signature: None, missing: false, watching: Vec::new(), settle: Settle::default() }
    }

    /// The file, its directory, and the same of what it links to.
    fn places(&self) -> Vec<PathBuf> {
        let parent = |path: &Path| match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
            None => path.to_owned(),
        };
        let mut places = vec![parent(&self.path)];
        if let Ok(target) = fs::canonicalize(&self.path) {
            let beside = parent(&target);
            if fs::canonicalize(&places[0]).is_ok_and(|watched| watched != beside) {
                places.push(beside);
            }
            places.push(target);
        }
        places
    }

    /// Whether a notification about `path` is about this file. Another file in the same directory, a log for example, is
    /// not; where links are followed, anything in their directories may be.
    fn concerns(&self, path: &Path) -> bool {
        let is_link = fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.is_symlink());
        is_link
            || path.file_name() == self.path.file_name()
            || self.watching.iter().any(|place| place == path)
    }
}

/// The content of a file, or `None` when it still looks as `known`.
fn read(path: &Path, known: Option<Signature>) -> io::Result<Option<(Signature, Arc<[u8]>)>> {
    let signature = Signature::of(&fs::metadata(path)?);
    if known == Some(signature) {
        return Ok(None);
    }
    let content = fs::read(path)?;
    Ok(Some((signature, content.into())))
}

// === impl Signature ===

impl Signature {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests;
