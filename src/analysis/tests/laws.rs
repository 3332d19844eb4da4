//! What holds for all numbers: every bet is fair, evidence has a direction, nothing is ever NaN, and a journal keeps it all.

use std::fmt::Debug;

use proptest::{collection::vec, prelude::*};
use serde::{Serialize, de::DeserializeOwned};

use crate::analysis::{
    Arm, Margin, Tick,
    bets::{
        LIMIT_STAKES, LogFactors, RATIOS, STAKES, log_e_promotion, log_e_rollback, promotion_factors,
        rollback_factors,
    },
    combination::{Kind, Part, combine, weights},
    distribution::{band, gap, quantile_interval},
    errors::{AbsoluteLimit, Promotion, Regression},
    intervals::{Interval, Prior, difference, rate, ratio},
    latency::{DistributionGate, Latencies, Layout, Thresholds},
    numeric::{excess_term, log_beta, mixture_excess},
    sample_ratio::{self, SampleRatio},
};

/// Weights within (0, 1), the extremes too.
fn weight() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.001..0.999,
        1 => Just(f64::MIN_POSITIVE),
        1 => Just(5e-324),
        1 => Just(1.0 - f64::EPSILON / 2.0),
    ]
}

/// Counts up to 10^12, small ones as often as large ones.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..20_u64, 1..100_000_u64, 1..=1_000_000_000_000_u64]
}

fn arm() -> impl Strategy<Value = Arm> {
    (count(), count()).prop_map(|(one, other)| Arm::new(one.max(other), one.min(other)))
}

fn tick() -> impl Strategy<Value = Tick> {
    (arm(), arm(), weight()).prop_map(|(canary, stable, weight)| Tick { canary, stable, weight })
}

/// A tick as a second of traffic has it.
fn small_tick() -> impl Strategy<Value = Tick> {
    (0..50_u64, 0..500_u64, 0..50_u64, 0..50_u64, 0.01..0.9).prop_map(|(canary, stable, x, y, weight)| Tick {
        canary: Arm::new(canary, x.min(canary)),
        stable: Arm::new(stable, y.min(stable)),
        weight,
    })
}

fn margin() -> impl Strategy<Value = Margin> {
    (prop_oneof![Just(1.0), 0.01..1000.0], prop_oneof![Just(0.0), 0.0..0.999])
        .prop_map(|(ratio, difference)| Margin::new(ratio, difference).unwrap())
}

fn latencies() -> impl Strategy<Value = Latencies> {
    vec((0..1666_usize, 1..1000_u64), 0..60).prop_map(Latencies::from_iter)
}

/// The expected multiplier of a bet.
fn expected(factors: LogFactors, w: f64, canary: f64, stable: f64) -> f64 {
    let rates = [w * canary, (1.0 - w) * stable, 1.0 - w * canary - (1.0 - w) * stable];
    factors.into_iter().zip(rates).map(|(factor, rate)| factor.exp() * rate).sum()
}

