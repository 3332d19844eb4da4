//! Watching real files: what is seen of a change, and when.

use std::{fs, future::Future, io::Write, os::unix::fs::symlink};

use tempfile::TempDir;

use super::*;

/// Longer than any machine needs; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than any test, so that only notifications are at work.
const NEVER: Duration = Duration::from_secs(3600);

struct Fixture {
    dir: TempDir,
    events: mpsc::Receiver<FileEvent>,
    rescan: Rescan,
}

impl Fixture {
    /// Watches `weir.yaml` in a new directory, after `prepare` has put it there, with `one` as its content.
    async fn start(poll: Duration, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let (watcher, events, rescan) = watch(vec![(dir.path().join("weir.yaml"), None)], poll);
        tokio::spawn(watcher.run());
        let mut fixture = Self { dir, events, rescan };
        fixture.expect("one").await;
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn next(&mut self) -> Result<String, String> {
        let event = within(self.events.recv()).await.expect("the watcher runs");
        event.content.map(|content| String::from_utf8(content.to_vec()).unwrap())
    }

    async fn expect(&mut self, content: &str) {
        assert_eq!(self.next().await.as_deref(), Ok(content));
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

fn plain(dir: &Path) {
    fs::write(dir.join("weir.yaml"), "one").unwrap();
}

#[tokio::test]
async fn every_way_to_replace_a_file_is_seen() {
    let mut fixture = Fixture::start(NEVER, plain).await;
    let file = fixture.path("weir.yaml");
    // In place.
    fs::write(&file, "two").unwrap();
    fixture.expect("two").await;
    // As editors do: another file is renamed over it, and more than once.
    for content in ["three", "four"] {
        fs::write(fixture.path(".weir.yaml.swp"), content).unwrap();
        fs::rename(fixture.path(".weir.yaml.swp"), &file).unwrap();
        fixture.expect(content).await;
    }
    // In place again, now that the inode is another.
    fs::write(&file, "five").unwrap();
    fixture.expect("five").await;
    // Moved away, and a new one made.
    fs::rename(&file, fixture.path("weir.yaml~")).unwrap();
    fs::write(&file, "six").unwrap();
    fixture.expect("six").await;
    // Deleted and made again.
    fs::remove_file(&file).unwrap();
    fs::write(&file, "seven").unwrap();
    fixture.expect("seven").await;
}

#[tokio::test]
async fn a_config_map_is_swapped_by_its_link() {
    let mut fixture = Fixture::start(NEVER, |dir| {
        fs::create_dir(dir.join("..1")).unwrap();
        fs::write(dir.join("..1/weir.yaml"), "one").unwrap();
        symlink("..1", dir.join("..data")).unwrap();
        symlink("..data/weir.yaml", dir.join("weir.yaml")).unwrap();
    })
    .await;
    for (directory, content) in [("..2", "two"), ("..3", "three")] {
        fs::create_dir(fixture.path(directory)).unwrap();
        fs::write(fixture.path(directory).join("weir.yaml"), content).unwrap();
        symlink(directory, fixture.path("..data_tmp")).unwrap();
        fs::rename(fixture.path("..data_tmp"), fixture.path("..data")).unwrap();
        fixture.expect(content).await;
    }
}

#[tokio::test]
async fn a_link_to_a_file_elsewhere_is_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("real.yaml");
    fs::write(&target, "one").unwrap();
    let mut fixture = Fixture::start(NEVER, |dir| symlink(&target, dir.join("weir.yaml")).unwrap()).await;
    fs::write(&target, "two").unwrap();
    fixture.expect("two").await;
    fs::write(elsewhere.path().join("new"), "three").unwrap();
    fs::rename(elsewhere.path().join("new"), &target).unwrap();
    fixture.expect("three").await;
}

#[tokio::test]
async fn a_half_written_file_is_not_told() {
    let mut fixture = Fixture::start(NEVER, plain).await;
    let mut writer = fs::File::create(fixture.path("weir.yaml")).unwrap();
    for part in ["half", " and", " half"] {
        writer.write_all(part.as_bytes()).unwrap();
        // The writer hesitates for longer than the debounce, and for less than the quiet time.
        tokio::time::sleep(DEBOUNCE * 2).await;
    }
    drop(writer);
    fixture.expect("half and half").await;
}

#[tokio::test]
async fn the_same_content_and_other_files_are_no_change() {
    let mut fixture = Fixture::start(NEVER, plain).await;
    fs::write(fixture.path("weir.yaml"), "one").unwrap();
    fs::write(fixture.path("access.log"), "GET /").unwrap();
    fs::write(fixture.path("weir.yaml.bak"), "other").unwrap();
    // Asked for, the content is told although it is the same; so nothing was told before.
    fixture.rescan.now();
    fixture.expect("one").await;
    fs::write(fixture.path("weir.yaml"), "two").unwrap();
    fixture.expect("two").await;
}

#[tokio::test]
async fn without_notifications_polling_sees_changes_and_a_missing_file() {
    let dir = tempfile::tempdir().unwrap();
    plain(dir.path());
    let path = dir.path().join("weir.yaml");
    let (mut watcher, mut events, _rescan) = watch(vec![(path.clone(), None)], Duration::from_millis(10));
    watcher.system = None;
    tokio::spawn(watcher.run());
    let mut next = async || within(events.recv()).await.unwrap().content;
    assert_eq!(next().await.as_deref(), Ok(&b"one"[..]));
    fs::write(dir.path().join("new"), "two").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(next().await.as_deref(), Ok(&b"two"[..]));
    fs::remove_file(&path).unwrap();
    assert!(next().await.unwrap_err().contains("No such file"));
    fs::write(dir.path().join("new"), "two").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(next().await.as_deref(), Ok(&b"two"[..]));
}

#[tokio::test]
async fn what_is_known_already_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    plain(dir.path());
    let path = dir.path().join("weir.yaml");
    let (watcher, mut events, _rescan) = watch(vec![(path.clone(), Some(Digest::of(b"one")))], POLL);
    tokio::spawn(watcher.run());
    fs::write(&path, "two").unwrap();
    let event = within(events.recv()).await.unwrap();
    assert_eq!(event.content.as_deref(), Ok(&b"two"[..]));
}
