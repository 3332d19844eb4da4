//! The applier with a publisher that remembers: order, refusals, persistence.

mod disk;
mod stages;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::{
    control::{
        command::{ControlFile, Once, WeightChange},
        fixtures::{self, FailingStore, file, name, shop},
        store::{MemoryStore, Record, Stored},
    },
    types::Weight,
};

/// What was published: the revision, and the weights and kill switch of each route.
#[derive(Debug, Default)]
struct Published {
    log: Mutex<Vec<String>>,
    refuse: AtomicBool,
}

struct Recorder(Arc<Published>);

impl Publisher for Recorder {
    type Compiled = String;

    fn compile(
        &mut self,
        config: &Arc<Config>,
        overlay: &Overlay,
        revision: Revision,
    ) -> Result<String, CompileError> {
        if self.0.refuse.load(Ordering::Relaxed) {
            return Err(CompileError(vec!["no".to_owned(), "never".to_owned()]));
        }
        let mut text = revision.to_string();
        for route in &config.routes {
            let overlay = overlay.routes.get(&route.name);
            let weights = state::weights(route, overlay).into_iter().map(|(n, w)| format!("{n}={w}"));
            text.push_str(&format!(" {} {}", route.name, weights.collect::<Vec<_>>().join(",")));
            if let Some(killed) = overlay.and_then(|overlay| overlay.kill_switch.as_ref()) {
                text.push_str(&format!(" killed to {killed}"));
            }
        }
        Ok(text)
    }

    fn publish(&mut self, compiled: String) {
        self.0.log.lock().unwrap().push(compiled);
    }
}

struct Fixture {
    control: Control,
    published: Arc<Published>,
    store: Arc<FailingStore>,
}

impl Fixture {
    fn start(file: Arc<ControlFile>) -> Self {
        Self::with_store(file, Arc::default())
    }

    fn with_store(file: Arc<ControlFile>, store: Arc<FailingStore>) -> Self {
        let published = Arc::<Published>::default();
        let publisher = Recorder(Arc::clone(&published));
        let dynamic: Arc<dyn Store> = Arc::clone(&store) as _;
        let (control, applier) = Applier::start(file, publisher, dynamic).unwrap();
        tokio::spawn(applier.run(std::future::pending()));
        Self { control, published, store }
    }

    async fn apply(&self, change: Change) -> Result<Accepted, Refusal> {
        self.control.apply(command(change)).await
    }

    fn last(&self) -> String {
        self.published.log.lock().unwrap().last().unwrap().clone()
    }
}

fn command(change: Change) -> Command {
    Command::new(change, Origin::new("alice", Channel::Cli))
}

fn patch(weights: &[(&str, Option<u32>)]) -> Change {
    let weights = weights.iter().map(|(n, w)| ((*n).to_owned(), w.map(Weight::of))).collect();
    Change::SetWeights {
        route: "shop".to_owned(),
        weights: WeightChange::Patch(weights),
        pause_rollout: false,
    }
}

fn put(weights: &[(&str, u32)]) -> Change {
    let weights = weights.iter().map(|(n, w)| ((*n).to_owned(), Weight::of(*w))).collect();
    Change::SetWeights {
        route: "shop".to_owned(),
        weights: WeightChange::Replace(weights),
        pause_rollout: false,
    }
}

fn kill(backend: Option<&str>) -> Change {
    Change::Kill { route: "shop".to_owned(), backend: backend.map(ToOwned::to_owned) }
}

fn unkill() -> Change {
    Change::Unkill { route: "shop".to_owned() }
}

