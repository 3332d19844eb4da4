//! Changes while the disk fails, hangs, and works again.

use super::*;
use crate::control::applier::disk::{BRAKE_LIMIT, RETRY};

#[tokio::test]
async fn without_a_disk_only_the_kill_switch_and_the_file_work() {
    let fixture = Fixture::start(shop());
    let mut events = fixture.control.events();
    fixture.store.broken.store(true, Ordering::Release);
    let refusal = fixture.apply(patch(&[("canary", Some(6))])).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Store(_)), "{refusal}");
    assert_eq!(fixture.last(), "r1 shop stable=95,canary=5");
    assert!(matches!(events.recv().await.unwrap(), Event::StoreFailed(_)));
    let accepted = fixture.apply(kill(None)).await.unwrap();
    assert_eq!(fixture.last(), "r2 shop stable=95,canary=5 killed to stable");
    assert!(!accepted.state.store.persisted);
    let error = accepted.state.store.error.clone().unwrap();
    assert_eq!(error, "cannot write /data/overlay.json: No space left on device");
    let accepted =
        fixture.apply(Change::Reload(file(&[("shop", &[("stable", 9), ("canary", 1)])]))).await.unwrap();
    assert_eq!(fixture.last(), "r3 shop stable=9,canary=1 killed to stable");
    assert!(!accepted.state.store.persisted && accepted.state.last_reload.ok);
    // The next change that can be written brings everything to disk.
    fixture.store.broken.store(false, Ordering::Release);
    let accepted = fixture.apply(unkill()).await.unwrap();
    assert!(accepted.state.store.persisted && accepted.state.store.error.is_none());
    assert_eq!(fixture.store.load().unwrap().stored.unwrap().revision, Revision(4));
}

