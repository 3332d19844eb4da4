//! Reference numbers: computed apart from this code with 50 digits, and reproduced to 10^-9, absolute or relative.
//!
//! Every case of the file runs; a case of an unknown function fails.

use serde::Deserialize;
use serde_json::{Value, from_value, json};

use crate::analysis::{
    Arm, Margin, Tick,
    bets::{log_e_below, log_e_promotion, log_e_rollback, promotion_factors, rollback_factors},
    combination::{Decision, Evidence, Kind, Levels, Part, combine, decide},
    distribution::{band, gap, quantile_interval},
    errors::{AbsoluteLimit, Promotion, Regression},
    experiment::{Variant, difference as points, lift, winner},
    intervals::{Interval, Prior, difference, rate, ratio},
    latency::{Latencies, Layout, Thresholds},
    sample_ratio,
    threshold::{Check, Measurement, NoData, ThresholdConfig, ThresholdGate},
};

const VECTORS: &str = include_str!("vectors.json");
/// How many cases the file has, so that none can be lost.
const CASES: usize = 67;
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(rename = "fn")]
    function: String,
    input: Value,
    expect: Value,
}

#[test]
fn every_reference_number_is_reproduced() {
    let file: File = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(file.cases.len(), CASES);
    for case in &file.cases {
        check(&case.name, &computed(case), &case.expect);
    }
}

#[test]
fn the_grids_are_those_of_the_reference() {
    use crate::analysis::bets::{LIMIT_STAKES, RATIOS, STAKES};
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    check("ratios", &json!(RATIOS), &file["constants"]["RATIO_GRID"]);
    check("stakes", &json!(STAKES), &file["constants"]["PROMOTE_GRID"]);
    check("limit stakes", &json!(LIMIT_STAKES), &file["constants"]["ABS_GRID"]);
}

/// Compares all numbers of two values, and all else exactly.
fn check(place: &str, found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            let allowed = TOLERANCE * other.abs().max(1.0);
            assert!((one - other).abs() <= allowed, "{place}: {one} instead of {other}");
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{place}");
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                check(&format!("{place}[{at}]"), one, other);
            }
        }
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()), "{place}: {one:?} instead of {other:?}");
            other.iter().for_each(|(key, other)| check(&format!("{place}.{key}"), &one[key], other));
        }
        _ => assert_eq!(found, expected, "{place}"),
    }
}

fn computed(case: &Case) -> Value {
    let input = &case.input;
    match case.function.as_str() {
        "rollback_factors" => {
            json!(rollback_factors(at(input, "w"), pair(input), at(input, "R")).map(f64::exp))
        }
        "promote_factors" => {
            json!(promotion_factors(at(input, "w"), pair(input), at(input, "f")).map(f64::exp))
        }
        "rollback_stream" => stream(input),
        "log_e_rollback" => json!(log_e_rollback(&stages(input), pair(input))),
        "log_e_promote" => {
            // The running test is the same number as the one of whole stages.
            let mut promotion = Promotion::new(margin(input));
            stages(input).iter().for_each(|stage| promotion.observe(stage));
            let whole = log_e_promotion(&stages(input), pair(input));
            assert!((promotion.log_e() - whole).abs() < TOLERANCE);
            json!(whole)
        }
        "difference_cs" => interval(difference(&stages(input), at(input, "r"), at(input, "alpha"))),
        "ratio_cs" => interval(ratio(&stages(input), Prior::Jeffreys, at(input, "alpha"))),
        "log_e_above" => {
            let mut limit = AbsoluteLimit::new(at(input, "q")).unwrap();
            limit.observe(Arm::new(count(input, "n"), count(input, "x")));
            json!(limit.log_e())
        }
        "log_e_below" => json!(log_e_below(at(input, "x"), at(input, "n"), at(input, "q"))),
        "rate_cs" => interval(rate(Arm::new(count(input, "n"), count(input, "x")), at(input, "alpha"))),
        other => computed_latency(other, input),
    }
}

