//! The judge on seeded traffic.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::*;
use crate::{
    config::model::rollout::{OnNoData, Regression, RegressionOf, Threshold},
    rollout::{
        fixtures::{analysis, gate, max, regression, secs, threshold},
        observe::Observer,
    },
    telemetry::{
        ErrorKind,
        trial::{Arm, End, Note},
    },
    types::Bucket,
};

/// How a version behaves.
#[derive(Debug, Clone, Copy)]
struct Behaviour {
    errors: f64,
    /// The mean of an exponential distribution on top of a fixed 5 ms.
    mean_ms: f64,
}

const GOOD: Behaviour = Behaviour { errors: 0.0, mean_ms: 20.0 };

/// A route with seeded traffic on it, judged four times a second.
struct Bench {
    analysis: Analysis,
    blast_radius: BlastRadius,
    judge: Judge,
    observer: Observer,
    random: SmallRng,
    now_ms: u64,
    weight: f64,
    by_user: bool,
    /// Ends that are still to come, by their time.
    pending: Vec<(u64, Note)>,
}

impl Bench {
    fn new(analysis: Analysis, seed: u64) -> Self {
        Self {
            judge: Judge::new(&analysis),
            analysis,
            blast_radius: BlastRadius::default(),
            observer: Observer::new(secs(10)),
            random: SmallRng::seed_from_u64(seed),
            now_ms: 0,
            weight: 0.05,
            by_user: false,
            pending: Vec::new(),
        }
    }

    fn unit(&mut self) -> f64 {
        self.random.random::<f64>()
    }

    fn note(&mut self, behaviour: [Behaviour; 2], arm: Option<Arm>) -> (Note, Note) {
        let bucket = Bucket::from_bits(self.random.random());
        let by_share =
            if self.by_user { f64::from(bucket.number()) / f64::from(BUCKETS) } else { self.unit() };
        let arm = arm.unwrap_or(if by_share < self.weight { Arm::Canary } else { Arm::Baseline });
        let of = behaviour[usize::from(arm == Arm::Canary)];
        let took = 5.0 - of.mean_ms * (1.0 - self.unit()).ln();
        let status = if self.unit() < of.errors { 500 } else { 200 };
        let begun = Note {
            at: self.now_ms * 1000,
            arm,
            drawn: true,
            bucket: self.by_user.then_some(bucket),
            copy: false,
            end: None,
        };
        let duration = Duration::from_secs_f64(took / 1000.0);
        (begun, Note { end: Some(End { status, error: None, retried: false, duration }), ..begun })
    }

    /// So many requests a second for so long; the last assessment, or the first that fails the canary with its time.
    fn run(&mut self, per_second: u64, time: u64, behaviour: [Behaviour; 2]) -> (Assessment, Option<f64>) {
        let mut last = None;
        let mut owed = 0.0;
        for _ in 0..time * 4 {
            let mut notes = Vec::new();
            owed += f64::from(u32::try_from(per_second).unwrap()) / 4.0;
            while owed >= 1.0 {
                owed -= 1.0;
                let (begun, ended) = self.note(behaviour, None);
                let took = u64::try_from(ended.end.unwrap().duration.as_millis()).unwrap();
                notes.push(begun);
                self.pending.push((self.now_ms + took, ended));
            }
            self.now_ms += 250;
            let now_ms = self.now_ms;
            notes.extend(self.pending.extract_if(.., |(at, _)| *at <= now_ms).map(|(_, note)| note));
            let assessment = self.look(&notes);
            if matches!(assessment.decision, Decision::Fail(_)) {
                return (assessment, Some(Duration::from_millis(now_ms).as_secs_f64()));
            }
            last = Some(assessment);
        }
        (last.unwrap(), None)
    }

    fn look(&mut self, notes: &[Note]) -> Assessment {
        let now = Duration::from_millis(self.now_ms);
        let seen = self.observer.take(notes, now);
        let at = Circumstances { now, weight: Some(self.weight), expects_traffic: true };
        self.judge.look((&self.analysis, &self.blast_radius), &seen, at)
    }

    fn next_stage(&mut self, weight: f64) {
        self.judge.stage_change();
        self.observer = Observer::new(secs(10));
        (self.weight, self.now_ms) = (weight, 0);
        self.pending.clear();
    }
}

fn errors(rate: f64) -> Behaviour {
    Behaviour { errors: rate, ..GOOD }
}

fn failed(assessment: &Assessment) -> Option<&Reason> {
    match &assessment.decision {
        Decision::Fail(reason) => Some(reason),
        _ => None,
    }
}

