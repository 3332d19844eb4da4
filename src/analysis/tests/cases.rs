//! Single cases with a known answer: what is refused, what each limit does, in which order decisions come.

use std::time::Duration;

use crate::analysis::{
    Arm, Margin, MarginError, Tick,
    combination::{Decision, Evidence, HoldCause, Kind, Levels, Part, RollbackCause, decide},
    distribution::{band, gap, quantile_interval},
    errors::{AbsoluteLimit, LimitError},
    experiment::{Variant, difference as points, lift, winner},
    intervals::{Interval, Prior, rate, ratio},
    latency::{Latencies, LatencyError, Layout, QuantileGate, Thresholds},
    p_value, rejection, sample_ratio,
    threshold::{Breach, Check, Measurement, NoData, ThresholdConfig, ThresholdGate},
};

use super::laws::{close, journaled};

#[test]
fn large_counts_keep_their_digits() {
    // Computed apart from this code with 60 digits.
    let split = |canary, stable| sample_ratio::log_e(&[(0.05, canary), (0.95, stable)]);
    let check = |found: f64, expected: f64| assert!(close(found, expected), "{found} instead of {expected}");
    check(split(50_000_500_000, 949_999_500_000), -8.898_048_115_314_845);
    check(split(50_002_000_000, 949_998_000_000), 30.575_098_346_033_843);
    let found = rate(Arm::new(1_000_000_000_000, 1_000_000_000), 0.05);
    check(found.lower * 1e3, 0.999_815_512_028_089);
    check(found.upper * 1e3, 1.000_184_510_642_524_2);
    let bad = |canary, stable, weight| Tick {
        canary: Arm::new(canary, canary),
        stable: Arm::new(stable, stable),
        weight,
    };
    let found = ratio(&[bad(50_000_500_000, 949_999_500_000, 0.05)], Prior::Jeffreys, 0.05);
    check(found.lower, 0.999_983_743_049_221_7);
    check(found.upper, 1.000_037_310_095_582_5);
    let stages = [bad(1_000_000, 19_005_000, 0.05), bad(1_000_000_000, 999_980_000, 0.5)];
    let found = ratio(&stages, Prior::Jeffreys, 0.01);
    check(found.lower, 0.999_709_104_742_143);
    check(found.upper, 1.000_329_918_342_609);
}

