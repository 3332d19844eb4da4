//! Stages of rollouts: steps forward wait for the disk, a withdrawal for nothing.

use super::*;
use crate::{
    control::{StageChange, StageTarget},
    types::{Fraction, Stage},
};

fn share(percent: f64) -> Fraction {
    Fraction::from_percent(percent).unwrap()
}

fn step(number: u32, percent: f64) -> Change {
    let stage = Stage {
        rollout: "r-1".to_owned(),
        number,
        baseline: name("stable"),
        canary: name("canary"),
        share: share(percent),
        segments: Vec::new(),
        regions: Vec::new(),
        mirror: None,
        manual: false,
    };
    let change = StageChange { to: StageTarget::Stage(stage), raise_epoch: false };
    Change::SetStages([(name("shop"), change)].into())
}

fn withdraw() -> Change {
    let to =
        StageTarget::Out { rollout: "r-1".to_owned(), number: 2, share: Some(Fraction::NONE), again: None };
    Change::SetStages([(name("shop"), StageChange { to, raise_epoch: true })].into())
}

#[tokio::test]
async fn a_withdrawal_waits_for_no_disk_and_no_revision() {
    let fixture = Fixture::start(shop());
    fixture.apply(step(1, 20.0)).await.unwrap();
    fixture.store.broken.store(true, Ordering::Release);
    let refusal = fixture.apply(step(2, 50.0)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Store(_)), "{refusal}");
    let stale = Command { expected: Some(Revision(1)), ..command(withdraw()) };
    let accepted = fixture.control.apply(stale).await.unwrap();
    assert_eq!(fixture.last(), "r3 shop stable=100,canary=0");
    assert!(!accepted.state.store.persisted && accepted.state.stage(&name("shop")).is_none());
    // It is on disk as soon as that works, and in the audit.
    fixture.store.broken.store(false, Ordering::Release);
    assert!(!fixture.apply(withdraw()).await.unwrap().changed);
    let stored = fixture.store.load().unwrap().stored.unwrap();
    assert_eq!((stored.revision, stored.overlay.routes[&name("shop")].epoch), (Revision(3), 1));
    assert_eq!(actions(&fixture), "start set_stages set_stages");
    let rows = fixture.store.inner.rows();
    let last = rows.last().unwrap();
    assert_eq!((last.route.as_ref(), last.result), (Some(&name("shop")), AuditResult::NotPersisted));
    assert_eq!(
        (&last.from["shop"]["stage"]["number"], &last.to["shop"]["weights"]["canary"]),
        (&1.into(), &0.into())
    );
}

#[tokio::test]
async fn a_stage_outlives_a_restart() {
    let store = Arc::new(FailingStore::default());
    let fixture = Fixture::with_store(shop(), Arc::clone(&store));
    fixture.apply(step(1, 20.0)).await.unwrap();
    let again = Fixture::with_store(shop(), store);
    assert_eq!(again.last(), "r2 shop stable=80,canary=20");
    assert_eq!(again.control.state().stage(&name("shop")), fixture.control.state().stage(&name("shop")));
}

#[tokio::test]
async fn a_withdrawal_ends_a_pause() {
    let fixture = Fixture::start(shop());
    fixture.apply(step(1, 20.0)).await.unwrap();
    let mut paused = fixture.control.pause().await.unwrap();
    assert_eq!(fixture.apply(withdraw()).await.unwrap().state.revision, Revision(3));
    paused.broken().await;
}
