//! Threshold gates: a value against a limit, with a count of failed checks.
//!
//! This is what most progressive-delivery tools do, and it is easy to reason about: so many checks in a row above the limit,
//! and the canary goes back. It gives **no error guarantee**. How often a healthy canary is rolled back depends on how close
//! the limit is to its usual rate, on the traffic, and on how long the rollout takes; a regression below the limit is never
//! found. For guarantees there are the tests of [`errors`](super::errors) and [`latency`](super::latency).

use serde::{Deserialize, Serialize};

/// A gate's limits and how many failed checks it takes. Ratios, rates and seconds alike: the value's unit is the limits'.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThresholdConfig {
    /// The largest value that passes.
    pub max: Option<f64>,
    /// The smallest value that passes.
    pub min: Option<f64>,
    /// The largest multiple of the baseline's value that passes; not applied when the baseline has no value.
    pub max_ratio: Option<f64>,
    /// A value above this rolls back at once.
    pub hard_max: Option<f64>,
    /// Failed checks for a rollback, at least 1.
    pub threshold: u32,
    /// Whether failed checks must be in a row: a passed one forgets them. Flagger never forgets.
    pub consecutive: bool,
    /// Requests below which a check has no data.
    pub min_requests: u64,
    /// What a check without data is.
    pub on_no_data: NoData,
}

/// What a check without enough data counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// As none: neither passed nor failed, and the rollout waits.
    #[default]
    Hold,
    /// As passed.
    Pass,
    /// As failed.
    Fail,
}

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// The canary's requests that the value comes from.
    pub requests: u64,
    /// The canary's value; none, or not a number, is no data.
    pub value: Option<f64>,
    /// The baseline's value, where there is one.
    pub baseline: Option<f64>,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Within the limits.
    Pass,
    /// Too little data to say.
    Hold,
    /// Beyond a limit, not often enough yet.
    Fail(Breach),
    /// Beyond a limit often enough, or beyond the hard limit: roll back.
    RollBack(Breach),
}

/// Which limit was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breach {
    /// Above the maximum.
    Max,
    /// Below the minimum.
    Min,
    /// Above the multiple of the baseline.
    MaxRatio,
    /// Above the hard maximum.
    HardMax,
    /// No data, where that fails.
    NoData,
}

/// A threshold gate's memory: how many checks failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ThresholdGate {
    failed: u32,
}

// === impl ThresholdConfig ===

impl Default for ThresholdConfig {
    /// No limits; three failed checks in a row, at least 50 requests each.
    fn default() -> Self {
        Self {
            max: None,
            min: None,
            max_ratio: None,
            hard_max: None,
            threshold: 3,
            consecutive: true,
            min_requests: 50,
            on_no_data: NoData::Hold,
        }
    }
}

impl ThresholdConfig {
    /// The limit that a value breaks, the hard one first.
    fn breach(&self, value: f64, baseline: Option<f64>) -> Option<Breach> {
        let above = |limit: Option<f64>| limit.is_some_and(|limit| value > limit);
        let multiple = self.max_ratio.zip(baseline).map(|(ratio, baseline)| ratio * baseline);
        if above(self.hard_max) {
            Some(Breach::HardMax)
        } else if above(self.max) {
            Some(Breach::Max)
        } else if self.min.is_some_and(|limit| value < limit) {
            Some(Breach::Min)
        } else if above(multiple) {
            Some(Breach::MaxRatio)
        } else {
            None
        }
    }
}

// === impl ThresholdGate ===

impl ThresholdGate {
    /// Checks that failed and count.
    #[must_use]
    pub fn failed(self) -> u32 {
        self.failed
    }

    /// Takes in one check. The caller checks once per interval.
    ///
    /// Over a baseline of 0 any value above 0 is beyond every ratio; where that is too strict, leave the baseline out until
    /// it has enough requests.
    pub fn check(&mut self, config: &ThresholdConfig, measurement: Measurement) -> Check {
        let value = measurement.value.filter(|value| !value.is_nan());
        let breach = match value {
            Some(value) if measurement.requests >= config.min_requests => {
                config.breach(value, measurement.baseline)
            }
            _ => match config.on_no_data {
                NoData::Hold => return Check::Hold,
                NoData::Pass => None,
                NoData::Fail => Some(Breach::NoData),
            },
        };
        let Some(breach) = breach else {
            if config.consecutive {
                self.failed = 0;
            }
            return Check::Pass;
        };
        self.failed = self.failed.saturating_add(1);
        if breach == Breach::HardMax || self.failed >= config.threshold {
            Check::RollBack(breach)
        } else {
            Check::Fail(breach)
        }
    }

    /// Forgets failed checks: a window begins with a change of weight.
    pub fn restart(&mut self) {
        self.failed = 0;
    }
}