#[test]
fn what_means_nothing_is_refused() {
    for ratio in [0.0, -1.0, 1e9, f64::NAN, f64::INFINITY] {
        assert!(matches!(Margin::new(ratio, 0.0), Err(MarginError::Ratio(_))), "{ratio}");
        assert!(matches!(QuantileGate::new(0.5, ratio), Err(LatencyError::Tolerance(_))), "{ratio}");
    }
    for difference in [-0.1, 1.0, f64::NAN] {
        assert!(matches!(Margin::new(1.0, difference), Err(MarginError::Difference(_))), "{difference}");
    }
    for rate in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(matches!(AbsoluteLimit::new(rate), Err(LimitError(_))), "{rate}");
        assert!(matches!(QuantileGate::new(rate, 1.0), Err(LatencyError::Quantile(_))), "{rate}");
    }
    assert_eq!(Margin::new(0.0, 0.0).unwrap_err().to_string(), "ratio 0 is not between 0.01 and 1000");
    for alpha in [0.0, 1.0, -1.0, 2.0, f64::NAN] {
        assert!(rejection(alpha).is_infinite(), "{alpha}");
    }
    assert_eq!((p_value(-1.0), p_value(0.0), p_value(f64::INFINITY)), (1.0, 1.0, 0.0));
    assert!(serde_json::from_str::<Margin>(r#"{"ratio":"NaN","difference":"0"}"#).is_err());
    assert!(serde_json::from_str::<Margin>(r#"{"ratio":"one","difference":"0"}"#).is_err());
}

#[test]
fn threshold_gates_know_every_limit() {
    let config = ThresholdConfig {
        max: Some(0.05),
        min: Some(0.01),
        max_ratio: Some(2.0),
        hard_max: Some(0.5),
        ..ThresholdConfig::default()
    };
    let check = |requests, value, baseline, expected| {
        let measurement = Measurement { requests, value, baseline };
        assert_eq!(ThresholdGate::default().check(&config, measurement), expected, "{measurement:?}");
    };
    check(50, Some(0.02), Some(0.02), Check::Pass);
    check(50, Some(0.05), None, Check::Pass);
    check(50, Some(0.06), None, Check::Fail(Breach::Max));
    check(50, Some(0.005), None, Check::Fail(Breach::Min));
    check(50, Some(0.03), Some(0.01), Check::Fail(Breach::MaxRatio));
    check(50, Some(0.02), Some(0.0), Check::Fail(Breach::MaxRatio));
    check(50, Some(0.6), None, Check::RollBack(Breach::HardMax));
    check(49, Some(0.6), None, Check::Hold);
    check(50, Some(f64::NAN), None, Check::Hold);
    check(50, None, None, Check::Hold);
    let fails = ThresholdConfig { on_no_data: NoData::Fail, threshold: 1, ..config };
    let nothing = Measurement { requests: 0, value: None, baseline: None };
    assert_eq!(ThresholdGate::default().check(&fails, nothing), Check::RollBack(Breach::NoData));
    let mut gate = ThresholdGate::default();
    let bad = Measurement { requests: 99, value: Some(0.3), baseline: None };
    let checks = [gate.check(&config, bad), gate.check(&config, bad), gate.check(&config, bad)];
    assert_eq!(checks, [Check::Fail(Breach::Max), Check::Fail(Breach::Max), Check::RollBack(Breach::Max)]);
    assert_eq!(journaled(&gate).failed(), 3);
    gate.restart();
    assert_eq!(gate.failed(), 0);
}

#[test]
fn decisions_come_in_the_order_of_trust() {
    let parts = [Part { kind: Kind::Errors, log_e: 0.0 }, Part { kind: Kind::Absolute, log_e: 9.0 }];
    let worse = [Part { kind: Kind::Errors, log_e: 9.0 }, Part { kind: Kind::Absolute, log_e: 0.0 }];
    let quiet = Evidence {
        sample_ratio: 0.0,
        checks: &[Check::Pass],
        parts: &worse[1..],
        stable_over_limit: false,
        promotions: &[9.0],
        hold_over: true,
    };
    let check = |evidence: Evidence<'_>, expected| {
        assert_eq!(decide(&evidence, &Levels::default()), expected, "{evidence:?}");
    };
    let broken: [Check; 2] = [Check::Pass, Check::RollBack(Breach::Max)];
    check(quiet, Decision::Promote);
    check(Evidence { hold_over: false, ..quiet }, Decision::Continue);
    check(Evidence { checks: &[Check::Pass, Check::Hold], ..quiet }, Decision::Continue);
    check(Evidence { promotions: &[9.0, 2.0], ..quiet }, Decision::Continue);
    check(Evidence { parts: &[], ..quiet }, Decision::Promote);
    check(Evidence { parts: &parts, ..quiet }, Decision::RollBack(RollbackCause::Tests(1)));
    check(Evidence { parts: &worse, ..quiet }, Decision::RollBack(RollbackCause::Tests(0)));
    let both_bad = Evidence { stable_over_limit: true, ..quiet };
    check(Evidence { parts: &parts, ..both_bad }, Decision::Hold(HoldCause::StableOverLimit));
    check(Evidence { parts: &worse, ..both_bad }, Decision::RollBack(RollbackCause::Tests(0)));
    let void = Evidence { sample_ratio: 7.0, parts: &worse, ..quiet };
    check(void, Decision::Hold(HoldCause::SampleRatio));
    check(Evidence { checks: &broken, ..void }, Decision::RollBack(RollbackCause::Threshold(1)));
}

#[test]
fn variants_without_data_say_nothing() {
    let none = Variant { weight: 0.5, users: 0, conversions: 0 };
    assert_eq!(winner(&[], 0.05), None);
    assert_eq!(winner(&[none], 0.05), None);
    assert_eq!(winner(&[none, none], 0.05), None);
    assert_eq!(points(none, none, 0.05), None);
    assert_eq!(lift(none, none, 0.05), Interval { lower: -1.0, upper: f64::INFINITY });
    let weightless = Variant { weight: 0.0, users: 9, conversions: 9 };
    assert_eq!(lift(weightless, weightless, 0.05), Interval { lower: -1.0, upper: f64::INFINITY });
}

#[test]
fn nothing_has_no_shape() {
    let empty = Latencies::default();
    assert_eq!((empty.quantile(0.5), gap(&empty, &empty)), (None, 0.0));
    assert_eq!(quantile_interval(&empty, 0.5, 0.05), Default::default());
    assert!(band(0, 0.05).is_infinite());
    let mut gate = QuantileGate::new(0.99, 1.0).unwrap();
    assert!(!gate.fix_thresholds(&[(100, 999)].into_iter().collect()), "p99 wants 1,000 samples");
    assert!(gate.fix_thresholds(&[(100, 1000)].into_iter().collect()));
    assert_eq!(gate.thresholds(), Some(Thresholds { stable: 100, canary: 100 }));
    // Buckets given twice are one.
    let twice: Latencies = [(7, 2), (3, 1), (7, 0), (7, 3)].into_iter().collect();
    assert_eq!(twice.buckets().collect::<Vec<_>>(), [(3, 1), (7, 5)]);
    assert_eq!(twice.total(), 6);
}

#[test]
fn the_edge_of_a_bucket_is_never_to_the_canarys_advantage() {
    let mut gate = QuantileGate::new(0.5, 1.5).unwrap();
    assert!(gate.fix_thresholds(&[(640, 200)].into_iter().collect()));
    let at = gate.thresholds().unwrap();
    let highest = |bucket| Duration::from_nanos((Layout::RECORDED.highest)(bucket));
    let next = |bucket| highest(bucket) + Duration::from_nanos(1);
    assert_eq!([at.is_stable_slow(highest(640)), at.is_stable_slow(next(640))], [false, true]);
    assert_eq!([at.is_canary_slow(highest(at.canary)), at.is_canary_slow(next(at.canary))], [false, true]);
    let below = at.canary - 1;
    assert_eq!([at.may_canary_be_slow(highest(below)), at.may_canary_be_slow(next(below))], [false, true]);
    // Half of stable is slow. All of the canary is in the bucket of the edge: fast for the one question, slow for the other.
    let stable: Latencies = [(600, 50), (700, 50)].into_iter().collect();
    let canary: Latencies = [(at.canary, 100)].into_iter().collect();
    let mut counted = gate;
    gate.observe(0.5, &canary, &stable);
    assert!(gate.regression().log_e() < -1.0 && gate.promotion().log_e() < -1.0);
    let tick = |slow| Tick { canary: Arm::new(100, slow), stable: Arm::new(100, 50), weight: 0.5 };
    counted.observe_slow(&tick(0), &tick(100));
    assert_eq!(counted, gate);
    let mut unfixed = QuantileGate::new(0.5, 1.5).unwrap();
    unfixed.observe_slow(&tick(0), &tick(100));
    assert_eq!(unfixed, QuantileGate::new(0.5, 1.5).unwrap());
}

#[test]
fn a_winner_must_beat_all_at_once() {
    let variant = |conversions| Variant { weight: 1.0, users: 10_000, conversions };
    let (one, other) = (variant(610), variant(500));
    // Enough at 5 % against one other, and not at 5 % against four.
    assert!(lift(one, other, 0.05).lower > 0.0 && lift(one, other, 0.0125).lower < 0.0);
    assert_eq!(winner(&[other, one], 0.05), Some(1));
    assert_eq!(winner(&[other, one, other, other, other], 0.05), None);
}
