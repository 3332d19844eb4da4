//! Sample ratio: did units arrive at the versions as the weights said?
//!
//! Every test here rests on the weights. If 5 % were to go to the canary and 7 % did, the tests are void, whatever the cause:
//! a cache in front, a bot with one cookie, a version that loses its requests before they are counted (Fabijan et al. 2019
//! list many). So this is asked first. The e-value is a Dirichlet mixture around the weights against the weights (Lindon and
//! Malek 2022), multiplied over stages; it is valid at all times, and it has a level of its own.

use serde::{Deserialize, Serialize};

use super::{
    exact::Exact,
    numeric::{excess_term, real, stirling_rest},
    rejection,
};

/// How close to the weights the mixture is, in units: it is most sensitive to shifts that a few hundred units show.
const PRIOR_UNITS: f64 = 100.0;
/// The part of all units below which a version counts as having no weight; weights are multiples of 0.001 %.
const LEAST_SHARE: f64 = 1e-9;
/// The level at which weights count as wrong: one false alarm in a thousand rollouts.
pub const ALPHA: f64 = 0.001;

/// The sample-ratio test of a canary against stable over a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SampleRatio {
    /// `ln E` of the stages that are over.
    finished: Exact,
    weight: Exact,
    canary: u64,
    stable: u64,
}

/// `ln E` of one stage: counts of units against the weights with which they were drawn.
///
/// `lnGamma(A) - lnGamma(A + n) + sum(lnGamma(a_i + n_i) - lnGamma(a_i) - n_i ln w_i)` with `a_i = 100 w_i`. Weights need
/// not sum to 1. A version without weight is left out, with its units; with fewer than two others nothing is said.
#[must_use]
pub fn log_e(arms: &[(f64, u64)]) -> f64 {
    let least = LEAST_SHARE * arms.iter().map(|(weight, _)| weight.max(0.0)).sum::<f64>();
    let arms: Vec<(f64, f64)> = arms
        .iter()
        .filter(|(weight, _)| *weight > least)
        .map(|(weight, units)| (*weight, real(*units)))
        .collect();
    let weights: f64 = arms.iter().map(|(weight, _)| weight).sum();
    let units: f64 = arms.iter().map(|(_, units)| units).sum();
    if arms.len() < 2 {
        return 0.0;
    }
    // Stirling's formula for both Gamma quotients: the large parts are a divergence of the mixed counts from the weights.
    let total = PRIOR_UNITS + units;
    let mut log_e = shape(PRIOR_UNITS) - shape(total);
    for (weight, count) in arms {
        let share = weight / weights;
        let prior = PRIOR_UNITS * share;
        let tilt = (count - units * share) / (total * share);
        log_e += total * share * excess_term(tilt) + shape(prior + count) - shape(prior);
    }
    log_e
}

/// The part of `lnGamma(z)` beside `z ln z - z`, less a constant.
fn shape(z: f64) -> f64 {
    stirling_rest(z) - 0.5 * z.ln()
}

// === impl SampleRatio ===

impl SampleRatio {
    /// Takes in units that entered the analysis while the canary's weight was `weight`. Another weight than before is
    /// another stage. Units with a weight outside of (0, 1) were not drawn, and are left out.
    pub fn observe(&mut self, weight: f64, canary: u64, stable: u64) {
        if !(weight > 0.0 && weight < 1.0) {
            return;
        }
        if weight != self.weight.0 {
            *self = Self { finished: Exact(self.log_e()), weight: Exact(weight), canary: 0, stable: 0 };
        }
        self.canary = self.canary.saturating_add(canary);
        self.stable = self.stable.saturating_add(stable);
    }

    /// `ln E` now, over all stages.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.finished.0 + log_e(&[(self.weight.0, self.canary), (1.0 - self.weight.0, self.stable)])
    }

    /// Whether the weights are wrong at level `alpha`, as of now.
    #[must_use]
    pub fn rejects(&self, alpha: f64) -> bool {
        self.log_e() >= rejection(alpha)
    }
}
