//! Regression gates: anytime-valid tests of the canary against the baseline (docs/analysis.md).
//!
//! The unit is what was drawn: a user where users keep their version, and then a user's first bad event in the stage; otherwise a
//! request. Where the unit is a user, a difference of error rates that is tolerated cannot be part of the test; it is then asked of the
//! rates that were seen, beside it, which can only keep a rollback back.

use serde::{Deserialize, Serialize};

use super::Facts;
use crate::{
    analysis::{
        self, Arm as Units, Margin, Tick,
        combination::Kind,
        errors::{AbsoluteLimit, Promotion, Regression},
        latency::{Latencies, Layout, QUANTILES, Thresholds},
    },
    config::model::rollout::{self as declared, RegressionOf},
    rollout::{
        cohort::{Cohort, Ended},
        reason::{Reason, Sample, Verdict, grouped, percent, seconds},
        sums::Pair,
        users::Users,
    },
    telemetry::trial::Arm,
};

/// The error rate above which a version is bad by itself, whatever the other's is.
const ABSOLUTE_LIMIT: f64 = 0.05;
/// Ticks after which thresholds of latency are fixed anew: ten minutes.
const RENEWAL_TICKS: u64 = 2400;

/// A regression gate's memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    tests: Vec<Test>,
    /// Of error rates: each version against the limit that holds for both; the baseline, the canary.
    absolute: Option<[AbsoluteLimit; 2]>,
    /// What was drawn in this stage, and what of it was bad by the first test: the baseline, the canary.
    units: [Units; 2],
    /// Requests that were drawn in this stage, where the unit is a user.
    requests: [u64; 2],
    by_user: bool,
    ticks: u64,
}

/// One test: of errors, or of one quantile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Test {
    /// `None` is of errors.
    quantile: Option<f64>,
    thresholds: Option<Thresholds>,
    regression: Regression,
    promotion: Promotion,
    /// Users who had their first bad event of the stage.
    bad_users: Users,
    /// The same by the stricter threshold of promotion.
    bad_users_strict: Users,
}

/// Samples of the baseline that a quantile needs before it can be a threshold.
fn min_samples(quantile: f64) -> f64 {
    (10.0 / (1.0 - quantile)).round().max(200.0)
}

// === impl Memory ===

impl Memory {
    /// At the begin of a rollout.
    pub(super) fn new(gate: &declared::Regression) -> Self {
        let margin = match gate.of {
            RegressionOf::ErrorRate => Margin::new(gate.ratio, gate.difference).unwrap_or_default(),
            _ => Margin::NONE,
        };
        let test = |quantile| Test {
            quantile,
            thresholds: None,
            regression: Regression::new(margin),
            promotion: Promotion::new(margin),
            bad_users: Users::default(),
            bad_users_strict: Users::default(),
        };
        let tests = match gate.of {
            RegressionOf::ErrorRate => vec![test(None)],
            RegressionOf::Quantile(quantile) => vec![test(Some(quantile))],
            RegressionOf::Distribution => QUANTILES.map(|quantile| test(Some(quantile))).to_vec(),
        };
        let limit = || AbsoluteLimit::new(ABSOLUTE_LIMIT).expect("between 0 and 1");
        let absolute = (gate.of == RegressionOf::ErrorRate).then(|| [limit(), limit()]);
        Self { tests, absolute, units: Default::default(), requests: [0; 2], by_user: false, ticks: 0 }
    }

    /// The traffic has changed.
    pub(super) fn stage_change(&mut self) {
        for test in &mut self.tests {
            test.regression.stage_change();
            test.promotion.restart();
            test.thresholds = None;
            test.bad_users.clear();
            test.bad_users_strict.clear();
        }
        (self.units, self.requests, self.ticks) = (Default::default(), [0; 2], 0);
    }