/// Lets other tasks go on, without any time going by.
async fn yields() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn changes_follow_each_other() {
    let fixture = Fixture::start(shop());
    let two = file(&[("shop", &[("stable", 90), ("canary", 10)])]);
    let gone = file(&[("shop", &[("stable", 1), ("next", 0)])]);
    for (change, expected) in [
        (patch(&[("canary", Some(20))]), "r2 shop stable=95,canary=20"),
        (patch(&[("canary", Some(20))]), "r2 shop stable=95,canary=20"),
        (put(&[("canary", 30), ("stable", 70)]), "r3 shop stable=70,canary=30"),
        (kill(None), "r4 shop stable=70,canary=30 killed to stable"),
        (kill(None), "r4 shop stable=70,canary=30 killed to stable"),
        (kill(Some("canary")), "r5 shop stable=70,canary=30 killed to canary"),
        (put(&[("canary", 0), ("stable", 70)]), "r6 shop stable=70,canary=0 killed to canary"),
        // The file changes its weights: the overlay still says what runs.
        (Change::Reload(Arc::clone(&two)), "r7 shop stable=70,canary=0 killed to canary"),
        (Change::Reload(two), "r7 shop stable=70,canary=0 killed to canary"),
        // A backend that leaves the split takes its overrides along, and a kill of it goes to the baseline.
        (Change::Reload(gone), "r8 shop stable=70,next=0 killed to stable"),
        (unkill(), "r9 shop stable=70,next=0"),
        (unkill(), "r9 shop stable=70,next=0"),
        (patch(&[("stable", None)]), "r10 shop stable=1,next=0"),
        // The override of `canary` was kept all the time.
        (Change::Reload(shop()), "r11 shop stable=95,canary=0"),
    ] {
        let accepted = fixture.apply(change).await.unwrap();
        assert_eq!(fixture.last(), expected);
        assert_eq!(accepted.state.revision, fixture.control.state().revision, "{expected}");
        assert!(expected.starts_with(&format!("{} ", accepted.state.revision)), "{expected}");
    }
    let stored = fixture.store.load().unwrap().stored.unwrap();
    let state = fixture.control.state();
    assert_eq!((stored.revision, &stored.overlay), (Revision(11), &*state.overlay));
    assert_eq!(state.overlay.routes[&name("shop")].epoch, 2);
    assert_eq!(
        actions(&fixture),
        "start set_weights set_weights kill kill set_weights reload reload unkill set_weights reload"
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let fixture = Fixture::start(shop());
    let mut moved = fixtures::config(&[("shop", &[("stable", 1)])]);
    moved.admin.bind = ([127, 0, 0, 1], 9999).into();
    moved.workers = 3;
    let elsewhere = Change::Kill { route: "shops".to_owned(), backend: None };
    for (change, expected) in [
        (
            patch(&[("canry", Some(1))]),
            "route `shop` has no backend `canry` in its split (did you mean `canary`?)",
        ),
        (
            patch(&[("x", Some(1))]),
            "route `shop` has no backend `x` in its split (its backends are `stable` and `canary`)",
        ),
        (patch(&[]), "no weight is given for route `shop` (give at least one backend a weight)"),
        (
            put(&[("canary", 1)]),
            "the new weights of route `shop` leave out `stable` (name every backend of the split, or change single weights with PATCH)",
        ),
        (
            put(&[("canary", 0), ("stable", 0)]),
            "all weights of route `shop` would be zero (give at least one backend a weight above 0)",
        ),
        (elsewhere, "there is no route `shops` (did you mean `shop`?)"),
        (
            Change::Reload(fixtures::of(moved)),
            "admin.bind (127.0.0.1:9900 -> 127.0.0.1:9999) and workers (0 -> 3) cannot be changed while Weir runs (restart Weir to change it, or take it back in the file)",
        ),
    ] {
        let refusal = fixture.apply(change).await.unwrap_err();
        let text = format!("{refusal} ({})", refusal.hint().unwrap());
        assert_eq!(text, expected);
    }
    fixture.published.refuse.store(true, Ordering::Relaxed);
    let refusal = fixture.apply(patch(&[("canary", Some(6))])).await.unwrap_err();
    assert_eq!(refusal.to_string(), "no; never");
    assert_eq!(fixture.last(), "r1 shop stable=95,canary=5");
    let state = fixture.control.state();
    assert_eq!(state.revision, Revision(1));
    assert!(!state.last_reload.ok, "the refused reload is remembered");
}

#[tokio::test]
async fn a_command_can_insist_on_what_its_sender_saw() {
    let fixture = Fixture::start(shop());
    let stale = |change| Command { expected: Some(Revision(7)), ..command(change) };
    let refusal = fixture.control.apply(stale(patch(&[("canary", Some(6))]))).await.unwrap_err();
    assert_eq!(refusal, Refusal::Conflict { expected: Revision(7), actual: Revision(1) });
    let current = Command { expected: Some(Revision(1)), ..command(patch(&[("canary", Some(6))])) };
    assert_eq!(fixture.control.apply(current).await.unwrap().state.revision, Revision(2));
    assert_eq!(fixture.control.apply(stale(kill(None))).await.unwrap().state.revision, Revision(3));
}

#[tokio::test]
async fn a_dry_run_says_what_would_be() {
    let fixture = Fixture::start(shop());
    let dry = Command { dry_run: true, ..command(patch(&[("canary", Some(50))])) };
    let accepted = fixture.control.apply(dry).await.unwrap();
    let route = accepted.state.route("shop").unwrap();
    assert_eq!(accepted.state.weights(route)[1], (name("canary"), Weight::of(50)));
    assert!(accepted.changed);
    assert_eq!(fixture.control.state().revision, Revision(1));
    assert_eq!(fixture.published.log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_key_is_not_carried_out_twice() {
    let fixture = Fixture::start(shop());
    let once = |key: &str, change| {
        let fingerprint = format!("{change:?}");
        Command { once: Some(Once { key: key.to_owned(), fingerprint }), ..command(change) }
    };
    let first = fixture.control.apply(once("a", patch(&[("canary", Some(20))]))).await.unwrap();
    assert_eq!((first.state.revision, first.replayed), (Revision(2), None));
    fixture.apply(patch(&[("canary", Some(30))])).await.unwrap();
    let again = fixture.control.apply(once("a", patch(&[("canary", Some(20))]))).await.unwrap();
    assert_eq!((again.changed, again.replayed), (false, Some(Revision(2))));
    let refusal = fixture.control.apply(once("a", patch(&[("canary", Some(40))]))).await.unwrap_err();
    assert_eq!(refusal, Refusal::KeyReused { revision: Revision(2) });
    assert_eq!(fixture.last(), "r3 shop stable=95,canary=30");
}

#[tokio::test]
async fn what_is_no_change_is_in_the_audit_or_is_not_done() {
    let fixture = Fixture::start(shop());
    let note = || Note {
        origin: Origin::new("alice", Channel::Cli),
        action: "sign_override",
        route: name("shop"),
        to: "canary".into(),
    };
    fixture.control.note(note()).await.unwrap();
    assert_eq!(actions(&fixture), "start sign_override");
    assert_eq!(fixture.store.inner.rows()[1].revision, Revision(1));
    assert_eq!(fixture.control.history().revisions(None, 9).await.unwrap().len(), 1);
    assert_eq!(fixture.published.log.lock().unwrap().len(), 1);
    fixture.store.broken.store(true, Ordering::Release);
    let refusal = fixture.control.note(note()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Store(_)), "{refusal}");
    assert!(fixture.control.state().store.error.is_some());
    fixture.store.broken.store(false, Ordering::Release);
    fixture.apply(patch(&[("canary", Some(6))])).await.unwrap();
    assert_eq!(actions(&fixture), "start sign_override set_weights");
}

#[tokio::test]
async fn what_was_denied_is_in_the_audit_and_changes_nothing() {
    let fixture = Fixture::start(shop());
    let denial = Denial {
        origin: Origin::new("mallory", Channel::Api),
        action: "denied".to_owned(),
        route: Some(name("shop")),
        detail: "set_weights: role viewer".to_owned(),
    };
    fixture.control.denied(denial).await;
    fixture.apply(patch(&[("canary", Some(20))])).await.unwrap();
    assert_eq!(actions(&fixture), "start denied set_weights");
    let rows = fixture.store.inner.rows();
    assert_eq!((rows[1].result, rows[1].revision), (AuditResult::Refused, Revision(1)));
    assert_eq!(fixture.control.history().revisions(None, 9).await.unwrap().len(), 2);
    assert_eq!(fixture.control.history().verify().await.unwrap().unwrap().rows, 3);
}

fn actions(fixture: &Fixture) -> String {
    let rows = fixture.store.inner.rows();
    rows.into_iter().map(|row| row.action).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_restart_goes_on_where_it_stopped() {
    let store = Arc::new(FailingStore::default());
    let fixture = Fixture::with_store(shop(), Arc::clone(&store));
    fixture.apply(put(&[("canary", 30), ("stable", 70)])).await.unwrap();
    fixture.apply(kill(None)).await.unwrap();
    let again = Fixture::with_store(shop(), Arc::clone(&store));
    assert_eq!(again.last(), "r3 shop stable=70,canary=30 killed to stable");
    // Another file while it was down is a change like any other.
    let other = Fixture::with_store(file(&[("shop", &[("stable", 1)])]), store);
    assert_eq!(other.last(), "r4 shop stable=70 killed to stable");
    let dangling: Vec<_> = other.control.state().dangling.iter().map(ToString::to_string).collect();
    assert_eq!(
        dangling,
        ["the weight of `canary` on route `shop` fits nothing: kept until the split has the backend again"]
    );
}

#[tokio::test]
async fn drift_shows_what_the_file_does_not_say() {
    let fixture = Fixture::start(shop());
    assert_eq!(fixture.control.state().drift(), []);
    fixture.apply(patch(&[("canary", Some(20))])).await.unwrap();
    let accepted = fixture.apply(kill(None)).await.unwrap();
    let lines: Vec<_> =
        accepted.state.drift().iter().map(|d| format!("{} -> {}", d.file, d.running)).collect();
    assert_eq!(lines, ["5 -> 20", "kill switch off -> kill switch to stable"]);
}

#[tokio::test]
async fn a_stopped_applier_refuses() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1000));
    let (control, applier) = Applier::start(shop(), Recorder(Arc::default()), store).unwrap();
    applier.run(std::future::ready(())).await;
    assert_eq!(control.apply(command(kill(None))).await.unwrap_err(), Refusal::Stopping);
}