fn computed_latency(function: &str, input: &Value) -> Value {
    match function {
        "buckets" => {
            let values: Vec<u64> = read(&input["values"]);
            let bucket = |value: u64| (coarse_index(value), coarse_highest(coarse_index(value)));
            json!(values.into_iter().map(bucket).collect::<Vec<_>>())
        }
        "thresholds" => {
            let found = Thresholds::of(COARSE, &latencies(&input["hist"]), at(input, "p"), at(input, "rho"));
            let Thresholds { stable, canary } = found.unwrap();
            json!([stable, canary, canary - 1])
        }
        "exceed" => {
            let latencies = latencies(&input["hist"]);
            let indices: Vec<usize> = read(&input["indices"]);
            assert!(indices.iter().all(|&index| latencies.above(index) == latencies.at_or_above(index + 1)));
            json!(indices.into_iter().map(|index| latencies.above(index)).collect::<Vec<_>>())
        }
        "quantile_cs" => {
            let found = quantile_interval(&latencies(&input["hist"]), at(input, "p"), at(input, "alpha"));
            json!([found.above, found.at_most])
        }
        "dkw_radius" => json!(band(count(input, "n"), at(input, "alpha"))),
        "dominance" => {
            let (canary, stable) = (latencies(&input["canary"]), latencies(&input["stable"]));
            let level = at(input, "alpha") / 2.0;
            let radius = band(canary.total(), level) + band(stable.total(), level);
            json!({ "gap": gap(&canary, &stable), "radius": radius })
        }
        other => computed_decision(other, input),
    }
}

fn computed_decision(function: &str, input: &Value) -> Value {
    match function {
        "threshold_gate" => threshold_gate(input),
        "lift_cs" => interval(lift(variant(input, "i"), variant(input, "j"), at(input, "alpha"))),
        "asymp_diff_cs" => {
            interval(points(variant(input, "i"), variant(input, "j"), at(input, "alpha")).unwrap())
        }
        "ab_winner" => {
            let (weights, conversions): (Vec<f64>, Vec<u64>) = (read(&input["w"]), read(&input["x"]));
            let arms = weights.into_iter().zip(conversions);
            let arms: Vec<Variant> =
                arms.map(|(weight, conversions)| Variant { weight, users: 0, conversions }).collect();
            json!(winner(&arms, at(input, "alpha")))
        }
        "log_e_srm" => {
            let stages: Vec<(Vec<f64>, Vec<u64>)> = read(&input["stages"]);
            let arms = |(weights, units): (Vec<f64>, Vec<u64>)| weights.into_iter().zip(units).collect();
            let stages: Vec<Vec<(f64, u64)>> = stages.into_iter().map(arms).collect();
            json!(stages.iter().map(|arms| sample_ratio::log_e(arms)).sum::<f64>())
        }
        "combine_log_e" => {
            let log_es: [f64; 3] = read(&input["log_es"]);
            let kinds = [Kind::Errors, Kind::Latency, Kind::Absolute];
            check("weights", &json!(kinds.map(Kind::weight)), &input["weights"]);
            let parts: Vec<Part> =
                kinds.into_iter().zip(log_es).map(|(kind, log_e)| Part { kind, log_e }).collect();
            json!(combine(&parts).log_e)
        }
        "decide" => decision(input),
        other => panic!("no such function: {other}"),
    }
}

fn stream(input: &Value) -> Value {
    let mut regression = Regression::new(margin(input));
    let mut log_e = Vec::new();
    for step in input["steps"].as_array().unwrap() {
        match step.as_str() {
            Some("stage") => regression.stage_change(),
            _ => regression.observe(&tick(step)),
        }
        log_e.push(regression.log_e());
    }
    let decision = if regression.rejects(at(input, "alpha")) { "rollback" } else { "continue" };
    json!({ "log_e": log_e, "p_value": regression.p_value(), "decision": decision })
}

