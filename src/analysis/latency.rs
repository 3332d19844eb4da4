//! Latency: is the canary slower than stable, at a quantile or throughout?
//!
//! The null hypothesis is that the canary is at most `rho` times slower: `S_c(rho x) <= S_s(x)`, where `S` is the part of
//! units that take longer. At one time `x` this is a question about bad units: stable's are those above `x`, the canary's
//! those above `rho x`, and the tests of [`errors`](super::errors) answer it with `r = 1` and `d = 0` (Lindon, Sanden and
//! Shirikian 2022, arXiv 2205.14762). `x` is one of stable's quantiles, as known *before* the units that are counted:
//! thresholds are fixed at a change of stage and every ten minutes. A threshold may change while a test runs, because
//! each tick is a bet of its own.
//!
//! Times are in buckets. Stable's threshold is the upper end of bucket `i`; the canary's is bucket `j`, in which `rho` times
//! that lies. What falls into `j` itself counts as fast when the question is whether to roll back, and as slow when it is
//! whether to promote, so that the width of buckets is never to the canary's disadvantage in one or advantage in the
//! other.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Arm, Margin, Tick,
    errors::{Promotion, Regression},
    exact::Exact,
    numeric::{log_mean_exp, real},
    rejection,
};
use crate::telemetry::histogram::{self, HistogramSnapshot};

/// Samples of stable that a threshold needs at least.
const MIN_SAMPLES: f64 = 200.0;
/// And at least so many beyond the quantile: 1,000 samples for p99.
const MIN_BEYOND: f64 = 10.0;
/// The quantiles that stand for a distribution.
pub const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// How durations are put into buckets. Both functions rise, and `index(highest(i)) == i`.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// The bucket of a duration.
    pub index: fn(u64) -> usize,
    /// The largest duration of a bucket.
    pub highest: fn(usize) -> u64,
}

/// Counts by bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    /// In rising order, none of them zero.
    counts: Vec<(usize, u64)>,
    total: u64,
}

/// Beyond which buckets a unit is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Units of stable above this bucket are slow.
    pub stable: usize,
    /// Units of the canary above this bucket are slow; those in it too where promotion is the question.
    pub canary: usize,
}

/// Whether the canary is slower at one quantile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QuantileGate {
    quantile: Exact,
    tolerance: Exact,
    thresholds: Option<Thresholds>,
    regression: Regression,
    promotion: Promotion,
}

/// Whether the canary is slower anywhere: its E is the mean of those of three quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DistributionGate {
    gates: [QuantileGate; QUANTILES.len()],
}

/// A latency gate that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum LatencyError {
    /// The quantile is out of range.
    #[error("quantile {0} is not between 0 and 1")]
    Quantile(f64),
    /// The tolerance is out of range.
    #[error("tolerance {0} is not between 0.01 and 1000")]
    Tolerance(f64),
}

// === impl Layout ===

impl Layout {
    /// That of the recorded histograms, in nanoseconds.
    pub const RECORDED: Self = Self { index: histogram::bucket, highest: histogram::bucket_highest };

    /// The bucket of `factor` times the largest duration of a bucket.
    #[must_use]
    pub fn scaled(self, bucket: usize, factor: f64) -> usize {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative; what is too large becomes the largest number, which is in the last bucket"
        )]
        (self.index)((factor * real((self.highest)(bucket))) as u64)
    }
}

// === impl Latencies ===

impl From<&HistogramSnapshot> for Latencies {
    fn from(histogram: &HistogramSnapshot) -> Self {
        histogram.indexed().collect()
    }
}

impl FromIterator<(usize, u64)> for Latencies {
    fn from_iter<I: IntoIterator<Item = (usize, u64)>>(counts: I) -> Self {
        let mut merged = BTreeMap::new();
        for (bucket, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            *merged.entry(bucket).or_default() += count;
        }
        let total = merged.values().sum();
        Self { counts: merged.into_iter().collect(), total }
    }
}

impl FromIterator<Duration> for Latencies {
    /// Single durations, in the buckets of recorded histograms.
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        durations.into_iter().map(|duration| (recorded_bucket(duration), 1)).collect()
    }
}