#[test]
fn an_error_rate_above_its_limit_fails_after_the_threshold() {
    let gates = || vec![max("error_rate", Metric::ErrorRate, 0.01)];
    let mut bench = Bench::new(analysis(gates()), 1);
    let (assessment, at) = bench.run(2000, 60, [GOOD, errors(0.06)]);
    let reason = failed(&assessment).unwrap();
    assert!((14.0..22.0).contains(&at.unwrap()), "three checks of 5 s, the first an interval in: {at:?}");
    assert_eq!((reason.test.as_str(), reason.limit), ("max", Some(0.01)));
    let canary = reason.canary.unwrap();
    let share =
        f64::from(u32::try_from(canary.bad.unwrap()).unwrap()) / f64::from(u32::try_from(canary.n).unwrap());
    assert!((canary.value - share).abs() < 1e-9 && (0.03..0.09).contains(&canary.value));
    assert!(
        reason.words.starts_with("error_rate ") && reason.words.contains("% > 1 % (canary "),
        "{}",
        reason.words
    );

    let mut bench = Bench::new(analysis(gates()), 2);
    let (assessment, at) = bench.run(2000, 60, [GOOD, errors(0.001)]);
    assert_eq!((at, assessment.decision), (None, Decision::Go));
}

#[test]
fn a_hard_limit_acts_at_once_but_not_by_a_handful() {
    let hard = Threshold { hard_max: Some(0.5), max: Some(0.01), ..threshold(Metric::ErrorRate) };
    let mut bench = Bench::new(analysis(vec![gate("error_rate", Check::Threshold(hard))]), 3);
    let (assessment, at) = bench.run(2000, 60, [GOOD, errors(1.0)]);
    assert_eq!(failed(&assessment).unwrap().test, "hard_max");
    assert!((0.4..1.5).contains(&at.unwrap()), "50 requests of the canary at 100 a second: {at:?}");
}

#[test]
fn a_ratio_needs_a_baseline_and_a_baseline_that_breaks_the_limit_too_holds() {
    let ratio = Threshold { max_ratio: Some(2.0), ..threshold(Metric::ErrorRate) };
    let mut bench = Bench::new(analysis(vec![gate("error_rate", Check::Threshold(ratio))]), 4);
    assert!(bench.run(2000, 60, [errors(0.02), errors(0.10)]).1.is_some());

    let mut bench = Bench::new(analysis(vec![max("error_rate", Metric::ErrorRate, 0.01)]), 5);
    let (assessment, at) = bench.run(2000, 60, [errors(0.10), errors(0.10)]);
    assert!(at.is_none() && matches!(assessment.decision, Decision::Hold(_)), "{assessment:?}");

    let hard = Threshold { hard_max: Some(0.5), ..threshold(Metric::ErrorRate) };
    let mut bench = Bench::new(analysis(vec![gate("error_rate", Check::Threshold(hard))]), 5);
    let (assessment, at) = bench.run(500, 10, [errors(0.9), errors(0.9)]);
    assert!(at.is_none() && matches!(assessment.decision, Decision::Hold(_)), "{assessment:?}");
}

#[test]
fn one_bad_second_is_one_failed_check() {
    let mut bench = Bench::new(analysis(vec![max("error_rate", Metric::ErrorRate, 0.01)]), 6);
    bench.run(2000, 10, [GOOD, GOOD]);
    bench.run(2000, 1, [GOOD, errors(0.9)]);
    let (_, at) = bench.run(2000, 50, [GOOD, GOOD]);
    assert_eq!(at, None, "the window holds it for a minute, but nothing bad has come since");
}

#[test]
fn latency_and_availability_have_limits_too() {
    let slow = Behaviour { mean_ms: 400.0, ..GOOD };
    let mut bench = Bench::new(analysis(vec![max("latency_p99", Metric::Latency(0.99), 0.5)]), 7);
    let (assessment, at) = bench.run(2000, 60, [GOOD, slow]);
    assert!(at.is_some() && failed(&assessment).unwrap().words.contains("> 500 ms"), "{assessment:?}");

    let available = Threshold { min: Some(0.999), ..threshold(Metric::Availability) };
    let mut bench = Bench::new(analysis(vec![gate("availability", Check::Threshold(available))]), 8);
    bench.run(2000, 10, [GOOD, GOOD]);
    let unavailable = |bench: &mut Bench| {
        let (_, ended) = bench.note([GOOD, GOOD], Some(Arm::Canary));
        let end = End { status: 502, error: Some(ErrorKind::Connect), ..ended.end.unwrap() };
        Note { end: Some(end), ..ended }
    };
    let mut at = None;
    for _ in 0..10 {
        let note = unavailable(&mut bench);
        bench.look(&[note]);
        at = at.or(bench.run(2000, 5, [GOOD, GOOD]).1);
    }
    assert!(at.is_some());
}