    /// Takes in a cohort of units that were drawn to the canary with probability `weight`. `before` is what the baseline did before it.
    pub(super) fn observe(
        &mut self,
        gate: &declared::Regression,
        weight: f64,
        cohort: &Cohort,
        before: &Pair,
    ) {
        self.by_user |= cohort.ended.iter().any(|ended| ended.bucket.is_some());
        self.ticks += 1;
        let drawn = if self.by_user { cohort.new_users } else { cohort.requests };
        let mut counted = None;
        for test in &mut self.tests {
            if let Some(quantile) = test.quantile
                && (test.thresholds.is_none() || self.ticks.is_multiple_of(RENEWAL_TICKS))
            {
                #[allow(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
                let enough = before.baseline.latency.count() as f64 >= min_samples(quantile);
                if enough {
                    let stable: Latencies = (&before.baseline.latency).into();
                    test.thresholds = Thresholds::of(Layout::RECORDED, &stable, quantile, gate.ratio);
                }
                if test.thresholds.is_none() {
                    continue;
                }
            }
            let bad = test.observe(weight, drawn, &cohort.ended);
            counted.get_or_insert(bad);
        }
        let bad = counted.unwrap_or_default();
        if let Some(limits) = &mut self.absolute {
            for (limit, (units, bad)) in limits.iter_mut().zip(drawn.into_iter().zip(bad)) {
                limit.observe(Units { units, bad });
            }
        }
        for (place, (units, bad)) in drawn.into_iter().zip(bad).enumerate() {
            self.units[place].units += units;
            self.units[place].bad += bad;
            self.requests[place] += cohort.requests[place];
        }
    }

    /// The evidence against the canary, for the decision over all gates together.
    pub(super) fn parts(&self, gate: &declared::Regression) -> Vec<(Kind, f64)> {
        let kind = if gate.of == RegressionOf::ErrorRate { Kind::Errors } else { Kind::Latency };
        let own = (kind, self.log_e());
        let absolute = self.absolute.as_ref().map(|[_, canary]| (Kind::Absolute, canary.log_e()));
        std::iter::once(own).chain(absolute).collect()
    }

    /// Whether the baseline is bad by itself.
    pub(super) fn baseline_is_bad(&self) -> bool {
        self.absolute
            .as_ref()
            .is_some_and(|[baseline, _]| baseline.log_e() >= analysis::rejection(analysis::ALPHA))
    }

    /// The mean of the tests' e-values, as its logarithm.
    fn log_e(&self) -> f64 {
        mean(self.tests.iter().map(|test| test.regression.log_e()))
    }

    /// Whether what is tolerated as a difference is exceeded by what was seen.
    fn exceeds_difference(&self, gate: &declared::Regression, stage: &Pair) -> bool {
        if !self.by_user || gate.difference == 0.0 {
            return true;
        }
        let rate = |sums: &crate::rollout::sums::Sums| {
            sums.value(declared::Metric::ErrorRate, std::time::Duration::ZERO).unwrap_or(0.0)
        };
        rate(&stage.canary) > gate.ratio * rate(&stage.baseline) + gate.difference
    }

    /// What the gate says. `alpha` is its own level; without one it fails only together with others (see [`parts`](Self::parts)).
    pub(super) fn verdict(
        &self,
        gate: &declared::Regression,
        facts: &Facts<'_>,
        min_requests: u64,
    ) -> Verdict {
        let fails = gate.alpha.is_some_and(|alpha| self.log_e() >= analysis::rejection(alpha));
        if fails && self.exceeds_difference(gate, facts.stage) {
            return Verdict::Fail;
        }
        if !facts.expects_traffic || !facts.is_drawn {
            return Verdict::Pass;
        }
        if self.requests[1] < min_requests {
            return Verdict::NoData;
        }
        let proof = mean(self.tests.iter().map(|test| test.promotion.log_e()));
        if proof >= analysis::rejection(analysis::ALPHA_PROMOTE) {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        }
    }

    /// The same decision where the evidence of all gates together is enough.
    pub(super) fn may_fail(&self, gate: &declared::Regression, facts: &Facts<'_>) -> bool {
        self.exceeds_difference(gate, facts.stage)
    }

