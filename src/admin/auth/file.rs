//! The file of tokens on disk: reading it, and the changes of `weir token`.
//!
//! Two commands at once must not lose each other's token, so each holds a lock on the file; a removal puts a new file in
//! its place, as whoever follows it must never see half of one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::Path,
};

use super::token::{TokenEntry, TokenFileError, Tokens, is_entry};

/// Who may read a new file: its owner alone.
const MODE: u32 = 0o600;
/// Permissions that let others write the file, and so make themselves administrators.
const WRITABLE: u32 = 0o022;
/// Permissions that let others read it.
const READABLE: u32 = 0o044;

/// Why the file cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What is in it.
    #[error(transparent)]
    Content(#[from] TokenFileError),
    /// Others may write it.
    #[error("others may write it (mode {0:04o}), and so give themselves every right: chmod 600")]
    Writable(u32),
    /// A name that is taken.
    #[error("there is a token called `{0}` already")]
    Taken(String),
    /// A name that is not there.
    #[error("there is no token called `{0}`")]
    Unknown(String),
}

/// Reads the file at `path`, and says what an operator should know about it.
///
/// # Errors
/// When it cannot be read, others may write it, or it is wrong.
pub fn read(path: &Path) -> Result<(Tokens, Option<String>), FileError> {
    let warning = check_mode(path)?;
    Ok((Tokens::parse(&fs::read(path)?)?, warning))
}

/// Whether others may read the file, as a warning.
///
/// # Errors
/// When there is none, or others may write it.
pub(super) fn check_mode(path: &Path) -> Result<Option<String>, FileError> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    if mode & WRITABLE != 0 {
        return Err(FileError::Writable(mode));
    }
    let warning = || format!("others may read who has tokens (mode {mode:04o}); chmod 600 is enough");
    Ok((mode & READABLE != 0).then(warning))
}

/// Adds `entry`; makes the file if there is none.
///
/// # Errors
/// When the name is taken, or the file is wrong or cannot be written.
pub fn add(path: &Path, entry: &TokenEntry) -> Result<(), FileError> {
    let (mut file, text) = open_locked(path, true)?;
    check_mode(path)?;
    let tokens = Tokens::parse(text.as_bytes())?;
    if tokens.entries().iter().any(|other| other.name == entry.name) {
        return Err(FileError::Taken(entry.name.to_string()));
    }
    // The last line may have lost its end in an editor.
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{end}{}", entry.line()).as_bytes())?;
    file.sync_all()?;
    Ok(())
}

/// Removes the token called `name`. Comments and everything else stay as they are.
///
/// # Errors
/// When there is none, or the file is wrong or cannot be written.
pub fn remove(path: &Path, name: &str) -> Result<(), FileError> {
    let (file, text) = open_locked(path, false)?;
    let is_it = |line: &str| {
        is_entry(line)
            && serde_json::from_str::<TokenEntry>(line).is_ok_and(|entry| entry.name.as_str() == name)
    };
    // A file with another error is no reason to keep a token that must go.
    if !text.lines().any(is_it) {
        Tokens::parse(text.as_bytes())?;
        return Err(FileError::Unknown(name.to_owned()));
    }
    let rest: String = text.split_inclusive('\n').filter(|line| !is_it(line)).collect();
    // A link stays a link.
    let target = fs::canonicalize(path)?;
    let mut beside = target.clone().into_os_string();
    beside.push(".new");
    let before = file.metadata()?;
    let written = (|| {
        let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&beside)?;
        new.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))?;
        let now = new.metadata()?;
        if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
            // Whoever reads the file must still be able to.
            chown(&beside, Some(before.uid()), Some(before.gid()))?;
        }
        new.write_all(rest.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, &target)
    })();
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    Ok(written?)
}

/// Opens the file, holds the lock on it, and reads it.
fn open_locked(path: &Path, create: bool) -> Result<(File, String), FileError> {
    loop {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(create).mode(MODE).open(path)?;
        file.lock()?;
        // Another command may have put a new file there while this one waited.
        let (held, there) = (file.metadata()?, fs::metadata(path));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            return Ok((file, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::{
        admin::auth::token::TokenHash,
        types::{Name, Role},
    };

    fn entry(name: &str) -> TokenEntry {
        TokenEntry {
            name: Name::new(name).unwrap(),
            hash: TokenHash::of(name),
            role: Role::Viewer,
            routes: None,
            expires: None,
            created: None,
        }
    }

    fn names(path: &Path) -> Vec<String> {
        let (tokens, _) = read(path).unwrap();
        tokens.entries().iter().map(|entry| entry.name.to_string()).collect()
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn tokens_come_and_go_and_the_rest_of_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        assert!(matches!(remove(&path, "a"), Err(FileError::Io(_))));
        add(&path, &entry("a")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(add(&path, &entry("a")), Err(FileError::Taken(_))));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("# ours\n{}", text.trim_end())).unwrap();
        add(&path, &entry("b")).unwrap();
        assert_eq!(names(&path), ["a", "b"]);
        assert!(matches!(remove(&path, "c"), Err(FileError::Unknown(_))));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        remove(&link, "a").unwrap();
        assert_eq!(names(&path), ["b"]);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&path).unwrap().starts_with("# ours\n"));
    }

    #[test]
    fn who_may_read_is_told_and_who_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        add(&path, &entry("a")).unwrap();
        for (mode, warns, refused) in
            [(0o600, false, false), (0o400, false, false), (0o644, true, false), (0o620, false, true)]
        {
            chmod(&path, mode);
            let read = read(&path);
            assert_eq!(matches!(read, Err(FileError::Writable(_))), refused, "{mode:o}");
            assert_eq!(read.is_ok_and(|(_, warning)| warning.is_some()), warns, "{mode:o}");
        }
        assert!(matches!(add(&path, &entry("b")), Err(FileError::Writable(_))));
    }

    #[test]
    fn commands_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        add(&path, &entry("gone")).unwrap();
        thread::scope(|scope| {
            for at in 0..8 {
                let path = &path;
                scope.spawn(move || add(path, &entry(&format!("t{at}"))).unwrap());
            }
            scope.spawn(|| remove(&path, "gone").unwrap());
        });
        assert_eq!(names(&path).len(), 8);
    }
}
