//! The database on a real disk: what survives, and what damage looks like.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::{
    control::{
        fixtures,
        store::{
            MemoryStore, RolloutStore as _, Used,
            rollouts::{KeptRollout, Outbound},
        },
    },
    types::{Name, Overlay, RouteOverlay, Weight},
};

fn open(directory: &Path) -> SqliteStore {
    keeping(directory, 1000)
}

/// A store that keeps so many revisions.
fn keeping(directory: &Path, revisions: u64) -> SqliteStore {
    SqliteStore::new(directory, Lock::take(directory).unwrap(), revisions)
}

fn overlay(weight: f64) -> Overlay {
    let weights = [(Name::new("canary").unwrap(), Weight::from_f64(weight).unwrap())].into();
    let overlay = RouteOverlay { weights, epoch: 3, ..RouteOverlay::default() };
    Overlay { routes: [(Name::new("shop").unwrap(), overlay)].into(), ..Overlay::default() }
}

fn change(number: u64) -> Record {
    let mut record = fixtures::record("set_weights");
    record.stored.revision = Revision(number);
    record.stored.overlay = overlay(0.5);
    record.row.revision = Revision(number);
    record
}

/// Writes records, the last of which tells what is in force.
fn write(store: &SqliteStore, records: &[Record]) -> Result<(), StoreError> {
    store.write(&records.last().unwrap().stored, records)
}

#[test]
fn what_is_written_is_loaded_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let store = open(&path);
    assert_eq!(store.load().unwrap(), Loaded::default());
    let used =
        Used { key: "alice/k".to_owned(), fingerprint: "f".to_owned(), revision: Revision(2), at_ms: 5 };
    write(&store, &[change(1), Record { used: Some(used.clone()), ..change(2) }]).unwrap();
    let keys = store.signing_keys().unwrap();
    assert!(matches!(Lock::take(&path), Err(StoreError::InUse { .. })));
    drop(store);
    let store = open(&path);
    let loaded = store.load().unwrap();
    assert_eq!(loaded.stored, Some(change(2).stored));
    assert_eq!((loaded.newest, loaded.used, loaded.fault), (Revision(2), vec![used], None));
    assert_eq!(store.signing_keys().unwrap(), keys);
    for name in [DATABASE, "weir.db-wal", "signing-keys.json"] {
        let mode = fs::metadata(path.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn revisions_are_listed_newest_first_and_the_oldest_give_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = keeping(dir.path(), 20);
    let last = 100;
    let all: Vec<Record> = (1..=last).map(change).collect();
    write(&store, &all).unwrap();
    let page = store.revisions(Some(Revision(last)), 2).unwrap();
    assert_eq!(page.iter().map(|info| info.number.0).collect::<Vec<_>>(), [last - 1, last - 2]);
    assert_eq!(store.revisions(None, usize::MAX).unwrap().len(), 20);
    assert_eq!(store.revision(Revision(2)).unwrap(), None);
    let kept = store.revision(Revision(last)).unwrap().unwrap();
    assert_eq!(kept, change(last).kept().unwrap());
    // What was kept with another setting gives way with the next change, or comes to be more.
    drop(store);
    let store = keeping(dir.path(), 10);
    assert_eq!(store.revisions(None, usize::MAX).unwrap().len(), 20);
    write(&store, &[change(last + 1)]).unwrap();
    assert_eq!(store.revisions(None, usize::MAX).unwrap().len(), 10);
    drop(store);
    let store = keeping(dir.path(), 20);
    write(&store, &[change(last + 2)]).unwrap();
    assert_eq!(store.revisions(None, usize::MAX).unwrap().len(), 11);
}

#[test]
fn the_audit_is_searched_and_proves_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let by = |number: u64, actor: &str| {
        let mut record = change(number);
        record.row.origin.actor = actor.to_owned();
        record
    };
    write(&store, &[by(1, "alice"), by(2, "bob"), by(3, "alice")]).unwrap();
    let seqs = |query: AuditQuery| {
        let query = AuditQuery { limit: if query.limit == 0 { 10 } else { query.limit }, ..query };
        store.audit(&query).unwrap().iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    let query = AuditQuery::default;
    assert_eq!(seqs(query()), [3, 2, 1]);
    assert_eq!(seqs(AuditQuery { actor: Some("alice".to_owned()), ..query() }), [3, 1]);
    assert_eq!(seqs(AuditQuery { before: Some(3), limit: 1, ..query() }), [2]);
    assert_eq!(seqs(AuditQuery { route: Some("shop".to_owned()), ..query() }), [3, 2, 1]);
    assert_eq!(seqs(AuditQuery { since: Some("2026-02-01".to_owned()), ..query() }), [0; 0]);
    assert_eq!(store.verify().unwrap().unwrap().rows, 3);
    // The database itself refuses; somebody who means it takes the triggers away.
    let meddle = |sql: &str| Connection::open(dir.path().join(DATABASE)).unwrap().execute_batch(sql);
    let changed = "UPDATE audit SET row = replace(row, 'bob', 'eve') WHERE seq = 2";
    assert!(meddle(changed).unwrap_err().to_string().contains("not changed"));
    meddle("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted").unwrap();
    meddle(changed).unwrap();
    assert_eq!(store.verify().unwrap(), Err(Broken::Changed { seq: 2 }));
    meddle(
        "UPDATE audit SET row = replace(row, 'eve', 'bob') WHERE seq = 2; DELETE FROM audit WHERE seq = 3",
    )
    .unwrap();
    assert_eq!(store.verify().unwrap(), Err(Broken::CutOff { found: 2, written: 3 }));
    meddle("DELETE FROM audit WHERE seq = 1").unwrap();
    assert_eq!(store.verify().unwrap(), Err(Broken::Missing { expected: 1, found: 2 }));
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, &[change(1)]).unwrap();
    // A trigger stands for a disk that fills up in the middle.
    let meddle = Connection::open(dir.path().join(DATABASE)).unwrap();
    meddle
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON revisions WHEN new.number = 3
             BEGIN SELECT RAISE(ABORT, 'full'); END",
        )
        .unwrap();
    write(&store, &[change(2), change(3)]).unwrap_err();
    assert_eq!(store.load().unwrap().stored, Some(change(1).stored));
    assert_eq!(store.verify().unwrap().unwrap().rows, 1);
}

