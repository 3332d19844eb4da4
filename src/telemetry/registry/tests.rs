//! The registry and its shards: totals over workers, identity over reloads, the cap, readers beside a writer.

use std::time::Duration;

use super::*;
use crate::{
    telemetry::{
        label::{CodeClass, ErrorKind, MethodLabel, Refusal, Shed},
        stats::Outcome,
        totals::Code,
    },
    types::Reason,
};

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

fn outcome(status: u16, method: MethodLabel) -> Outcome {
    let duration = Duration::from_millis(10);
    Outcome { status, method, duration, upstream: Some(duration / 2), error: None }
}

#[test]
fn totals_are_the_sum_over_workers() {
    let registry = Registry::new(2);
    let shards = registry.route_backend(&name("shop"), &name("v1"));
    let (one, two) = (shards.worker(0), shards.worker(1));
    one.started();
    one.assigned(Reason::Cookie);
    one.record(&outcome(200, MethodLabel::Get));
    one.finished();
    two.started();
    two.assigned(Reason::Cookie);
    two.assigned(Reason::Draw);
    two.new_bucket();
    two.retried();
    two.failed(ErrorKind::Reset);
    two.record(&outcome(200, MethodLabel::Get));
    two.record(&outcome(999, MethodLabel::Other));
    two.record(&Outcome {
        error: Some(ErrorKind::Connect),
        upstream: None,
        ..outcome(502, MethodLabel::Post)
    });

    let stats = &registry.snapshot().route_backends[&(name("shop"), name("v1"))];
    let requests: Vec<_> = stats.requests.iter().map(|((code, method), n)| (*code, *method, *n)).collect();
    assert_eq!(
        requests,
        [
            (Code::Exact(200), MethodLabel::Get, 2),
            (Code::Exact(502), MethodLabel::Post, 1),
            (Code::Other, MethodLabel::Other, 1),
        ]
    );
    assert_eq!(
        (stats.total(), stats.class(CodeClass::Success), stats.class(CodeClass::ServerError)),
        (4, 2, 2)
    );
    assert_eq!((stats.upstream.count(), stats.latency().count(), stats.in_flight), (3, 4, 1));
    assert_eq!((stats.errors_of(ErrorKind::Connect), stats.errors_of(ErrorKind::Reset)), (1, 1));
    assert_eq!((stats.assignments[Reason::Cookie.index()], stats.assignments[Reason::Draw.index()]), (2, 1));
    assert_eq!((stats.new_buckets, stats.retries), (1, 1));
}

#[test]
fn the_difference_of_two_moments_is_what_happened_between() {
    let registry = Registry::new(1);
    let shards = registry.route_backend(&name("shop"), &name("v1"));
    let read = || registry.readings().remove(0).stats;
    shards.worker(0).record(&outcome(200, MethodLabel::Get));
    let earlier = read();
    shards.worker(0).record(&outcome(200, MethodLabel::Get));
    shards.worker(0).record(&outcome(404, MethodLabel::Head));
    let between = read().since(&earlier);
    assert_eq!(between.total(), 2);
    assert_eq!(between.requests[&(Code::Exact(200), MethodLabel::Get)], 1);
    assert_eq!(read().since(&read()).requests.len(), 0);
}

