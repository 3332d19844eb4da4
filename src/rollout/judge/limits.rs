//! Threshold gates: the data path's numbers against limits, looked at once an interval.
//!
//! Windows of successive checks overlap, so one bad second would fail every check for as long as it is inside. A failed check therefore
//! counts only when something bad has come since the last one: no new evidence, no new verdict.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Facts;
use crate::{
    analysis::threshold::{Breach, Check, Measurement, NoData, ThresholdConfig, ThresholdGate},
    config::model::rollout::{Analysis, Metric, OnNoData, Threshold},
    rollout::{
        reason::{Reason, Sample, Verdict, grouped, percent, seconds},
        sums::{Pair, Sums},
    },
};

/// A threshold gate's memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    gate: ThresholdGate,
    /// The canary's bad requests of the whole stage at the last check that failed.
    bad_seen: u64,
}

/// What the canary's sums are compared with.
struct Look<'a> {
    gate: &'a str,
    threshold: &'a Threshold,
    sums: &'a Pair,
    covered: Duration,
}

// === impl Memory ===

impl Memory {
    /// Forgets failed checks: the traffic has changed.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Goes on in another process, which counts the stage's bad requests anew.
    pub(super) fn resume(&mut self) {
        self.bad_seen = 0;
    }

    /// Looks once. `due` is whether the interval is over; in between only hard limits are looked at.
    pub(super) fn look(
        &mut self,
        (gate, threshold): (&str, &Threshold),
        analysis: &Analysis,
        facts: &Facts<'_>,
        due: bool,
    ) -> Option<Reason> {
        let (sums, covered) = facts.window(analysis.min_requests, threshold.metric);
        let look = Look { gate, threshold, sums, covered };
        let canary = sums.canary.value(threshold.metric, covered);
        let enough = sums.canary.requests >= analysis.min_requests;
        let hard = canary.filter(|_| enough || threshold.metric == Metric::RequestRate);
        if let Some(breach) = hard.and_then(|value| look.hard(value)) {
            let excused = look.baseline_breaks_hard(analysis.min_requests);
            let verdict = if excused { Verdict::Held } else { Verdict::Fail };
            return Some(look.reason(verdict, Some(breach)));
        }
        if !due {
            return None;
        }
        if !facts.expects_traffic {
            return Some(look.nothing_expected());
        }
        let config = look.config(analysis);
        let baseline = look.baseline(analysis.min_requests);
        let requests = if threshold.metric == Metric::RequestRate { u64::MAX } else { sums.canary.requests };
        let before = self.gate;
        let check = self.gate.check(&config, Measurement { requests, value: canary, baseline });
        let (verdict, breach) = match check {
            Check::Pass if canary.is_none() || requests < config.min_requests => (Verdict::Pass, None),
            Check::Pass => (Verdict::Pass, None),
            Check::Hold => (Verdict::NoData, None),
            Check::Fail(breach) => (Verdict::Failing, Some(breach)),
            Check::RollBack(breach) => (Verdict::Fail, Some(breach)),
        };
        if let Some(breach) = breach.filter(|breach| !matches!(breach, Breach::NoData)) {
            let bad = look.bad(breach, &facts.stage.canary);
            if bad <= self.bad_seen {
                self.gate = before;
                return Some(look.reason(Verdict::Failing, Some(breach)));
            }
            self.bad_seen = bad;
        }
        let verdict = if verdict == Verdict::Fail && look.baseline_breaks(breach, analysis.min_requests) {
            Verdict::Held
        } else {
            verdict
        };
        Some(look.reason(verdict, breach))
    }
}

// === impl Look ===