pub(super) fn close(one: f64, other: f64) -> bool {
    one == other || (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
}

/// Written and read, a state is the same to the bit.
pub(super) fn journaled<T: Serialize + DeserializeOwned + PartialEq + Debug>(state: &T) -> T {
    let read: T = serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap();
    assert_eq!(&read, state);
    read
}

proptest! {
    #[test]
    fn rollback_bets_are_fair(w in 0.001..0.999, stable in 0.0..1.0_f64, margin in margin(), below in 0.0..=1.0) {
        let pair = (margin.ratio(), margin.difference());
        let canary = (pair.0 * stable + pair.1).min(1.0) * below;
        for times in RATIOS {
            let growth = expected(rollback_factors(w, pair, times), w, canary, stable);
            prop_assert!(growth <= 1.0 + 1e-9, "{times}: {growth}");
        }
    }

    #[test]
    fn promotion_bets_are_fair(w in 0.001..0.999, part in 0.0..1.0_f64, margin in margin(), above in 0.0..=1.0) {
        let pair = (margin.ratio(), margin.difference());
        // A rate of stable for which the canary can be beyond the margin at all.
        let stable = ((1.0 - pair.1) / pair.0).min(1.0) * part;
        let least = pair.0 * stable + pair.1;
        let canary = least + (1.0 - least) * above;
        for stake in STAKES {
            let growth = expected(promotion_factors(w, pair, stake), w, canary, stable);
            prop_assert!(growth <= 1.0 + 1e-9, "{stake}: {growth}");
        }
    }

    #[test]
    fn limit_bets_are_fair(limit in 0.0001..0.9999, below in 0.0..=1.0) {
        let bad = limit * below;
        for stake in LIMIT_STAKES {
            let growth = bad * (1.0 + stake * (1.0 - limit) / limit) + (1.0 - bad) * (1.0 - stake);
            prop_assert!(growth <= 1.0 + 1e-9, "{stake}: {growth}");
        }
    }

    #[test]
    fn no_evidence_is_nan(margin in margin(), ticks in vec(tick(), 0..6), odd in any::<f64>()) {
        let mut regression = Regression::new(margin);
        let mut promotion = Promotion::new(margin);
        let mut limit = AbsoluteLimit::DEFAULT;
        let mut split = SampleRatio::default();
        let odd = Tick { weight: odd, ..ticks.first().copied().unwrap_or_default() };
        for tick in ticks.iter().chain([&odd]) {
            regression.observe(tick);
            promotion.observe(tick);
            limit.observe(tick.canary);
            split.observe(tick.weight, tick.canary.units, tick.stable.units);
            regression.stage_change();
            for log_e in [regression.log_e(), promotion.log_e(), limit.log_e(), split.log_e()] {
                prop_assert!(!log_e.is_nan());
            }
            prop_assert!((0.0..=1.0).contains(&regression.p_value()));
        }
        journaled(&regression);
        journaled(&promotion);
        journaled(&limit);
        journaled(&split);
    }

    #[test]
    fn without_errors_and_difference_nothing_is_learnt(
        r in 0.01..1000.0, ticks in vec((weight(), count(), count()), 0..20),
    ) {
        let mut regression = Regression::new(Margin::new(r, 0.0).unwrap());
        let mut promotion = Promotion::new(Margin::new(r, 0.0).unwrap());
        for (weight, canary, stable) in ticks {
            let tick = Tick { canary: Arm::new(canary, 0), stable: Arm::new(stable, 0), weight };
            regression.observe(&tick);
            promotion.observe(&tick);
        }
        prop_assert!(regression.log_e().abs() < 1e-12 && promotion.log_e().abs() < 1e-12);
        prop_assert!(!regression.rejects(0.99));
    }

    #[test]
    fn a_tick_that_was_not_drawn_changes_nothing(before in vec(small_tick(), 0..5), arms in (arm(), arm())) {
        let mut regression = Regression::new(Margin::DEFAULT);
        before.iter().for_each(|tick| regression.observe(tick));
        let kept = regression;
        for weight in [0.0, 1.0, -0.5, 2.0, f64::NAN, f64::INFINITY] {
            regression.observe(&Tick { canary: arms.0, stable: arms.1, weight });
        }
        regression.observe(&Tick { weight: 0.5, ..Tick::default() });
        prop_assert_eq!(regression, kept);
    }

    #[test]
    fn evidence_has_a_direction(before in vec(small_tick(), 0..5), mut tick in small_tick(), margin in margin()) {
        // Room for one more bad unit each.
        tick.canary.units += 1;
        tick.stable.units += 1;
        let after = |tick: &Tick| {
            let (mut regression, mut promotion) = (Regression::new(margin), Promotion::new(margin));
            before.iter().chain([tick]).for_each(|tick| {
                regression.observe(tick);
                promotion.observe(tick);
            });
            (regression.log_e(), promotion.log_e())
        };
        let now = after(&tick);
        let mut worse = tick;
        worse.canary.bad += 1;
        let mut better = tick;
        better.stable.bad += 1;
        let (worse, better) = (after(&worse), after(&better));
        prop_assert!(worse.0 >= now.0 - 1e-9 && now.0 >= better.0 - 1e-9, "{} {} {}", worse.0, now.0, better.0);
        prop_assert!(worse.1 <= now.1 + 1e-9 && now.1 <= better.1 + 1e-9, "{} {} {}", worse.1, now.1, better.1);
    }

    #[test]
    fn a_wider_margin_is_harder_to_break_and_easier_to_prove(
        stages in vec(small_tick(), 1..4), r in 0.1..10.0, d in 0.0..0.5, more in 0.0..0.4,
    ) {
        prop_assert!(log_e_rollback(&stages, (r, d + more)) <= log_e_rollback(&stages, (r, d)) + 1e-9);
        prop_assert!(log_e_promotion(&stages, (r, d + more)) >= log_e_promotion(&stages, (r, d)) - 1e-9);
        prop_assert!(log_e_rollback(&stages, (r + more, 0.0)) <= log_e_rollback(&stages, (r, 0.0)) + 1e-9);
    }

    #[test]
    fn a_change_of_stage_keeps_the_evidence(ticks in vec(small_tick(), 0..20), margin in margin()) {
        let mut regression = Regression::new(margin);
        ticks.iter().for_each(|tick| regression.observe(tick));
        let (log_e, max_log_e) = (regression.log_e(), regression.max_log_e());
        regression.stage_change();
        prop_assert!(close(regression.log_e(), log_e));
        prop_assert_eq!(regression.max_log_e(), max_log_e);
        // At least half of what there is lies as at first, so the next bet's loss is bounded.
        let fresh = Regression::new(margin);
        for tick in &ticks {
            let (mut old, mut new) = (regression, fresh);
            old.observe(tick);
            new.observe(tick);
            prop_assert!(old.log_e() >= log_e + new.log_e() - 2.0_f64.ln() - 1e-9);
        }
    }

    #[test]
    fn a_canary_without_errors_only_loses_evidence(ticks in vec(small_tick(), 0..40)) {
        let mut regression = Regression::new(Margin::NONE);
        for tick in ticks {
            let log_e = regression.log_e();
            regression.observe(&Tick { canary: Arm::new(tick.canary.units, 0), ..tick });
            prop_assert!(regression.log_e() <= log_e + 1e-9);
        }
    }

    #[test]
    fn a_resumed_rollout_goes_on_as_it_would_have(
        before in vec(small_tick(), 0..30), after in vec(small_tick(), 0..10), margin in margin(),
    ) {
        let mut regression = Regression::new(margin);
        let mut promotion = Promotion::new(margin);
        for tick in &before {
            regression.observe(tick);
            promotion.observe(tick);
        }
        let (mut resumed, mut repeated) = (journaled(&regression), journaled(&promotion));
        for tick in &after {
            regression.observe(tick);
            resumed.observe(tick);
            promotion.observe(tick);
            repeated.observe(tick);
        }
        prop_assert_eq!(regression, resumed);
        prop_assert_eq!(promotion, repeated);
        prop_assert_eq!(regression.log_e().to_bits(), resumed.log_e().to_bits());
    }

    #[test]
    fn intervals_hold_what_was_seen(stages in vec(tick(), 1..4), alpha in 0.001..0.5) {
        let arm = stages[0].canary;
        let found = rate(arm, alpha);
        let seen = if arm.units == 0 { 0.5 } else { arm.bad as f64 / arm.units as f64 };
        prop_assert!(found.lower <= seen && seen <= found.upper, "{found:?} without {seen}");
        let Interval { lower, upper } = ratio(&stages, Prior::Jeffreys, alpha);
        prop_assert!(0.0 <= lower && lower <= upper, "{lower} to {upper}");
        let Interval { lower, upper } = difference(&stages, 1.0, alpha);
        prop_assert!((-1.0..=1.0).contains(&lower) && (-1.0..=1.0).contains(&upper));
    }

    #[test]
    fn more_certainty_is_wider(tick in small_tick(), alpha in 0.01..0.5) {
        let wider = |one: Interval, other: Interval| one.lower <= other.lower && other.upper <= one.upper;
        let stage = [tick];
        prop_assert!(wider(rate(tick.canary, alpha / 2.0), rate(tick.canary, alpha)));
        prop_assert!(wider(ratio(&stage, Prior::Jeffreys, alpha / 2.0), ratio(&stage, Prior::Jeffreys, alpha)));
        prop_assert!(wider(difference(&stage, 1.0, alpha / 2.0), difference(&stage, 1.0, alpha)));
        prop_assert!(band(100, alpha / 2.0) > band(100, alpha));
    }

    #[test]
    fn mixtures_are_what_gamma_functions_say(
        a in 0.01..100.0, b in 0.01..100.0, x in 0..2000_u32, y in 0..2000_u32,
    ) {
        let (x, y) = (f64::from(x), f64::from(y));
        let own = |x: f64| if x > 0.0 { x * (x.ln()) } else { 0.0 };
        let largest = own(x) + own(y) - own(x + y);
        let direct = log_beta(a + x, b + y) - log_beta(a, b) - largest;
        prop_assert!(close(mixture_excess([a, b], [x, y]), direct));
    }

    #[test]
    fn sample_ratios_are_what_gamma_functions_say(arms in vec((1..100_u32, 0..5000_u64), 2..6)) {
        let total: f64 = arms.iter().map(|(weight, _)| f64::from(*weight)).sum();
        let units: u64 = arms.iter().map(|(_, units)| units).sum();
        let mut direct = libm::lgamma(100.0) - libm::lgamma(100.0 + units as f64);
        for (weight, units) in &arms {
            let (share, units) = (f64::from(*weight) / total, *units as f64);
            direct += libm::lgamma(100.0 * share + units) - libm::lgamma(100.0 * share) - units * share.ln();
        }
        let mut arms: Vec<(f64, u64)> = arms.iter().map(|(weight, units)| (f64::from(*weight), *units)).collect();
        prop_assert!(close(sample_ratio::log_e(&arms), direct));
        arms.reverse();
        prop_assert!(close(sample_ratio::log_e(&arms), direct));
    }

    #[test]
    fn sample_ratios_are_never_nan(arms in vec((any::<f64>(), count()), 0..5)) {
        prop_assert!(!sample_ratio::log_e(&arms).is_nan());
    }

    #[test]
    fn the_series_meets_the_formula(u in 0.04..0.06_f64) {
        for u in [u, -u] {
            prop_assert!((excess_term(u) - ((1.0 + u) * u.ln_1p() - u)).abs() < 1e-15);
        }
    }

    #[test]
    fn a_mean_lies_between_its_parts(log_es in vec((0..3_usize, -5.0..50.0), 1..8)) {
        let kinds = [Kind::Errors, Kind::Latency, Kind::Absolute];
        let parts: Vec<Part> =
            log_es.iter().map(|(kind, log_e)| Part { kind: kinds[*kind], log_e: *log_e }).collect();
        let found = combine(&parts);
        let of = |better: fn(f64, f64) -> f64| parts.iter().map(|part| part.log_e).reduce(better).unwrap();
        prop_assert!(of(f64::min) - 1e-9 <= found.log_e && found.log_e <= of(f64::max) + 1e-9);
        let kinds: Vec<Kind> = parts.iter().map(|part| part.kind).collect();
        prop_assert!(close(weights(&kinds).iter().sum(), 1.0));
        prop_assert!(found.largest.unwrap() < parts.len());
    }

    #[test]
    fn latency_gates_are_never_nan(
        reference in latencies(), ticks in vec((weight(), latencies(), latencies()), 0..4), rho in 0.01..1000.0,
    ) {
        let mut gate = DistributionGate::new(rho).unwrap();
        gate.fix_thresholds(&reference);
        for (weight, canary, stable) in &ticks {
            gate.observe(*weight, canary, stable);
            gate.stage_change();
            prop_assert!(!gate.log_e().is_nan() && !gate.promotion_log_e().is_nan());
            prop_assert!((0.0..=1.0).contains(&gap(canary, stable)));
            for quantile in [0.001, 0.5, 0.99] {
                let found = quantile_interval(canary, quantile, 0.05);
                prop_assert!(found.above.zip(found.at_most).is_none_or(|(low, high)| low < high));
            }
        }
        journaled(&gate);
    }

    #[test]
    fn thresholds_favour_the_canary_when_rolling_back(stable in latencies(), p in 0.01..0.99, rho in 1.0..50.0) {
        let Some(at) = Thresholds::of(Layout::RECORDED, &stable, p, rho) else { return Ok(()) };
        let highest = |bucket| (Layout::RECORDED.highest)(bucket) as f64;
        // What is scaled beyond the last bucket stays in it.
        let allowed = (rho * highest(at.stable)).min(u64::MAX as f64);
        prop_assert!(at.canary >= at.stable);
        prop_assert!(highest(at.canary) >= allowed.floor());
        prop_assert!(at.canary == 0 || highest(at.canary - 1) < allowed.ceil());
        prop_assert_eq!(Thresholds::of(Layout::RECORDED, &stable, p, 1.0).unwrap().canary, at.stable);
    }
}
