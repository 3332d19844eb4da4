//! How long a bad version keeps its 5 %: with the gates that presets have, and with Flagger's rule on the same requests.
//!
//! `WEIR_SIM_TABLE=1 cargo test --test sim detection -- --nocapture` prints the table that docs/analysis.md has.

use std::{env, time::Duration};

use weir::{
    config::model::rollout::RolloutPlan,
    telemetry::{
        HistogramSnapshot,
        trial::{Arm, Note},
    },
    types::Fraction,
};

use crate::{
    plans,
    route::Route,
    traffic::{GOOD, Load, TICK, Traffic, Version},
};

const SEEDS: u64 = 20;
/// What is not found by then is not found.
const MOST: Duration = Duration::from_secs(1800);
/// Flagger's interval, and its p99 limit.
const MINUTE: Duration = Duration::from_secs(60);
const SLOWEST: Duration = Duration::from_millis(500);

/// A regression: the stable version, the canary, and what median and worst may be in seconds at 200 and at 2,000 requests a second.
struct Case {
    what: &'static str,
    versions: [Version; 2],
    within: [(f64, f64); 2],
}

/// Flagger's rule: every minute of the canary's requests is a check; the fifth that fails, whenever, ends it.
#[derive(Default)]
struct Flagger {
    requests: u64,
    failed: u64,
    durations: HistogramSnapshot,
    checked: Duration,
    failed_checks: u32,
}

fn cases() -> [Case; 5] {
    let good = Version::failing(0.001);
    [
        Case {
            what: "errors 100 %",
            versions: [good, Version::failing(1.0)],
            within: [(2.0, 3.0), (2.0, 3.0)],
        },
        Case {
            what: "errors 6 %",
            versions: [good, Version::failing(0.06)],
            within: [(12.0, 25.0), (3.0, 5.0)],
        },
        Case {
            what: "errors 1 % against 0.1 %",
            versions: [good, Version::failing(0.01)],
            within: [(120.0, 380.0), (15.0, 40.0)],
        },
        Case {
            what: "all 1.5 times slower",
            versions: [GOOD, GOOD.slower(1.5)],
            within: [(65.0, 180.0), (8.0, 15.0)],
        },
        Case {
            what: "all 2 times slower",
            versions: [GOOD, GOOD.slower(2.0)],
            within: [(15.0, 35.0), (3.0, 5.0)],
        },
    ]
}

// === impl Flagger ===

impl Flagger {
    fn see(&mut self, notes: &[Note]) {
        for end in notes.iter().filter(|note| note.arm == Arm::Canary).filter_map(|note| note.end) {
            self.requests += 1;
            self.failed += u64::from(end.status >= 500);
            self.durations.record(end.duration);
        }
    }

    /// Whether it rolls back now.
    fn check(&mut self, now: Duration) -> bool {
        if now < self.checked + MINUTE {
            return false;
        }
        let too_many = self.failed * 100 > self.requests;
        let too_slow = self.durations.quantile(0.99).is_some_and(|slowest| slowest > SLOWEST);
        let failed_checks = self.failed_checks + u32::from(too_many || too_slow);
        *self = Self { checked: now, failed_checks, ..Self::default() };
        self.failed_checks >= 5
    }
}

/// Seconds until Weir and, if wanted, Flagger take the canary away.
fn times(case: &Case, per_second: f64, seed: u64, with_flagger: bool) -> [Option<f64>; 2] {
    let steps = vec![plans::weight(5.0, MOST * 2)];
    let plan = RolloutPlan { deadline: Duration::ZERO, ..plans::plan(steps, plans::default_gates(0.01)) };
    let mut route = Route::new(plan, Traffic::new(Load::of(per_second), seed));
    let mut flagger = Flagger::default();
    while route.now < MOST && !route.was_rolled_back() {
        route.tick(case.versions, |notes| flagger.see(notes));
        if flagger.check(route.now) {
            return [None, Some(route.now.as_secs_f64())];
        }
    }
    let weir = route.was_rolled_back().then_some(route.now.as_secs_f64());
    if !with_flagger {
        return [weir, None];
    }
    // Weir is done; Flagger goes on with as many of the canary's requests as before.
    let mut now = route.now;
    let mut traffic = Traffic::new(Load::of(per_second * 0.05), seed + 1);
    while now < MOST {
        now += TICK;
        flagger.see(&traffic.tick(Fraction::ALL, case.versions));
        if flagger.check(now) {
            return [weir, Some(now.as_secs_f64())];
        }
    }
    [weir, None]
}

/// Median and worst; what was never found counts as longest.
fn summary(times: impl Iterator<Item = Option<f64>>) -> (f64, f64) {
    let mut times: Vec<f64> = times.map(|time| time.unwrap_or(f64::INFINITY)).collect();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() - 1])
}

fn shown((median, worst): (f64, f64)) -> String {
    let of = |time: f64| if time.is_finite() { format!("{time:.1}") } else { "never".to_owned() };
    format!("{} / {}", of(median), of(worst))
}

fn check_rate(place: usize, per_second: f64, seeds: u64) {
    let prints = env::var_os("WEIR_SIM_TABLE").is_some();
    let seeds = if prints { SEEDS } else { seeds };
    for case in cases() {
        let times: Vec<_> =
            (0..seeds).map(|seed| times(&case, per_second, 3_000_000_000 + seed, prints)).collect();
        let weir = summary(times.iter().map(|times| times[0]));
        if prints {
            let flagger = summary(times.iter().map(|times| times[1]));
            println!("| {} | {per_second} | {} | {} |", case.what, shown(weir), shown(flagger));
        }
        let (median, worst) = case.within[place];
        assert!(weir.0 <= median && weir.1 <= worst, "{} at {per_second}/s: {}", case.what, shown(weir));
    }
}

#[test]
fn bad_versions_are_found_at_200_a_second() {
    check_rate(0, 200.0, SEEDS);
}

#[test]
fn bad_versions_are_found_at_2000_a_second() {
    check_rate(1, 2000.0, 5);
}