#[test]
fn the_other_shards_count() {
    let registry = Registry::new(2);
    let (shop, web) = (name("shop"), name("web"));
    registry.route(&shop).worker(1).matched();
    registry.route(&shop).worker(0).overhead(Duration::from_micros(3));
    let endpoints = registry.endpoint(&name("v1"), "10.0.0.1:80");
    endpoints.worker(0).started();
    endpoints.worker(1).started();
    endpoints.worker(1).record(Duration::from_millis(1));
    endpoints.worker(1).finished();
    assert_eq!((endpoints.worker(0).in_flight(), endpoints.worker(1).in_flight()), (1, 0));
    let listener = registry.listener(&web);
    listener.worker(0).opened();
    listener.worker(1).opened();
    listener.worker(1).closed();
    listener.worker(1).shed(Shed::Total);
    listener.worker(0).refused(Refusal::Framing);
    assert_eq!(listener.worker(0).connections(), 1);

    let all = registry.snapshot();
    assert_eq!((all.routes[&shop].matched, all.routes[&shop].overhead.count()), (1, 1));
    let endpoint = &all.endpoints[&(name("v1"), "10.0.0.1:80".into())];
    assert_eq!((endpoint.in_flight, endpoint.durations.count()), (1, 1));
    let listener = &all.listeners[&web];
    assert_eq!((listener.connections, listener.opened, listener.shed), (1, 2, [0, 1, 0]));
    assert_eq!(listener.refused[Refusal::Framing.index()], 1);
}

#[test]
fn shards_outlive_reloads_and_go_with_their_route() {
    let registry = Registry::new(1);
    let (shop, v1, v2) = (name("shop"), name("v1"), name("v2"));
    let first = registry.route_backend(&shop, &v1);
    assert!(Arc::ptr_eq(&first, &registry.route_backend(&shop, &v1)));
    let _ = (registry.route_backend(&shop, &v2), registry.route(&shop), registry.endpoint(&v1, "a:1"));

    let live = Live { route_backends: [(shop.clone(), v1.clone())].into(), ..Live::default() };
    registry.retain(&live);
    let all = registry.snapshot();
    assert_eq!(all.route_backends.keys().collect::<Vec<_>>(), [&(shop.clone(), v1.clone())]);
    assert_eq!((all.routes.len(), all.endpoints.len()), (0, 0));
    assert!(Arc::ptr_eq(&first, &registry.route_backend(&shop, &v1)));
}

#[test]
fn beyond_the_cap_shards_work_and_are_not_shown() {
    let registry = Registry::with_cap(1, 1);
    let shop = name("shop");
    let _ = registry.route(&shop);
    registry.route(&name("late")).worker(0).matched();
    registry.route(&shop).worker(0).matched();
    let all = registry.snapshot();
    assert_eq!((all.routes.len(), all.routes[&shop].matched, all.dropped_series), (1, 1, 1));
}

#[test]
fn a_reader_sees_whole_values_while_a_worker_writes() {
    let registry = Registry::new(1);
    let shards = registry.route_backend(&name("shop"), &name("v1"));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..20_000).for_each(|_| shards.worker(0).record(&outcome(200, MethodLabel::Get)));
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        let mut last = 0;
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            let seen = registry.readings().remove(0).stats.total();
            assert!((last..=20_000).contains(&seen));
            last = seen;
        }
    });
    assert_eq!(registry.readings().remove(0).stats.total(), 20_000);
}

#[test]
fn a_trial_is_the_same_while_its_stage_is_in_force() {
    let registry = Registry::new(2);
    let shop = name("shop");
    let first = registry.trial(&shop, "r-1", 1);
    assert!(registry.trial_of(&shop).is_none(), "nothing is in force yet");
    let in_force = |trial: &Arc<Trial>| {
        let trials = [(shop.clone(), Arc::clone(trial))].into();
        registry.retain(&Live { trials, ..Live::default() });
    };
    in_force(&first);
    assert!(Arc::ptr_eq(&first, &registry.trial(&shop, "r-1", 1)));
    // Another stage that is only tried out takes nobody's place.
    let second = registry.trial(&shop, "r-1", 2);
    assert_eq!((second.rollout.as_str(), second.stage), ("r-1", 2));
    assert!(Arc::ptr_eq(&first, &registry.trial_of(&shop).unwrap()));
    in_force(&second);
    assert!(Arc::ptr_eq(&second, &registry.trial_of(&shop).unwrap()));
    assert!(!Arc::ptr_eq(&second, &registry.trial(&shop, "r-2", 2)));
    registry.retain(&Live::default());
    assert!(registry.trial_of(&shop).is_none());
}