#[test]
fn a_locked_database_is_an_error_that_passes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, &[change(1)]).unwrap();
    let other = Connection::open(dir.path().join(DATABASE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = write(&store, &[change(2)]).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert_eq!(store.revisions(None, 5).unwrap().len(), 1, "readers go on");
    other.execute_batch("COMMIT").unwrap();
    write(&store, &[change(2)]).unwrap();
}

#[test]
fn a_start_with_a_damaged_database_goes_on_with_the_mirror() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, &[change(1)]).unwrap();
    let keys = store.signing_keys().unwrap();
    let killed = Stored { revision: Revision(5), ..change(1).stored };
    store.mirror(&killed);
    drop(store);
    // The database is behind: a kill that it did not take.
    let store = open(dir.path());
    assert_eq!(store.load().unwrap().stored, Some(killed.clone()));
    drop(store);
    let path = dir.path().join(DATABASE);
    fs::write(&path, [0xAA; 8192]).unwrap();
    let _ = fs::remove_file(dir.path().join("weir.db-wal"));
    let store = open(dir.path());
    let loaded = store.load().unwrap();
    assert_eq!(loaded.stored, Some(killed.clone()));
    assert!(matches!(loaded.fault, Some(StoreError::Damaged { .. })), "{:?}", loaded.fault);
    assert_eq!(store.signing_keys().unwrap(), keys);
    assert!(matches!(write(&store, &[change(6)]), Err(StoreError::Damaged { .. })));
    // Moved away, a new one is begun without a restart.
    fs::rename(&path, dir.path().join("broken.db")).unwrap();
    write(&store, &[change(6)]).unwrap();
    assert_eq!(store.load().unwrap().newest, Revision(6));
    // Without a mirror there is nothing to go on with.
    drop(store);
    fs::write(&path, [0xAA; 8192]).unwrap();
    fs::remove_file(dir.path().join("overlay.json")).unwrap();
    assert!(matches!(open(dir.path()).load(), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_database_of_a_later_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, &[change(1)]).unwrap();
    store.mirror(&change(1).stored);
    drop(store);
    let later = Connection::open(dir.path().join(DATABASE)).unwrap();
    later.pragma_update(None, "user_version", 99).unwrap();
    drop(later);
    assert!(matches!(open(dir.path()).load(), Err(StoreError::TooNew { found: 99, .. })));
}

