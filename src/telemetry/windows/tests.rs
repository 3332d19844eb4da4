//! Windows over simulated hours: what they hold, what they cover, what they forget and what they weigh.

use std::sync::Arc;

use super::*;
use crate::{
    telemetry::{
        label::MethodLabel,
        registry::{Live, Sharded},
        stats::{Outcome, RouteBackendShard},
    },
    types::clock,
};

/// A route `shop` with the backends `v1` and `v2`, and a clock that the test moves.
struct Scene {
    registry: Registry,
    windows: Windows,
    now: Instant,
    shop: Name,
    v1: Name,
    v2: Name,
}

impl Scene {
    fn new() -> Self {
        let name = |text| Name::new(text).expect("a good name");
        let now = clock::now();
        let (shop, v1, v2) = (name("shop"), name("v1"), name("v2"));
        Self { registry: Registry::new(2), windows: Windows::new(now), now, shop, v1, v2 }
    }

    fn shards(&self, backend: &Name) -> Arc<Sharded<RouteBackendShard>> {
        self.registry.route_backend(&self.shop, backend)
    }

    fn serve(&self, backend: &Name, requests: u64, status: u16, millis: u64) {
        let duration = Duration::from_millis(millis);
        let error = (status == 504).then_some(ErrorKind::Timeout);
        for worker in 0..requests {
            let worker = usize::from(worker % 2 == 1);
            let outcome = Outcome { status, method: MethodLabel::Get, duration, upstream: None, error };
            self.shards(backend).worker(worker).record(&outcome);
        }
    }

    fn tick(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.windows.tick(&self.registry, self.now);
    }

    fn rate(&self, backend: &Name, seconds: u64) -> WindowStats {
        self.windows.rate(&self.shop, backend, Duration::from_secs(seconds)).expect("known")
    }
}

#[test]
fn a_window_holds_what_happened_in_it() {
    let mut scene = Scene::new();
    let (v1, v2) = (scene.v1.clone(), scene.v2.clone());
    scene.serve(&v1, 100, 200, 900);
    scene.tick(1000);
    for _ in 0..10 {
        scene.serve(&v1, 19, 200, 10);
        scene.serve(&v2, 1, 504, 50);
        scene.tick(1000);
    }
    let last = scene.rate(&v1, 10);
    assert_eq!((last.requests, last.covered), (190, Duration::from_secs(10)));
    assert_eq!((last.rps, last.share, last.error_ratio), (19.0, Some(0.95), Some(0.0)));
    let p99 = last.p99().expect("requests").as_secs_f64();
    assert!((p99 - 0.01).abs() < 0.0001, "{p99}");
    assert_eq!(last.latency.sum_nanos(), 1_900_000_000);

    let bad = scene.rate(&v2, 10);
    assert_eq!((bad.requests, bad.errors_5xx(), bad.errors[ErrorKind::Timeout.index()]), (10, 10, 10));
    assert_eq!((bad.error_ratio, bad.share), (Some(1.0), Some(0.05)));

    // The longer window also has the slow second.
    assert_eq!(scene.rate(&v1, 11).requests, 290);
    let shares = scene.windows.shares(Duration::from_secs(10));
    assert_eq!(shares.values().copied().collect::<Vec<_>>(), [0.95, 0.05]);
}

#[test]
fn late_ticks_lose_nothing_and_cover_what_they_cover() {
    let mut scene = Scene::new();
    let v1 = scene.v1.clone();
    for millis in [1003, 998, 1002, 4000, 1001] {
        scene.serve(&v1, 10, 200, 1);
        scene.tick(millis);
    }
    assert_eq!(scene.rate(&v1, 60).requests, 50);
    assert_eq!(scene.rate(&v1, 60).covered, Duration::from_millis(8004));
    let two = scene.rate(&v1, 1);
    assert_eq!((two.requests, two.covered), (10, Duration::from_millis(1001)));
    scene.tick(0);
    assert_eq!(scene.rate(&v1, 60).requests, 50);
}

#[test]
fn a_new_backend_covers_only_its_life() {
    let mut scene = Scene::new();
    let (v1, v2) = (scene.v1.clone(), scene.v2.clone());
    assert_eq!(scene.windows.rate(&scene.shop, &v1, FINE), None);
    scene.serve(&v1, 1, 200, 1);
    (0..30).for_each(|_| scene.tick(1000));
    scene.serve(&v2, 6, 200, 1);
    (0..3).for_each(|_| scene.tick(1000));
    let new = scene.rate(&v2, 60);
    assert_eq!((new.covered, new.rps), (Duration::from_secs(3), 2.0));
    // Nothing happened in the last second: no ratio and no share rather than zero of nothing.
    let quiet = scene.rate(&v2, 1);
    assert_eq!((quiet.requests, quiet.error_ratio, quiet.share, quiet.p50()), (0, None, None, None));
}