impl Latencies {
    /// How many durations there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The buckets that are not empty, in rising order.
    pub fn buckets(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts.iter().copied()
    }

    /// Durations in buckets above this one.
    #[must_use]
    pub fn above(&self, bucket: usize) -> u64 {
        self.buckets().filter(|(at, _)| *at > bucket).map(|(_, count)| count).sum()
    }

    /// Durations in this bucket and above.
    #[must_use]
    pub fn at_or_above(&self, bucket: usize) -> u64 {
        self.buckets().filter(|(at, _)| *at >= bucket).map(|(_, count)| count).sum()
    }

    /// The bucket of the `quantile` by nearest rank, that is of rank `max(1, ceil(quantile * total))`; none when empty.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<usize> {
        let rank = (quantile * real(self.total) - 1e-9).ceil().max(1.0);
        let mut seen = 0;
        self.buckets().find_map(|(at, count)| {
            seen += count;
            (real(seen) >= rank).then_some(at)
        })
    }
}

// === impl Thresholds ===

impl Thresholds {
    /// Thresholds at stable's `quantile` for a canary that may be `tolerance` times slower; none without data.
    #[must_use]
    pub fn of(layout: Layout, stable: &Latencies, quantile: f64, tolerance: f64) -> Option<Self> {
        let stable = stable.quantile(quantile)?;
        Some(Self { stable, canary: layout.scaled(stable, tolerance) })
    }

    /// Whether a unit of stable is slow.
    #[must_use]
    pub fn is_stable_slow(self, duration: Duration) -> bool {
        recorded_bucket(duration) > self.stable
    }

    /// Whether a unit of the canary is slow where the question is whether to roll back.
    #[must_use]
    pub fn is_canary_slow(self, duration: Duration) -> bool {
        recorded_bucket(duration) > self.canary
    }

    /// Whether a unit of the canary may be slow, which is what counts where the question is whether to promote.
    #[must_use]
    pub fn may_canary_be_slow(self, duration: Duration) -> bool {
        recorded_bucket(duration) >= self.canary
    }
}