#[test]
fn without_requests_nothing_passes_in_silence_unless_the_plan_says_so() {
    let gates =
        || vec![max("error_rate", Metric::ErrorRate, 0.01), regression(RegressionOf::ErrorRate, 1.25)];
    for (on_no_data, goes) in [(OnNoData::Hold, false), (OnNoData::Pass, true)] {
        let mut bench = Bench::new(Analysis { on_no_data, ..analysis(gates()) }, 9);
        let (assessment, at) = bench.run(1, 120, [GOOD, GOOD]);
        assert_eq!((at, assessment.decision == Decision::Go), (None, goes), "{on_no_data:?}: {assessment:?}");
    }
    // And one error of a few requests does not roll back.
    let mut bench = Bench::new(analysis(gates()), 10);
    bench.weight = 0.5;
    let (_, failing) = bench.note([errors(1.0), errors(1.0)], Some(Arm::Canary));
    bench.look(&[failing]);
    assert_eq!(bench.run(1, 600, [GOOD, GOOD]).1, None);
}

#[test]
fn failures_in_a_row_fail() {
    let mut bench = Bench::new(analysis(vec![gate("streak", Check::ConsecutiveFailures(5))]), 11);
    let (assessment, at) = bench.run(200, 20, [GOOD, errors(1.0)]);
    assert!(at.unwrap() < 2.0, "five of ten a second: {at:?}");
    assert_eq!(failed(&assessment).unwrap().gate, "streak");

    let mut bench = Bench::new(analysis(vec![gate("streak", Check::ConsecutiveFailures(5))]), 11);
    assert!(matches!(bench.look(&[]).decision, Decision::Wait(_)), "silence is no success");
}

#[test]
fn what_a_failure_may_cost_is_bounded() {
    let mut bench = Bench::new(analysis(Vec::new()), 12);
    bench.blast_radius.max_failed_requests = Some(20);
    let (assessment, _) = bench.run(2000, 20, [errors(0.01), errors(0.5)]);
    assert_eq!(failed(&assessment).unwrap().gate, "blast_radius");

    let mut bench = Bench::new(analysis(Vec::new()), 13);
    bench.blast_radius.max_failed_requests = Some(20);
    assert_eq!(bench.run(2000, 60, [errors(0.02), errors(0.02)]).1, None, "the baseline explains those");

    let mut bench = Bench::new(analysis(Vec::new()), 14);
    bench.by_user = true;
    bench.blast_radius.max_users = crate::types::Fraction::from_percent(0.1);
    let (assessment, _) = bench.run(2000, 60, [GOOD, errors(0.5)]);
    assert_eq!(failed(&assessment).unwrap().canary.unwrap().bad, Some(101));
}

#[test]
fn regressions_of_errors_are_found_soon_by_request_and_by_user() {
    for by_user in [false, true] {
        for (baseline, canary, within) in [(0.001, 0.02, 12.0), (0.001, 0.2, 4.0), (0.0, 1.0, 2.0)] {
            let mut bench = Bench::new(analysis(vec![regression(RegressionOf::ErrorRate, 1.25)]), 15);
            bench.by_user = by_user;
            let (assessment, at) = bench.run(1000, 60, [errors(baseline), errors(canary)]);
            let words = &failed(&assessment).unwrap().words;
            assert!(at.unwrap() < within, "{canary} by user {by_user}: {at:?}");
            assert!(words.contains("worse than 1.25x of the baseline"), "{words}");
        }
    }
}

#[test]
fn regressions_of_latency_are_found_soon() {
    let slow = Behaviour { mean_ms: 45.0, ..GOOD };
    for of in [RegressionOf::Distribution, RegressionOf::Quantile(0.9)] {
        let mut bench = Bench::new(analysis(vec![regression(of.clone(), 1.2)]), 16);
        let (assessment, at) = bench.run(1000, 120, [GOOD, slow]);
        assert!(at.unwrap() < 30.0, "{of:?}: {at:?}");
        assert!(failed(&assessment).unwrap().words.contains("slower than"), "{assessment:?}");
    }
}

#[test]
fn equal_versions_are_hardly_ever_told_apart() {
    let mut rolled_back = 0;
    for seed in 0..40 {
        let gates =
            vec![regression(RegressionOf::ErrorRate, 1.25), regression(RegressionOf::Distribution, 1.2)];
        let mut bench = Bench::new(analysis(gates), 100 + seed);
        bench.by_user = seed % 2 == 0;
        let same = [errors(0.01); 2];
        let mut failed = false;
        for weight in [0.05, 0.2, 0.5] {
            failed = failed || bench.run(50, 60, same).1.is_some();
            bench.next_stage(weight);
        }
        rolled_back += u32::from(failed);
    }
    assert!(rolled_back <= 1, "{rolled_back} of 40, where one in a hundred may be");
}