#[test]
fn each_sink_has_its_own_place_in_the_outbox() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let rollout = KeptRollout {
        id: "r-1".to_owned(),
        began_ms: 1,
        over: false,
        state: "{}".to_owned(),
        evidence: "{}".to_owned(),
    };
    let message = |key: &str, sink: &str, due_ms: u64| Outbound {
        key: key.to_owned(),
        sink: sink.to_owned(),
        message: "{}".to_owned(),
        made_ms: due_ms,
        attempts: 0,
        due_ms: Some(due_ms),
        outcome: None,
    };
    let many = (0..50).map(|number| message(&format!("many-{number:02}"), "hangs", 10 + number));
    let mut messages: Vec<Outbound> = many.collect();
    messages.extend([message("b", "slack", 200), message("a", "slack", 100), message("later", "bus", 900)]);
    let memory = MemoryStore::new(10);
    for store in [&store as &dyn Store, &memory] {
        store.keep_rollout(&rollout, &[], &messages).unwrap();
        let keys = |now, limit| {
            let (due, next) = store.due_messages(now, limit).unwrap();
            (due.into_iter().map(|message| message.key).collect::<Vec<_>>(), next)
        };
        assert_eq!(keys(500, 1), (vec!["many-00".to_owned(), "a".to_owned()], Some(900)));
        assert_eq!(keys(150, 2).0, ["many-00", "many-01", "a"]);
        store.set_message(&Outbound { due_ms: None, ..message("a", "slack", 100) }).unwrap();
        store.set_message(&Outbound { due_ms: Some(700), ..message("many-00", "hangs", 10) }).unwrap();
        // What is kept already stays as it is.
        store.keep_rollout(&rollout, &[], &messages).unwrap();
        assert_eq!(keys(500, 1), (vec!["many-01".to_owned(), "b".to_owned()], Some(700)));
        assert_eq!(keys(u64::MAX >> 1, 100).0.len(), 52);
    }
}

#[test]
fn a_link_is_used_once_in_every_process_and_forgotten_when_it_has_expired() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(store.use_link("r-1/7", 100, 1000).unwrap());
    drop(store);
    let store = open(dir.path());
    assert!(store.is_link_used("r-1/7").unwrap() && !store.is_link_used("r-1/8").unwrap());
    for (nonce, now, expected) in
        [("r-1/7", 200, false), ("r-1/8", 200, true), ("r-1/7", 1000, false), ("r-1/7", 1001, true)]
    {
        assert_eq!(store.use_link(nonce, now, 1000).unwrap(), expected, "{nonce} at {now}");
    }
}

#[test]
fn the_oldest_rollouts_that_are_over_give_way_with_all_that_happened_in_them() {
    use crate::control::store::rollouts::{KeptEntry, KeptRollout, ROLLOUTS_KEPT, RolloutStore as _};
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("data"));
    let rollout = |number: u64, over| KeptRollout {
        id: format!("r-{number}"),
        began_ms: number,
        over,
        state: String::new(),
        evidence: String::new(),
    };
    let entry = || vec![KeptEntry { seq: 1, entry: "begun".to_owned() }];
    store.keep_rollout(&rollout(0, false), &entry(), &[]).unwrap();
    for number in 1..=ROLLOUTS_KEPT + 1 {
        store.keep_rollout(&rollout(number, true), &entry(), &[]).unwrap();
    }
    let kept = store.rollouts().unwrap();
    assert_eq!(kept.len() as u64, ROLLOUTS_KEPT + 1, "one of them goes on");
    assert!(kept.iter().all(|kept| kept.id != "r-1"));
    assert_eq!(store.rollout_entries("r-1").unwrap(), [] as [String; 0]);
    assert_eq!(store.rollout_entries("r-2").unwrap(), ["begun"]);
    assert_eq!(store.rollout_entries("r-0").unwrap(), ["begun"]);
}
