//! The lock on a data directory: two writers would undo each other's changes.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use super::StoreError;

const NAME: &str = "weir.lock";

/// Held as long as the process has the directory. Locks of this kind belong to the open file, which can be handed to another process,
/// and end when nobody has it any more.
#[derive(Debug)]
pub struct Lock(File);

// === impl Lock ===

impl Lock {
    /// Takes the lock of `directory`, which is made (mode 0700) when it is missing.
    ///
    /// # Errors
    /// When it cannot be made or written to, or another process has it.
    pub fn take(directory: &Path) -> Result<Self, StoreError> {
        make(directory)?;
        let path = directory.join(NAME);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        // On a full or read-only disk the file that is there already does as well.
        let file = file.or_else(|error| File::open(&path).map_err(|_| error));
        let file = file.map_err(|error| StoreError::io("write", &path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: directory.display().to_string() }),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path, &error)),
        }
    }

    /// Takes a lock over from another process, which has it too.
    ///
    /// # Errors
    /// When `file` is not that directory's.
    pub fn adopt(directory: &Path, file: File) -> Result<Self, StoreError> {
        let path = directory.join(NAME);
        let same = || -> io::Result<bool> {
            let (held, there) = (file.metadata()?, fs::metadata(&path)?);
            Ok((held.dev(), held.ino()) == (there.dev(), there.ino()))
        };
        if same().map_err(|error| StoreError::io("lock", &path, &error))? {
            Ok(Self(file))
        } else {
            Err(StoreError::InUse { path: directory.display().to_string() })
        }
    }

    /// Another handle to it, for a process that takes over.
    ///
    /// # Errors
    /// When this process is out of descriptors.
    pub fn handle(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

/// Makes `directory` (mode 0700) when it is missing.
fn make(directory: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    builder.create(directory).map_err(|error| StoreError::io("create", directory, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_handed_over_without_a_moment_in_which_it_is_free() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Lock::take(dir.path()).unwrap();
        let handle = || first.handle().unwrap();
        assert!(matches!(Lock::adopt(other.path(), handle()), Err(StoreError::Io { action: "lock", .. })));
        drop(Lock::take(other.path()).unwrap());
        assert!(matches!(Lock::adopt(other.path(), handle()), Err(StoreError::InUse { .. })));
        let second = Lock::adopt(dir.path(), handle()).unwrap();
        drop(first);
        assert!(matches!(Lock::take(dir.path()), Err(StoreError::InUse { .. })));
        drop(second);
        drop(Lock::take(dir.path()).unwrap());
    }
}