#[tokio::test]
async fn during_a_pause_commands_wait_and_nothing_is_written() {
    let fixture = Fixture::start(shop());
    let paused = fixture.control.pause().await.unwrap();
    let waiting = tokio::spawn({
        let control = fixture.control.clone();
        async move { control.apply(command(patch(&[("canary", Some(20))]))).await }
    });
    // The store's other owner writes, and fails after that.
    let stored = fixture.store.load().unwrap().stored.unwrap();
    let other = Stored { revision: Revision(9), ..stored };
    fixture.store.write(&other.clone(), &[Record { stored: other, ..fixtures::record("start") }]).unwrap();
    yields().await;
    assert_eq!(fixture.control.state().revision, Revision(1));
    paused.resume();
    assert_eq!(waiting.await.unwrap().unwrap().state.revision, Revision(11), "10 restates what runs");
    assert_eq!(fixture.store.load().unwrap().stored.unwrap().revision, Revision(11));
}

#[tokio::test]
async fn an_emergency_ends_a_pause_until_it_is_sealed() {
    let fixture = Fixture::start(shop());
    let mut paused = fixture.control.pause().await.unwrap();
    assert_eq!(fixture.apply(kill(None)).await.unwrap().state.revision, Revision(2));
    paused.broken().await;
    assert_eq!(paused.seal().await, Err(PauseError::Emergency));
    drop(paused);

    let mut paused = fixture.control.pause().await.unwrap();
    paused.seal().await.unwrap();
    let waiting = tokio::spawn({
        let control = fixture.control.clone();
        async move { control.apply(command(unkill())).await }
    });
    let killing = tokio::spawn({
        let control = fixture.control.clone();
        async move { control.apply(command(kill(Some("canary")))).await }
    });
    yields().await;
    assert_eq!(fixture.control.state().revision, Revision(2));
    drop(paused);
    assert_eq!(waiting.await.unwrap().unwrap().state.revision, Revision(3));
    assert_eq!(killing.await.unwrap().unwrap().state.revision, Revision(4));
}
