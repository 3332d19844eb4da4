//! Bets on who has the bad events: the wealth multipliers that every two-armed test is made of.
//!
//! A unit is drawn to the canary with probability `w` (`v = 1 - w`) and goes badly with probability `p_c` there, `p_s` at
//! stable. A bet multiplies its wealth by a factor that depends on what a unit turned out to be: bad at the canary, bad at
//! stable, or good. The factors are such that under the null hypothesis, whatever the rates are, the expected factor is at
//! most 1. So the wealth is an e-process, and a mean of several bets' wealth is one too (mixtures: Robbins 1970; betting:
//! Waudby-Smith and Ramdas; for counts: Lindon and Malek 2022, arXiv 2011.03567).
//!
//! Factors are kept as logarithms, and each is computed without subtracting nearly equal numbers and without dividing by
//! `w`, so that they are finite for every weight within (0, 1).

use serde::{Deserialize, Serialize};

use super::{Tick, exact::Exact, numeric::log_mean_exp};

/// What rollback bets on: the canary is this many times worse than allowed. A grid of factors costs a mixture 2.2 nats over
/// its best member, and between 1.25 and 1000 there is always a member close to the best bet.
pub(super) const RATIOS: [f64; 9] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];
/// What promotion bets on: the fraction of the wealth staked on the canary having no bad event.
pub(super) const STAKES: [f64; 8] = [0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95];
/// The stakes of the tests of one version against a limit.
pub(super) const LIMIT_STAKES: [f64; 8] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.95];

/// How much worse than stable a canary may be: `p_c <= ratio * p_s + difference`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    ratio: Exact,
    difference: Exact,
}

/// A margin that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum MarginError {
    /// The ratio is out of range.
    #[error("ratio {0} is not between 0.01 and 1000")]
    Ratio(f64),
    /// The difference is out of range.
    #[error("difference {0} is not between 0 and less than 1")]
    Difference(f64),
}

/// The logarithms of a bet's multipliers: canary bad, stable bad, anything else.
pub(super) type LogFactors = [f64; 3];

// === impl Margin ===

impl Margin {
    /// No worse than stable at all. Any real difference is found in the end, however small.
    pub const NONE: Self = Self { ratio: Exact(1.0), difference: Exact(0.0) };
    /// The default: a quarter more bad events than stable is no regression.
    pub const DEFAULT: Self = Self { ratio: Exact(1.25), difference: Exact(0.0) };

    /// A margin of `ratio` (0.01 to 1000) times stable's rate plus `difference` (0 to less than 1).
    ///
    /// # Errors
    /// When one of them is out of its range or not a number.
    pub fn new(ratio: f64, difference: f64) -> Result<Self, MarginError> {
        if !(0.01..=1000.0).contains(&ratio) {
            return Err(MarginError::Ratio(ratio));
        }
        if !(0.0..1.0).contains(&difference) {
            return Err(MarginError::Difference(difference));
        }
        Ok(Self { ratio: Exact(ratio), difference: Exact(difference) })
    }

    /// What stable's rate is multiplied with.
    #[must_use]
    pub fn ratio(self) -> f64 {
        self.ratio.0
    }

    /// What is added.
    #[must_use]
    pub fn difference(self) -> f64 {
        self.difference.0
    }
}

impl Default for Margin {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The bet "`times` worse than the margin `r p_s + d`" against `p_c <= r p_s + d`, for `d > -r`.
///
/// `1 - f = (w r + v)/(w r R + v)`, `lambda = f/(r/v + d)`; the multipliers are `1 + lambda (1/w - d)`, `1 - f` and
/// `1 - lambda d`.
pub(super) fn rollback_factors(w: f64, (r, d): (f64, f64), times: f64) -> LogFactors {
    let v = 1.0 - w;
    let lost = w * r * (times - 1.0);
    let denominator = (w * r * times + v) * (r / v + d);
    let lambda = lost / denominator;
    let gain = r * (times - 1.0) / denominator - lambda * d;
    [gain.ln_1p(), -(lost / (w * r + v)).ln_1p(), (-lambda * d).ln_1p()]
}

/// The bet "better than the margin `r p_s + d`" of `stake` against `p_c >= r p_s + d`, for `d` within (-r, 1).
///
/// `mu = stake/(1/w - d)`; the multipliers are `1 - stake`, `1 + mu (r/v + d)` and `1 + mu d`.
pub(super) fn promotion_factors(w: f64, (r, d): (f64, f64), stake: f64) -> LogFactors {
    let mu = stake * w / (1.0 - w * d);
    [(-stake).ln_1p(), (mu * (r / (1.0 - w) + d)).ln_1p(), (mu * d).ln_1p()]
}

/// What a bet's log-wealth changes by over the units of a tick.
pub(super) fn log_growth(factors: LogFactors, tick: &Tick) -> f64 {
    factors.into_iter().zip(tick.outcomes()).map(|(factor, count)| factor * count).sum()
}

/// The log e-value of whole stages against `p_c <= r p_s + d`: the mean of all bets, without sharing or cash. For bounds.
pub(super) fn log_e_rollback(stages: &[Tick], margin: (f64, f64)) -> f64 {
    log_mean_exp(RATIOS.map(|times| over(stages, |w| rollback_factors(w, margin, times))))
}

/// The log e-value of whole stages against `p_c >= r p_s + d`.
pub(super) fn log_e_promotion(stages: &[Tick], margin: (f64, f64)) -> f64 {
    log_mean_exp(STAKES.map(|stake| over(stages, |w| promotion_factors(w, margin, stake))))
}

fn over(stages: &[Tick], factors: impl Fn(f64) -> LogFactors) -> f64 {
    let informative = stages.iter().filter(|stage| stage.is_informative());
    informative.map(|stage| log_growth(factors(stage.weight), stage)).sum()
}

/// The log e-value of `bad` out of `units` against a rate of at most `limit`, within (0, 1).
pub(super) fn log_e_above(bad: f64, units: f64, limit: f64) -> f64 {
    let odds = (1.0 - limit) / limit;
    log_mean_exp(LIMIT_STAKES.map(|stake| bad * (stake * odds).ln_1p() + (units - bad) * (-stake).ln_1p()))
}

/// The log e-value of `bad` out of `units` against a rate of at least `limit`, within (0, 1).
pub(super) fn log_e_below(bad: f64, units: f64, limit: f64) -> f64 {
    let odds = limit / (1.0 - limit);
    log_mean_exp(LIMIT_STAKES.map(|stake| bad * (-stake).ln_1p() + (units - bad) * (stake * odds).ln_1p()))
}