fn recorded_bucket(duration: Duration) -> usize {
    (Layout::RECORDED.index)(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

// === impl QuantileGate ===

impl QuantileGate {
    /// A gate at a quantile (0 to 1, as 0.99) for a canary that may be `tolerance` times slower (1 is not at all).
    ///
    /// # Errors
    /// When one of them is out of range.
    pub fn new(quantile: f64, tolerance: f64) -> Result<Self, LatencyError> {
        if !(quantile > 0.0 && quantile < 1.0) {
            return Err(LatencyError::Quantile(quantile));
        }
        if !(0.01..=1000.0).contains(&tolerance) {
            return Err(LatencyError::Tolerance(tolerance));
        }
        Ok(Self {
            quantile: Exact(quantile),
            tolerance: Exact(tolerance),
            thresholds: None,
            regression: Regression::new(Margin::NONE),
            promotion: Promotion::new(Margin::NONE),
        })
    }

    /// Which quantile.
    #[must_use]
    pub fn quantile(&self) -> f64 {
        self.quantile.0
    }

    /// The thresholds in force; none until stable had enough units, and until then the gate learns nothing.
    #[must_use]
    pub fn thresholds(&self) -> Option<Thresholds> {
        self.thresholds
    }

    /// Samples of stable that thresholds need: 200, and so many that ten are beyond the quantile.
    #[must_use]
    pub fn min_samples(&self) -> f64 {
        (MIN_BEYOND / (1.0 - self.quantile.0)).round().max(MIN_SAMPLES)
    }

    /// Fixes the thresholds by what stable did. Of what is given here nothing may be given to
    /// [`observe`](Self::observe) afterwards: a threshold that knows its units is no bet. With too few samples the
    /// thresholds stay as they are. Returns whether they were fixed.
    pub fn fix_thresholds(&mut self, stable: &Latencies) -> bool {
        if real(stable.total()) < self.min_samples() {
            return false;
        }
        self.thresholds = Thresholds::of(Layout::RECORDED, stable, self.quantile.0, self.tolerance.0);
        true
    }

    /// Takes in the units of a tick, drawn to the canary with probability `weight`. For units that are requests.
    pub fn observe(&mut self, weight: f64, canary: &Latencies, stable: &Latencies) {
        let Some(at) = self.thresholds else { return };
        let slow_stable = Arm::new(stable.total(), stable.above(at.stable));
        let tick = |slow| Tick { canary: Arm::new(canary.total(), slow), stable: slow_stable, weight };
        self.observe_slow(&tick(canary.above(at.canary)), &tick(canary.at_or_above(at.canary)));
    }

    /// Takes in units of a tick that the caller has counted by the [thresholds](Self::thresholds), of which the bad ones are
    /// slow: for units that are users, of whom each is slow once in a stage.
    ///
    /// Of the canary `regression` has the slow ones (see [`Thresholds::is_canary_slow`]), `promotion` also those that may be
    /// (see [`Thresholds::may_canary_be_slow`]).
    pub fn observe_slow(&mut self, regression: &Tick, promotion: &Tick) {
        if self.thresholds.is_some() {
            self.regression.observe(regression);
            self.promotion.observe(promotion);
        }
    }

    /// Tells the gate that the stage changed. Thresholds are to be fixed anew.
    pub fn stage_change(&mut self) {
        self.regression.stage_change();
        self.promotion.restart();
    }

    /// The test that rolls back.
    #[must_use]
    pub fn regression(&self) -> &Regression {
        &self.regression
    }

    /// The test that promotes.
    #[must_use]
    pub fn promotion(&self) -> &Promotion {
        &self.promotion
    }
}

// === impl DistributionGate ===

impl DistributionGate {
    /// A gate for a canary that may be `tolerance` times slower (1 is not at all).
    ///
    /// # Errors
    /// When the tolerance is out of range.
    pub fn new(tolerance: f64) -> Result<Self, LatencyError> {
        let [p50, p90, p99] = QUANTILES.map(|quantile| QuantileGate::new(quantile, tolerance));
        Ok(Self { gates: [p50?, p90?, p99?] })
    }

    /// The gates of the quantiles, in the order of [`QUANTILES`].
    #[must_use]
    pub fn gates(&self) -> &[QuantileGate; QUANTILES.len()] {
        &self.gates
    }

    /// The same, to give each what was counted by its thresholds.
    pub fn gates_mut(&mut self) -> &mut [QuantileGate; QUANTILES.len()] {
        &mut self.gates
    }

    /// Fixes the thresholds of all quantiles that have enough samples; see [`QuantileGate::fix_thresholds`]. Returns whether
    /// all had.
    pub fn fix_thresholds(&mut self, stable: &Latencies) -> bool {
        self.gates.each_mut().map(|gate| gate.fix_thresholds(stable)).into_iter().all(|fixed| fixed)
    }

    /// Takes in the units of a tick, drawn to the canary with probability `weight`.
    pub fn observe(&mut self, weight: f64, canary: &Latencies, stable: &Latencies) {
        for gate in &mut self.gates {
            gate.observe(weight, canary, stable);
        }
    }

    /// Tells the gate that the stage changed. Thresholds are to be fixed anew.
    pub fn stage_change(&mut self) {
        self.gates.iter_mut().for_each(QuantileGate::stage_change);
    }

    /// `ln E` now, of the mean: large when any quantile of the canary is slower.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        log_mean_exp(self.gates.map(|gate| gate.regression.log_e()))
    }

    /// `ln E` of the promotion now, of the least: large only when all quantiles are proven to keep the tolerance.
    #[must_use]
    pub fn promotion_log_e(&self) -> f64 {
        self.gates.map(|gate| gate.promotion.log_e()).into_iter().fold(f64::INFINITY, f64::min)
    }

    /// Whether all quantiles are proven, at level `alpha`, to keep the tolerance as of now.
    #[must_use]
    pub fn passes(&self, alpha: f64) -> bool {
        self.promotion_log_e() >= rejection(alpha)
    }
}
