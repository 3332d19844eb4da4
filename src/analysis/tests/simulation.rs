//! Whole rollouts with seeds: how often a healthy canary is rolled back, how fast a bad one, and whether forecasts come true.

use std::time::Duration;

use crate::analysis::{
    Arm, Margin, Tick,
    combination::{Kind, Part, combine},
    errors::{AbsoluteLimit, Promotion, Regression},
    latency::{DistributionGate, Latencies, QuantileGate},
    power::{self, Forecast, Scenario, Slowdown},
    rejection,
    sample_ratio::{self, SampleRatio},
};

const ALPHA: f64 = 0.01;
/// How far a forecast may be from the median: what the documentation promises.
const FORECAST: f64 = 1.4;

/// A generator that a seed determines (SplitMix64).
struct Dice(u64);

/// What a route is like: units per tick of a second, and the bad rates of both versions.
#[derive(Clone, Copy)]
struct Service {
    units: u64,
    stable: f64,
    canary: f64,
}

/// Stages of a rollout: the canary's weight, and for how many ticks.
const STAGES: [(f64, u32); 3] = [(0.05, 200), (0.2, 200), (0.5, 200)];

// === impl Dice ===

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Within [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How many of `units` happen, each with probability `rate`: by the gaps between those that do.
    fn binomial(&mut self, units: u64, rate: f64) -> u64 {
        if rate <= 0.0 {
            return 0;
        }
        if rate > 0.5 {
            return units - self.binomial(units, 1.0 - rate);
        }
        let (mut at, mut found) = (0.0, 0);
        loop {
            at += 1.0 + ((1.0 - self.uniform()).ln() / (-rate).ln_1p()).floor();
            if at > units as f64 {
                return found;
            }
            found += 1;
        }
    }

    fn tick(&mut self, service: Service, weight: f64) -> Tick {
        let canary = self.binomial(service.units, weight);
        let stable = service.units - canary;
        Tick {
            canary: Arm::new(canary, self.binomial(canary, service.canary)),
            stable: Arm::new(stable, self.binomial(stable, service.stable)),
            weight,
        }
    }

    /// A log-normal duration in seconds: a median of 50 ms, a p99 of 200 ms.
    fn duration(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.uniform()).cos();
        0.05 * (0.6 * normal).exp()
    }

    fn durations(&mut self, units: u64, factor: f64) -> Latencies {
        (0..units).map(|_| Duration::from_secs_f64(self.duration() * factor)).collect()
    }
}

/// In how many of `runs` seeded rollouts the test rejects at any time.
fn rejections(runs: u64, margin: Margin, service: Service) -> usize {
    let rejects = |seed: &u64| {
        let mut dice = Dice(*seed << 20);
        let mut regression = Regression::new(margin);
        for (weight, ticks) in STAGES {
            for _ in 0..ticks {
                regression.observe(&dice.tick(service, weight));
            }
            regression.stage_change();
        }
        regression.rejects(ALPHA)
    };
    (0..runs).filter(rejects).count()
}