impl Look<'_> {
    fn config(&self, analysis: &Analysis) -> ThresholdConfig {
        ThresholdConfig {
            max: self.threshold.max,
            min: self.threshold.min,
            max_ratio: self.threshold.max_ratio,
            hard_max: self.threshold.hard_max,
            threshold: analysis.threshold,
            consecutive: analysis.consecutive,
            min_requests: analysis.min_requests,
            on_no_data: match analysis.on_no_data {
                OnNoData::Hold => NoData::Hold,
                OnNoData::Pass => NoData::Pass,
                OnNoData::Fail => NoData::Fail,
            },
        }
    }

    fn value(&self, sums: &Sums) -> Option<f64> {
        sums.value(self.threshold.metric, self.covered)
    }

    /// The baseline's value, for ratios; `None` while it has too few requests. A baseline without anything bad is taken to have had one.
    #[allow(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    fn baseline(&self, min_requests: u64) -> Option<f64> {
        let sums = &self.sums.baseline;
        if sums.requests < min_requests {
            return None;
        }
        let value = self.value(sums)?;
        match self.threshold.metric {
            Metric::ErrorRate | Metric::RetryRate | Metric::ResetRate => {
                Some(value.max(1.0 / sums.requests as f64))
            }
            _ => Some(value),
        }
    }

    /// How many requests of the stage speak for a breach: the failed ones, or those that were too slow.
    fn bad(&self, breach: Breach, stage: &Sums) -> u64 {
        let limit = match breach {
            Breach::MaxRatio => {
                self.threshold.max_ratio.zip(self.value(&self.sums.baseline)).map(|(ratio, of)| ratio * of)
            }
            _ => self.threshold.max,
        };
        match (self.threshold.metric, limit) {
            (Metric::Latency(_), Some(limit)) => {
                let limit = Duration::try_from_secs_f64(limit).unwrap_or(Duration::MAX);
                stage.latency.count() - stage.latency.count_le(limit)
            }
            (metric, _) => stage.bad(metric).unwrap_or(stage.requests),
        }
    }

    /// The hard limit that a value breaks.
    fn hard(&self, value: f64) -> Option<Breach> {
        let above = self.threshold.hard_max.is_some_and(|limit| value > limit);
        let below = self.threshold.hard_min.is_some_and(|limit| value < limit);
        (above || below).then_some(Breach::HardMax)
    }

    /// Whether the baseline breaks the same hard limit.
    fn baseline_breaks_hard(&self, min_requests: u64) -> bool {
        let enough = self.sums.baseline.requests >= min_requests;
        self.value(&self.sums.baseline).filter(|_| enough).and_then(|value| self.hard(value)).is_some()
    }

    /// Whether the baseline breaks the same absolute limit: then going back would not help.
    fn baseline_breaks(&self, breach: Option<Breach>, min_requests: u64) -> bool {
        let enough = self.sums.baseline.requests >= min_requests;
        let Some(value) = self.value(&self.sums.baseline).filter(|_| enough) else { return false };
        match breach {
            Some(Breach::Max) => self.threshold.max.is_some_and(|limit| value > limit),
            Some(Breach::Min) => self.threshold.min.is_some_and(|limit| value < limit),
            _ => false,
        }
    }

    fn sample(&self, sums: &Sums) -> Option<Sample> {
        let value = self.value(sums)?;
        Some(Sample { value, bad: sums.bad(self.threshold.metric), n: sums.requests })
    }

    fn nothing_expected(&self) -> Reason {
        Reason::plain(
            self.gate,
            Verdict::Pass,
            format!("{}: the canary has no traffic in this step", self.gate),
        )
    }

    fn reason(&self, verdict: Verdict, breach: Option<Breach>) -> Reason {
        let (canary, baseline) = (self.sample(&self.sums.canary), self.sample(&self.sums.baseline));
        let (limit, test) = self.limit(breach);
        let words = self.words(verdict, (canary, baseline), (limit, test));
        Reason {
            gate: self.gate.to_owned(),
            verdict,
            route: None,
            canary,
            baseline,
            limit,
            test: test.to_owned(),
            window_seconds: Some(self.covered.as_secs_f64()),
            step: None,
            words,
        }
    }

    /// The limit that was broken; the first there is, where none was.
    fn limit(&self, breach: Option<Breach>) -> (Option<f64>, &'static str) {
        let of = self.threshold;
        match breach {
            Some(Breach::Max) => (of.max, "max"),
            Some(Breach::Min) => (of.min, "min"),
            Some(Breach::MaxRatio) => (of.max_ratio, "max_ratio"),
            Some(Breach::HardMax) if of.hard_max.is_some() => (of.hard_max, "hard_max"),
            Some(Breach::HardMax) => (of.hard_min, "hard_min"),
            Some(Breach::NoData) => (None, "min_requests"),
            None if of.max.is_some() => (of.max, "max"),
            None if of.min.is_some() => (of.min, "min"),
            None if of.max_ratio.is_some() => (of.max_ratio, "max_ratio"),
            None => (of.hard_max.or(of.hard_min), "hard_max"),
        }
    }

    fn words(
        &self,
        verdict: Verdict,
        samples: (Option<Sample>, Option<Sample>),
        limit: (Option<f64>, &str),
    ) -> String {
        let (canary, baseline) = samples;
        let Some(of_canary) = canary else {
            return format!("{}: the canary has had no requests", self.gate);
        };
        let beside = match baseline {
            Some(baseline) => format!("canary {of_canary}, baseline {baseline}"),
            None => format!("canary {of_canary}"),
        };
        if verdict == Verdict::NoData {
            return format!(
                "{}: {} requests of the canary are too few to say ({beside})",
                self.gate,
                grouped(of_canary.n)
            );
        }
        let shown = self.shown(of_canary.value);
        let bound = match limit {
            (Some(ratio), "max_ratio") => {
                let than = baseline.map_or_else(|| "?".to_owned(), |baseline| self.shown(baseline.value));
                format!("{ratio}x of {than}")
            }
            (Some(limit), _) => self.shown(limit),
            (None, _) => return format!("{} {shown} ({beside})", self.gate),
        };
        let below = matches!(limit.1, "min" | "hard_min");
        let sign = match (verdict, below) {
            (Verdict::Pass, false) => "≤",
            (Verdict::Pass, true) => "≥",
            (_, false) => ">",
            (_, true) => "<",
        };
        format!("{} {shown} {sign} {bound} ({beside})", self.gate)
    }

    fn shown(&self, value: f64) -> String {
        match self.threshold.metric {
            Metric::Latency(_) => seconds(value),
            Metric::RequestRate => format!("{value:.1}/s"),
            _ => percent(value),
        }
    }
}