fn threshold_gate(input: &Value) -> Value {
    let config = &input["config"];
    let config = ThresholdConfig {
        max: Some(at(config, "max_value")),
        threshold: u32::try_from(count(config, "max_failed")).unwrap(),
        min_requests: count(config, "min_samples"),
        consecutive: config["consecutive"].as_bool().unwrap_or(false),
        on_no_data: match config["no_data"].as_str().unwrap() {
            "skip" => NoData::Hold,
            "pass" => NoData::Pass,
            "fail" => NoData::Fail,
            other => panic!("no such rule: {other}"),
        },
        ..ThresholdConfig::default()
    };
    let mut gate = ThresholdGate::default();
    let checks: Vec<(u64, f64)> = read(&input["checks"]);
    let name = |(requests, value)| match gate
        .check(&config, Measurement { requests, value: Some(value), baseline: None })
    {
        Check::Pass => "pass",
        Check::Hold => "skip",
        Check::Fail(_) => "fail",
        Check::RollBack(_) => "rollback",
    };
    json!(checks.into_iter().map(name).collect::<Vec<_>>())
}

fn decision(input: &Value) -> Value {
    let promotions: Vec<f64> = read(&input["log_e_pr"]);
    let parts = [Part { kind: Kind::Errors, log_e: at(input, "log_e_rb") }];
    let evidence = Evidence {
        sample_ratio: input["srm_log_e"].as_f64().unwrap_or(0.0),
        checks: &[],
        parts: &parts,
        stable_over_limit: false,
        promotions: &promotions,
        hold_over: true,
    };
    json!(match decide(&evidence, &Levels::default()) {
        Decision::Continue => "continue",
        Decision::Promote => "promote",
        Decision::Hold(_) => "hold",
        Decision::RollBack(_) => "rollback",
    })
}

/// The buckets that the reference numbers were computed with: 32 to a power of two.
const COARSE: Layout = Layout { index: coarse_index, highest: coarse_highest };
const COARSE_BITS: u32 = 5;

fn coarse_index(value: u64) -> usize {
    if value < 2 << COARSE_BITS {
        return usize::try_from(value).unwrap();
    }
    let shift = value.ilog2() - COARSE_BITS;
    ((shift as usize) << COARSE_BITS) + usize::try_from(value >> shift).unwrap()
}

fn coarse_highest(index: usize) -> u64 {
    if index < 2 << COARSE_BITS {
        return index as u64;
    }
    let shift = (index >> COARSE_BITS) - 1;
    (((index % (1 << COARSE_BITS) + (1 << COARSE_BITS) + 1) << shift) - 1) as u64
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    from_value(value.clone()).unwrap()
}

fn at(input: &Value, key: &str) -> f64 {
    input[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {input}"))
}

fn count(input: &Value, key: &str) -> u64 {
    input[key].as_u64().unwrap_or_else(|| panic!("no count {key} in {input}"))
}

fn pair(input: &Value) -> (f64, f64) {
    (at(input, "r"), at(input, "d"))
}

fn margin(input: &Value) -> Margin {
    Margin::new(at(input, "r"), at(input, "d")).unwrap()
}

/// `[w, canary bad, stable bad, units]`; without units, all are bad.
fn tick(value: &Value) -> Tick {
    let number = |at: usize| value[at].as_u64().unwrap();
    let (canary, stable) = (number(1), number(2));
    let units = value[3].as_u64().unwrap_or(canary + stable);
    Tick {
        canary: Arm { units: canary, bad: canary },
        stable: Arm { units: units - canary, bad: stable },
        weight: value[0].as_f64().unwrap(),
    }
}

fn stages(input: &Value) -> Vec<Tick> {
    input["stages"].as_array().unwrap().iter().map(tick).collect()
}

fn latencies(value: &Value) -> Latencies {
    let counts = value.as_object().unwrap().iter();
    counts.map(|(bucket, count)| (bucket.parse().unwrap(), count.as_u64().unwrap())).collect()
}

fn variant(input: &Value, name: &str) -> Variant {
    let number = |key: &str| input[format!("{key}{name}")].clone();
    Variant {
        weight: number("w").as_f64().unwrap_or(0.5),
        users: number("n").as_u64().unwrap_or(0),
        conversions: number("x").as_u64().unwrap(),
    }
}

/// An interval as the file has it: null where it is unbounded.
fn interval(found: Interval) -> Value {
    json!([found.lower, Some(found.upper).filter(|upper| upper.is_finite())])
}