    /// The verdict with its numbers.
    pub(super) fn reason(&self, (name, gate): (&str, &declared::Regression), verdict: Verdict) -> Reason {
        let [baseline, canary] = self.units.map(sample);
        let log_e = self.log_e();
        let unit = if self.by_user { "users" } else { "requests" };
        let ratio = gate.ratio;
        let allowed = match (&gate.of, gate.difference) {
            (RegressionOf::ErrorRate, difference) if difference > 0.0 => {
                format!("{ratio}x + {}", percent(difference))
            }
            _ => format!("{ratio}x"),
        };
        let what = match self.tests.first().and_then(|test| test.thresholds) {
            Some(at) => {
                #[allow(clippy::cast_precision_loss, reason = "durations for people")]
                let limit = (Layout::RECORDED.highest)(at.stable) as f64 / 1e9;
                format!("slower than {}", seconds(limit))
            }
            None => "bad".to_owned(),
        };
        let numbers = format!(
            "{what}: canary {} of {} {unit}, baseline {} of {}",
            grouped(self.units[1].bad),
            grouped(self.units[1].units),
            grouped(self.units[0].bad),
            grouped(self.units[0].units)
        );
        let words = match verdict {
            Verdict::Fail | Verdict::Held => {
                format!(
                    "{name}: worse than {allowed} of the baseline, by chance at most once in {} rollouts ({numbers})",
                    odds(log_e)
                )
            }
            Verdict::Pass => format!("{name}: within {allowed} of the baseline ({numbers})"),
            Verdict::NoData => format!("{name}: too few requests of the canary to say ({numbers})"),
            _ => format!("{name}: nothing against the canary, and no proof of {allowed} yet ({numbers})"),
        };
        Reason {
            gate: name.to_owned(),
            verdict,
            route: None,
            canary: Some(canary),
            baseline: Some(baseline),
            limit: Some(ratio),
            test: "e_value".to_owned(),
            window_seconds: None,
            step: None,
            words,
        }
    }
}

// === impl Test ===

impl Test {
    /// Takes in units; says how many were bad: the baseline's, the canary's.
    fn observe(&mut self, weight: f64, drawn: [u64; 2], ended: &[Ended]) -> [u64; 2] {
        let (mut bad, mut strict) = ([0; 2], [0; 2]);
        for request in ended {
            let place = usize::from(request.arm == Arm::Canary);
            let (is_bad, is_bad_strictly) = self.judge(request);
            let first = |is_bad: bool, users: &mut Users| {
                is_bad && request.bucket.is_none_or(|user| users.insert(user))
            };
            bad[place] += u64::from(first(is_bad, &mut self.bad_users));
            strict[place] += u64::from(first(is_bad_strictly, &mut self.bad_users_strict));
        }
        // A user's first bad event may come in a later tick than the user: the units are at least what was bad.
        let units = |bad: u64, place: usize| Units { units: drawn[place].max(bad), bad };
        let tick = |bad: [u64; 2]| Tick { canary: units(bad[1], 1), stable: units(bad[0], 0), weight };
        self.regression.observe(&tick(bad));
        self.promotion.observe(&tick([bad[0], strict[1]]));
        bad
    }

    /// Whether a request is bad, and whether it is when the question is promotion.
    fn judge(&self, request: &Ended) -> (bool, bool) {
        let slot = usize::from(request.slot);
        match (self.quantile, self.thresholds, request.arm) {
            (None, ..) => (request.error, request.error),
            (_, None, _) => (false, false),
            (_, Some(at), Arm::Baseline) => (slot > at.stable, slot > at.stable),
            (_, Some(at), Arm::Canary) => (slot > at.canary, slot >= at.canary),
        }
    }
}

fn sample(units: Units) -> Sample {
    #[allow(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    let value = if units.units == 0 { 0.0 } else { units.bad as f64 / units.units as f64 };
    Sample { value, bad: Some(units.bad), n: units.units }
}

/// The logarithm of the mean of numbers given by their logarithms.
fn mean(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    let (mut sum, mut count) = (0.0, 0.0);
    for log in logs {
        sum += (log - largest).exp();
        count += 1.0;
    }
    largest + (sum / count).ln()
}

/// An e-value as "once in so many".
fn odds(log_e: f64) -> String {
    let odds = log_e.min(20.7).exp();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to a billion")]
    grouped(odds.max(1.0) as u64)
}