#[test]
fn a_split_that_is_not_what_it_should_be_voids_the_tests_and_holds() {
    let mut bench = Bench::new(analysis(vec![regression(RegressionOf::ErrorRate, 1.25)]), 17);
    let mut notes = Vec::new();
    for _ in 0..2000 {
        let arm = if bench.unit() < 0.3 { Arm::Canary } else { Arm::Baseline };
        let (begun, ended) = bench.note([errors(0.0), errors(0.5)], Some(arm));
        notes.extend([begun, ended]);
    }
    bench.now_ms = 5000;
    let assessment = bench.look(&notes);
    assert!(
        matches!(&assessment.decision, Decision::Hold(reason) if reason.gate == "sample_ratio"),
        "{assessment:?}"
    );
}

#[test]
fn a_gate_that_is_only_tried_decides_nothing() {
    let dry = |gate: Gate| Gate { dry_run: true, ..gate };
    let gates =
        vec![dry(max("error_rate", Metric::ErrorRate, 0.01)), dry(regression(RegressionOf::ErrorRate, 1.25))];
    let mut bench = Bench::new(analysis(gates), 18);
    let (assessment, at) = bench.run(2000, 60, [GOOD, errors(0.2)]);
    assert_eq!((at, &assessment.decision), (None, &Decision::Go));
    assert_eq!(assessment.gates[0].verdict, Verdict::Fail);
}

#[test]
fn a_gate_with_its_own_level_is_held_to_that() {
    let own = Regression { of: RegressionOf::ErrorRate, ratio: 1.25, difference: 0.0, alpha: Some(1e-9) };
    let strict = vec![gate("strict", Check::Regression(own))];
    let mut lax = Bench::new(analysis(vec![regression(RegressionOf::ErrorRate, 1.25)]), 19);
    let mut strict = Bench::new(analysis(strict), 19);
    let case = [errors(0.001), errors(0.02)];
    let (soon, late) = (lax.run(1000, 120, case).1.unwrap(), strict.run(1000, 120, case).1.unwrap());
    assert!(late > soon + 1.0, "{soon} {late}");
}

#[test]
fn answers_of_others_count_like_checks_and_silence_never_passes() {
    let query = crate::config::model::rollout::PrometheusQuery {
        query: "up".to_owned(),
        server: None,
        max: Some(3.0),
        min: None,
        every: secs(30),
        timeout: secs(5),
    };
    let mut bench = Bench::new(analysis(vec![gate("orders", Check::Prometheus(query))]), 20);
    let say = |bench: &mut Bench, answer: Answer| {
        let analysis = bench.analysis.clone();
        bench.judge.answer(&analysis, 0, &answer);
        bench.look(&[])
    };
    assert!(matches!(bench.look(&[]).decision, Decision::Wait(_)));
    assert_eq!(say(&mut bench, Answer::Value(1.0)).decision, Decision::Go);
    let unreachable = || Answer::Unreachable("connection refused".to_owned());
    for verdict in [Verdict::Error, Verdict::Error, Verdict::Inconclusive] {
        let assessment = say(&mut bench, unreachable());
        assert_eq!(assessment.gates[0].verdict, verdict);
        assert!(matches!(assessment.decision, Decision::Wait(_)));
    }
    assert!(matches!(say(&mut bench, Answer::Nothing).decision, Decision::Wait(_)));
    for verdict in [Verdict::Failing, Verdict::Failing, Verdict::Fail] {
        assert_eq!(say(&mut bench, Answer::Value(9.0)).gates[0].verdict, verdict);
    }
    assert!(failed(&bench.look(&[])).is_some());
}

#[test]
fn a_restart_goes_on_with_the_evidence_it_had() {
    let gates = vec![regression(RegressionOf::ErrorRate, 1.25)];
    let mut bench = Bench::new(analysis(gates), 21);
    bench.by_user = true;
    let case = [errors(0.001), errors(0.01)];
    assert_eq!(bench.run(500, 8, case).1, None);
    let text = serde_json::to_string(&bench.judge).unwrap();
    let mut resumed: Judge = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&resumed).unwrap(), text);
    resumed.resume();
    bench.judge = resumed;
    bench.observer = Observer::new(secs(10));
    (bench.now_ms, bench.pending) = (0, Vec::new());
    assert!(bench.run(500, 60, case).1.is_some());
}