/// The median of `runs` seeded detection times in ticks; ten hours where there is none.
fn median(runs: u64, mut detect: impl FnMut(&mut Dice, u32) -> bool, mut start: impl FnMut()) -> u32 {
    let mut times: Vec<u32> = (0..runs)
        .map(|seed| {
            let mut dice = Dice((seed + 1) << 24);
            start();
            (1..36_000).find(|tick| detect(&mut dice, *tick)).unwrap_or(36_000)
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn regression_time(runs: u64, margin: Margin, service: Service, weight: f64) -> u32 {
    let test = std::cell::Cell::new(Regression::new(margin));
    let detect = |dice: &mut Dice, _| {
        let mut now = test.get();
        now.observe(&dice.tick(service, weight));
        test.set(now);
        now.rejects(ALPHA)
    };
    median(runs, detect, || test.set(Regression::new(margin)))
}

fn within(found: f64, expected: f64, factor: f64, what: &str) {
    assert!(found <= expected * factor && found >= expected / factor, "{what}: {found} for {expected}");
}

#[test]
fn a_healthy_canary_is_not_rolled_back() {
    for (units, rate) in [(20, 0.1), (100, 0.01), (100, 0.001), (20, 0.0)] {
        let service = Service { units, stable: rate, canary: rate };
        let found = rejections(300, Margin::NONE, service);
        assert!(found <= 3, "{found} of 300 at {units} units with {rate} bad");
    }
}

#[test]
fn a_canary_at_its_margin_is_not_rolled_back() {
    let service = Service { units: 100, stable: 0.01, canary: 0.0125 };
    let found = rejections(300, Margin::DEFAULT, service);
    assert!(found <= 3, "{found} of 300 at the ratio");
    let service = Service { units: 100, stable: 0.01, canary: 0.015 };
    let found = rejections(300, Margin::new(1.0, 0.005).unwrap(), service);
    assert!(found <= 3, "{found} of 300 at the difference");
}

#[test]
fn bursts_that_hit_both_versions_roll_nothing_back() {
    let rejects = |seed: &u64| {
        let mut dice = Dice(*seed << 20);
        let mut regression = Regression::new(Margin::NONE);
        for tick in 0..900 {
            let rate = if tick % 300 < 20 { 0.6 } else { 0.001 };
            let units = if tick % 120 < 60 { 10 } else { 100 };
            regression.observe(&dice.tick(Service { units, stable: rate, canary: rate }, 0.05));
        }
        regression.rejects(ALPHA)
    };
    let found = (0..300).filter(rejects).count();
    assert!(found <= 3, "{found} of 300");
}

#[test]
fn a_bad_canary_is_promoted_no_more_often_than_it_may() {
    let service = Service { units: 100, stable: 0.01, canary: 0.02 };
    let promotes = |seed: &u64| {
        let mut dice = Dice(*seed << 20);
        let mut promotion = Promotion::new(Margin::new(1.0, 0.01).unwrap());
        (0..600).any(|_| {
            promotion.observe(&dice.tick(service, 0.2));
            promotion.passes(0.05)
        })
    };
    let found = (0..300).filter(promotes).count();
    assert!(found <= 15, "{found} of 300");
}

#[test]
fn a_good_canary_is_promoted() {
    let service = Service { units: 100, stable: 0.001, canary: 0.001 };
    let mut dice = Dice(7);
    let mut promotion = Promotion::new(Margin::new(1.0, 0.01).unwrap());
    let passed = (1..600).find(|_| {
        promotion.observe(&dice.tick(service, 0.2));
        promotion.passes(0.05)
    });
    assert!(passed.is_some_and(|ticks| ticks < 120), "{passed:?}");
    promotion.restart();
    assert!(!promotion.passes(0.05), "the next stage proves itself");
}

/// Median seconds of a test without margin at 5 %, simulated apart from this code: bad rates, units per second, seconds.
const DETECTION: [(f64, f64, u64, f64); 9] = [
    (0.001, 0.005, 100, 304.0),
    (0.001, 0.005, 1000, 31.0),
    (0.001, 0.02, 10, 356.0),
    (0.001, 0.02, 100, 36.0),
    (0.001, 0.02, 1000, 4.0),
    (0.001, 0.2, 10, 27.0),
    (0.001, 0.2, 100, 3.0),
    (0.001, 1.0, 10, 6.0),
    (0.001, 1.0, 100, 1.0),
];

#[test]
fn detection_takes_as_long_as_it_should() {
    for (stable, canary, units, seconds) in DETECTION {
        let found = regression_time(101, Margin::NONE, Service { units, stable, canary }, 0.05);
        within(f64::from(found), seconds, 1.35, &format!("{stable} to {canary} at {units}"));
    }
}

#[test]
fn forecasts_come_true() {
    for (stable, canary, units, seconds) in DETECTION {
        let forecast = errors(0.05, stable, canary, Margin::NONE).unwrap();
        // A tick is a second, so nothing is seen earlier than that.
        let found = forecast.time(units as f64).as_secs_f64().max(1.0);
        within(found, seconds, FORECAST, &format!("{stable} to {canary} at {units}"));
    }
    // The same against simulations of this code, with other weights and margins.
    for (weight, stable, canary, margin) in [
        (0.2, 0.01, 0.03, Margin::DEFAULT),
        (0.5, 0.01, 0.02, Margin::NONE),
        (0.05, 0.01, 0.05, Margin::new(1.0, 0.005).unwrap()),
        (0.2, 0.0, 0.01, Margin::NONE),
        (0.5, 0.05, 0.5, Margin::DEFAULT),
    ] {
        let forecast = errors(weight, stable, canary, margin).unwrap();
        let found = regression_time(101, margin, Service { units: 20, stable, canary }, weight);
        within(
            forecast.units / 20.0,
            f64::from(found),
            FORECAST,
            &format!("{stable} to {canary} at {weight}"),
        );
    }
}

fn errors(weight: f64, stable: f64, canary: f64, margin: Margin) -> Option<Forecast> {
    power::regression(&Scenario { weight, stable, canary, margin, alpha: ALPHA })
}

#[test]
fn a_canary_that_fails_everything_is_found_in_a_few_units() {
    // Whichever test is first: at a small weight the comparison, at a large one the limit.
    for (weight, units) in [(0.05, 56.0), (0.2, 14.0), (0.5, 5.0)] {
        let compared = errors(weight, 0.001, 1.0, Margin::NONE).unwrap().units;
        let limited = power::absolute(weight, 1.0, 0.05, ALPHA).unwrap().units;
        within(compared.min(limited), units, 1.1, &format!("at {weight}"));
    }
}

#[test]
fn what_is_never_seen_has_no_forecast() {
    assert_eq!(errors(0.05, 0.01, 0.01, Margin::NONE), None);
    assert_eq!(errors(0.05, 0.01, 0.012, Margin::DEFAULT), None);
    assert_eq!(errors(0.0, 0.01, 0.5, Margin::NONE), None);
    assert_eq!(errors(1.0, 0.01, 0.5, Margin::NONE), None);
    assert_eq!(power::absolute(0.05, 0.04, 0.05, ALPHA), None);
    let slowdown = Slowdown { weight: 0.05, factor: 1.0, tolerance: 1.2, alpha: ALPHA };
    assert_eq!(power::distribution(&slowdown, &Dice(1).durations(2000, 1.0)), None);
    assert_eq!(power::quantile(&slowdown, &Latencies::default(), 0.5), None);
    assert_eq!(Forecast { units: 5.0 }.time(0.0), Duration::MAX);
    let interval = Duration::from_secs(60);
    assert_eq!(power::threshold(interval, 5), 5 * interval);
}

#[test]
fn a_canary_that_breaks_late_is_found() {
    // After an hour of good behaviour, in about twice the 41 seconds of a fresh test.
    let (good, bad) = (
        Service { units: 100, stable: 0.001, canary: 0.001 },
        Service { units: 100, stable: 0.001, canary: 0.02 },
    );
    let test = std::cell::Cell::new(Regression::new(Margin::NONE));
    let start = || test.set(Regression::new(Margin::NONE));
    let detect = |dice: &mut Dice, tick| {
        let mut now = test.get();
        now.observe(&dice.tick(if tick <= 3600 { good } else { bad }, 0.05));
        test.set(now);
        now.rejects(ALPHA)
    };
    let found = median(51, detect, start);
    assert!((3600..3600 + 100).contains(&found), "{found}");
}

#[test]
fn an_absolute_limit_holds_and_is_held() {
    let run = |seed: u64, rate: f64| {
        let (mut dice, mut limit) = (Dice(seed << 20), AbsoluteLimit::DEFAULT);
        (1..=1800).find(|_| {
            limit.observe(Arm::new(20, dice.binomial(20, rate)));
            limit.rejects(ALPHA)
        })
    };
    let found = (0..300).filter(|seed| run(*seed, 0.05).is_some()).count();
    assert!(found <= 3, "{found} of 300");
    let mut times: Vec<u32> = (0..101).map(|seed| run(seed, 0.15).unwrap()).collect();
    times.sort_unstable();
    // All of these units are one version's: a weight of 1.
    let forecast = power::absolute(1.0, 0.15, 0.05, ALPHA).unwrap().time(20.0).as_secs_f64();
    within(forecast, f64::from(times[50]), FORECAST, "the limit");
}

/// Whether and when a distribution gate rejects, with thresholds fixed from what stable did before.
fn slow(seed: u64, factor: f64, units: u64, ticks: u32) -> Option<u32> {
    let mut dice = Dice(seed << 24);
    let mut gate = DistributionGate::new(1.0).unwrap();
    assert!(gate.fix_thresholds(&dice.durations(2000, 1.0)));
    (1..=ticks).find(|_| {
        let canary = dice.binomial(units, 0.05);
        let (canary, stable) = (dice.durations(canary, factor), dice.durations(units - canary, 1.0));
        gate.observe(0.05, &canary, &stable);
        gate.log_e() >= rejection(ALPHA)
    })
}

#[test]
fn a_canary_as_fast_as_stable_is_not_rolled_back() {
    let found = (0..200).filter(|seed| slow(*seed, 1.0, 100, 120).is_some()).count();
    assert!(found <= 2, "{found} of 200");
}

#[test]
fn a_slow_canary_is_found_as_forecast() {
    // Median seconds at 5 % of 10 and 100 units per second, simulated apart from this code.
    for (factor, units, seconds) in [(1.5, 10, 127.0), (1.5, 100, 15.0), (2.0, 10, 48.0), (2.0, 100, 5.0)] {
        let mut times: Vec<u32> = (0..51).map(|seed| slow(seed, factor, units, 2000).unwrap()).collect();
        times.sort_unstable();
        within(f64::from(times[25]), seconds, 1.35, &format!("{factor} times slower at {units}"));
        let slowdown = Slowdown { weight: 0.05, factor, tolerance: 1.0, alpha: ALPHA };
        let forecast = power::distribution(&slowdown, &Dice(3).durations(20_000, 1.0)).unwrap();
        within(
            forecast.time(units as f64).as_secs_f64(),
            seconds,
            FORECAST,
            &format!("forecast of {factor} at {units}"),
        );
    }
}

#[test]
fn a_quantile_gate_promotes_a_fast_canary_and_not_a_slow_one() {
    let run = |factor: f64| {
        let mut dice = Dice(11);
        let mut gate = QuantileGate::new(0.9, 1.3).unwrap();
        assert!(gate.fix_thresholds(&dice.durations(2000, 1.0)));
        for _ in 0..300 {
            let canary = dice.binomial(100, 0.2);
            let (canary, stable) = (dice.durations(canary, factor), dice.durations(100 - canary, 1.0));
            gate.observe(0.2, &canary, &stable);
        }
        (gate.promotion().passes(0.05), gate.regression().rejects(ALPHA))
    };
    assert_eq!(run(1.0), (true, false));
    assert_eq!(run(1.7), (false, true));
}

#[test]
fn gates_together_keep_the_level() {
    let service = Service { units: 100, stable: 0.01, canary: 0.01 };
    let rejects = |seed: &u64| {
        let mut dice = Dice(*seed << 20);
        let mut gates = [Regression::new(Margin::NONE), Regression::new(Margin::NONE)];
        let mut limit = AbsoluteLimit::DEFAULT;
        (0..300).any(|_| {
            let ticks = [dice.tick(service, 0.05), dice.tick(service, 0.05)];
            gates.iter_mut().zip(&ticks).for_each(|(gate, tick)| gate.observe(tick));
            limit.observe(ticks[0].canary);
            let parts = [
                Part { kind: Kind::Errors, log_e: gates[0].log_e() },
                Part { kind: Kind::Latency, log_e: gates[1].log_e() },
                Part { kind: Kind::Absolute, log_e: limit.log_e() },
            ];
            combine(&parts).log_e >= rejection(ALPHA)
        })
    };
    let found = (0..200).filter(rejects).count();
    assert!(found <= 2, "{found} of 200");
}

#[test]
fn a_wrong_split_is_noticed_and_a_right_one_is_not() {
    let run = |seed: u64, actual: f64| {
        let (mut dice, mut split) = (Dice(seed << 20), SampleRatio::default());
        (0..600).find(|tick| {
            let (weight, actual) = if *tick < 300 { (0.05, actual) } else { (0.2, actual * 4.0) };
            let canary = dice.binomial(100, actual);
            split.observe(weight, canary, 100 - canary);
            split.rejects(sample_ratio::ALPHA)
        })
    };
    let found = (0..300).filter(|seed| run(*seed, 0.05).is_some()).count();
    assert!(found <= 1, "{found} of 300");
    assert!((0..50).all(|seed| run(seed, 0.065).is_some()));
}