#[test]
fn what_is_dropped_is_forgotten_and_begins_anew() {
    let mut scene = Scene::new();
    let v1 = scene.v1.clone();
    scene.serve(&v1, 10, 200, 1);
    scene.tick(1000);
    scene.registry.retain(&Live::default());
    scene.serve(&v1, 3, 200, 1);
    scene.tick(1000);
    assert_eq!(scene.rate(&v1, 60).requests, 3);
    scene.registry.retain(&Live::default());
    scene.tick(1000);
    assert_eq!(scene.windows.rate(&scene.shop, &v1, FINE), None);
    assert_eq!(scene.windows.bytes(&scene.shop, &v1), 0);
}

#[test]
fn days_are_kept_in_minutes() {
    let mut scene = Scene::new();
    let v1 = scene.v1.clone();
    // A request every 10 seconds for 25 hours and half a minute; every second is ticked only near the end.
    for second in 0..25 * 3600 + 30 {
        if second % 10 == 0 {
            scene.serve(&v1, 1, 200, 1);
        }
        if second >= 24 * 3600 {
            scene.tick(1000);
        } else if second % 10 == 9 {
            scene.tick(10_000);
        }
    }
    assert_eq!(scene.rate(&v1, 15 * 60).requests, 90);
    let hour = scene.rate(&v1, 3600);
    assert!(hour.requests.abs_diff(360) <= 3, "{}", hour.requests);
    assert!((hour.rps - 0.1).abs() < 0.001, "{}", hour.rps);
    let day = scene.rate(&v1, 24 * 3600);
    assert!(day.requests.abs_diff(8640) <= 6, "{}", day.requests);
    assert_eq!(scene.windows.history(&scene.shop, &v1, COARSE).len(), 1440);
    let minute = scene.windows.history(&scene.shop, &v1, FINE);
    assert_eq!(minute.len(), 90);
    assert_eq!((minute[0].stats.requests, minute[0].stats.covered), (1, Duration::from_secs(1)));
}

/// A cheap source of the same bits in every run (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}

/// A second of 10,000 requests around 20 ms, spread by a factor of e (a log-normal with sigma 1).
fn busy_second(state: &mut u64) -> HistogramSnapshot {
    let histogram = crate::telemetry::histogram::Histogram::new();
    for _ in 0..10_000 {
        // Twelve uniform numbers less six are close to a normal one.
        let uniform =
            |state: &mut u64| f64::from(u32::try_from(next(state) >> 32).unwrap_or(0)) / 4_294_967_296.0;
        let normal = (0..12).map(|_| uniform(state)).sum::<f64>() - 6.0;
        histogram.record(Duration::from_secs_f64(0.02 * normal.exp()));
    }
    histogram.snapshot()
}

#[test]
fn a_busy_backend_stays_in_its_budget() {
    let mut scene = Scene::new();
    let v1 = scene.v1.clone();
    let mut state = 1;
    let seconds: Vec<HistogramSnapshot> = (0..20).map(|_| busy_second(&mut state)).collect();
    let mut total = RouteBackendStats::default();
    let key = (scene.shop.clone(), v1.clone());
    // The windows are fed directly: recording 864 million requests would prove nothing more. A day takes the seconds
    // in turn, and the last 16 minutes are full seconds too.
    let mut windows = scene.windows.lock();
    for second in 0..24 * 3600 {
        // Most of the day is ticked a minute at a time, with a minute's worth of requests.
        let fine = second >= 24 * 3600 - 960;
        if !fine && second % 60 != 59 {
            continue;
        }
        for part in 0..if fine { 1 } else { 60 } {
            total.durations[1].merge(&seconds[(second + part) % seconds.len()]);
        }
        scene.now += Duration::from_secs(if fine { 1 } else { 60 });
        let reading = Reading { key: key.clone(), id: 0, stats: total.clone() };
        windows.tick(vec![reading], scene.now);
    }
    drop(windows);
    assert_eq!(scene.rate(&v1, 60).requests, 600_000);
    assert_eq!(scene.rate(&v1, 24 * 3600).requests, 864_000_000);
    let bytes = scene.windows.bytes(&scene.shop, &v1);
    println!("{bytes} bytes");
    assert!(bytes < 4 << 20, "{bytes}");
}