#[tokio::test(start_paused = true)]
async fn what_the_disk_did_not_take_is_written_when_it_works_again() {
    for repeats in [false, true] {
        let fixture = Fixture::start(shop());
        fixture.store.broken.store(true, Ordering::Release);
        let accepted = fixture.apply(kill(None)).await.unwrap();
        assert!(!accepted.state.store.persisted);
        tokio::time::advance(RETRY * 3).await;
        assert!(!fixture.control.state().store.persisted);
        let mut events = fixture.control.events();
        fixture.store.broken.store(false, Ordering::Release);
        if repeats {
            let again = fixture.apply(kill(None)).await.unwrap();
            assert!(!again.changed && again.state.store.persisted, "a repeated command tries at once");
        } else {
            let mut states = fixture.control.watch();
            states.wait_for(|state| state.store.persisted).await.unwrap();
        }
        assert!(matches!(events.recv().await.unwrap(), Event::StoreRecovered));
        let state = fixture.control.state();
        assert_eq!((state.revision, &state.store.error), (Revision(2), &None));
        let stored = fixture.store.load().unwrap().stored.unwrap();
        assert_eq!((stored.revision, &stored.overlay), (Revision(2), &*state.overlay));
        let rows = fixture.store.inner.rows();
        let row = rows.last().unwrap();
        assert_eq!((row.action.as_str(), row.result), ("kill", AuditResult::NotPersisted));
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_does_not_hold_up_the_kill_switch() {
    let fixture = Fixture::start(shop());
    fixture.store.hangs.store(true, Ordering::Release);
    // Paused time stands still while a blocking write is under way, so it is moved by hand.
    let slow = tokio::spawn({
        let control = fixture.control.clone();
        async move { control.apply(command(patch(&[("canary", Some(6))]))).await }
    });
    let mut events = fixture.control.events();
    tokio::task::yield_now().await;
    tokio::time::advance(WRITE_LIMIT + Duration::from_secs(1)).await;
    assert_eq!(slow.await.unwrap().unwrap_err(), Refusal::Store(StoreError::Stuck));
    assert!(matches!(events.recv().await.unwrap(), Event::StoreFailed(StoreError::Stuck)));
    let accepted = fixture.apply(kill(None)).await.unwrap();
    // The refused change may be on disk in the end: its number is not given again.
    assert_eq!(fixture.last(), "r3 shop stable=95,canary=5 killed to stable");
    assert!(!accepted.state.store.persisted);
    // The disk wakes up, and has what was refused: it is withdrawn.
    fixture.store.hangs.store(false, Ordering::Release);
    let mut states = fixture.control.watch();
    states.wait_for(|state| state.store.persisted).await.unwrap();
    assert_eq!(fixture.last(), "r4 shop stable=95,canary=5 killed to stable");
    let stored = fixture.store.load().unwrap().stored.unwrap();
    assert_eq!((stored.revision, &stored.overlay), (Revision(4), &*fixture.control.state().overlay));
    assert_eq!(actions(&fixture), "start set_weights kill withdraw");
}

#[tokio::test(start_paused = true)]
async fn a_kill_does_not_wait_for_a_write_that_hangs() {
    let fixture = Fixture::start(shop());
    fixture.store.hangs.store(true, Ordering::Release);
    let send = |change| {
        let control = fixture.control.clone();
        tokio::spawn(async move { control.apply(command(change)).await })
    };
    let slow = send(patch(&[("canary", Some(6))]));
    tokio::task::yield_now().await;
    let killing = send(kill(None));
    yields().await;
    tokio::time::advance(Duration::from_millis(40)).await;
    yields().await;
    assert_eq!(fixture.last(), "r3 shop stable=95,canary=5 killed to stable");
    assert_eq!(slow.await.unwrap().unwrap_err(), Refusal::Store(StoreError::Stuck));
    assert!(!killing.await.unwrap().unwrap().state.store.persisted);
    fixture.store.hangs.store(false, Ordering::Release);
}

#[tokio::test]
async fn what_is_in_force_is_mirrored_whether_or_not_it_could_be_written() {
    let fixture = Fixture::start(shop());
    fixture.apply(patch(&[("canary", Some(20))])).await.unwrap();
    fixture.store.broken.store(true, Ordering::Release);
    fixture.apply(patch(&[("canary", Some(30))])).await.unwrap_err();
    fixture.apply(kill(None)).await.unwrap();
    let mirrored = fixture.store.mirrored.lock().unwrap();
    let numbers: Vec<u64> = mirrored.iter().map(|stored| stored.revision.0).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test]
async fn what_is_not_on_disk_cannot_be_handed_over() {
    let fixture = Fixture::start(shop());
    fixture.store.broken.store(true, Ordering::Release);
    fixture.apply(kill(None)).await.unwrap();
    assert_eq!(fixture.control.pause().await.unwrap_err(), PauseError::Unsaved);
    fixture.store.broken.store(false, Ordering::Release);
    drop(fixture.control.pause().await.unwrap());
    assert_eq!(fixture.store.load().unwrap().stored.unwrap().revision, Revision(2));
}

#[tokio::test]
async fn a_start_that_is_only_prepared_writes_nothing() {
    let store = Arc::new(FailingStore::default());
    let dynamic: Arc<dyn Store> = Arc::clone(&store) as _;
    let (_control, mut applier) = Applier::prepare(shop(), Recorder(Arc::default()), dynamic).unwrap();
    assert_eq!((store.load().unwrap().stored, store.inner.rows().len()), (None, 0));
    applier.record_start().unwrap();
    applier.record_start().unwrap();
    assert_eq!((store.load().unwrap().stored.unwrap().revision, store.inner.rows().len()), (Revision(1), 1));
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_mirrored_before_the_database_has_it_and_waits_little_when_repeated() {
    let fixture = Fixture::start(shop());
    fixture.store.broken.store(true, Ordering::Release);
    fixture.apply(kill(None)).await.unwrap();
    // The disk is behind, and now it does not even say no.
    fixture.store.hangs.store(true, Ordering::Release);
    let again = tokio::spawn({
        let control = fixture.control.clone();
        async move { control.apply(command(kill(None))).await }
    });
    yields().await;
    assert!(!again.is_finished());
    tokio::time::advance(BRAKE_LIMIT + Duration::from_millis(1)).await;
    yields().await;
    assert!(again.is_finished());
    assert!(!again.await.unwrap().unwrap().changed);
    fixture.store.hangs.store(false, Ordering::Release);
    let mut states = fixture.control.watch();
    fixture.store.broken.store(false, Ordering::Release);
    states.wait_for(|state| state.store.persisted).await.unwrap();

    fixture.store.hangs.store(true, Ordering::Release);
    let killing = tokio::spawn({
        let control = fixture.control.clone();
        async move { control.apply(command(kill(Some("canary")))).await }
    });
    yields().await;
    let mirrored = fixture.store.mirrored.lock().unwrap().last().unwrap().clone();
    assert_eq!(mirrored.overlay, *fixture.control.state().overlay);
    assert_eq!(mirrored.overlay.routes[&name("shop")].kill_switch, Some(name("canary")));
    assert!(!killing.is_finished(), "the database has not written it yet");
    fixture.store.hangs.store(false, Ordering::Release);
    killing.await.unwrap().unwrap();
}

fn denial() -> Denial {
    Denial {
        origin: Origin::new("mallory", Channel::Api),
        action: "denied".to_owned(),
        route: Some(name("shop")),
        detail: "set_weights: role viewer".to_owned(),
    }
}

/// What stands in the audit: each action, and how often it comes in a row.
fn runs(fixture: &Fixture) -> String {
    let rows = fixture.store.inner.rows();
    let runs = rows.chunk_by(|one, next| one.action == next.action);
    let runs = runs.map(|run| {
        if run.len() == 1 { run[0].action.clone() } else { format!("{} {}", run.len(), run[0].action) }
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn denials_do_not_push_out_what_was_done() {
    let fixture = Fixture::start(shop());
    fixture.store.broken.store(true, Ordering::Release);
    fixture.apply(kill(None)).await.unwrap();
    for _ in 0..300 {
        fixture.control.denied(denial()).await;
    }
    // Answered after all of them.
    fixture.apply(patch(&[("canary", Some(6))])).await.unwrap_err();
    fixture.store.broken.store(false, Ordering::Release);
    fixture.apply(unkill()).await.unwrap();
    assert_eq!(runs(&fixture), "start, lost_rows, kill, 255 denied, unkill");
    let rows = fixture.store.inner.rows();
    assert_eq!((&rows[1].to, rows[2].result), (&45.into(), AuditResult::NotPersisted));
    assert_eq!(fixture.control.history().verify().await.unwrap().unwrap().rows, 259);
}

#[tokio::test(start_paused = true)]
async fn what_gives_way_while_a_write_hangs_is_neither_lost_nor_written_twice() {
    let fixture = Fixture::start(shop());
    fixture.store.hangs.store(true, Ordering::Release);
    let killing = tokio::spawn({
        let control = fixture.control.clone();
        async move { control.apply(command(kill(None))).await }
    });
    yields().await;
    for _ in 0..20 {
        fixture.control.denied(denial()).await;
    }
    tokio::time::advance(BRAKE_LIMIT + Duration::from_millis(1)).await;
    yields().await;
    assert!(!killing.await.unwrap().unwrap().state.store.persisted);
    for _ in 0..300 {
        fixture.control.denied(denial()).await;
    }
    fixture.apply(patch(&[("canary", Some(6))])).await.unwrap_err();
    fixture.store.hangs.store(false, Ordering::Release);
    let mut states = fixture.control.watch();
    states.wait_for(|state| state.store.persisted).await.unwrap();
    assert_eq!(runs(&fixture), "start, kill, lost_rows, 255 denied");
    assert_eq!(fixture.store.inner.rows()[2].to, 65);
}
