//! Bad events: the tests that roll back, hold a limit, and prove that a canary is good enough.
//!
//! All three are e-processes (see the [module's page](super)): they may be looked at every tick, and acted upon at any.
//!
//! - [`Regression`] against `p_c <= r p_s + d`: rejects when the canary is worse than its margin. It lives for the whole
//!   rollout; a change of stage is told to it and costs nothing of its level.
//! - [`AbsoluteLimit`] against `p <= q` for one version: rejects when a rate is above a limit, whatever the other's is.
//! - [`Promotion`] against `p_c >= r p_s + d`: rejects when the canary is proven to be within its margin. It begins anew in
//!   each stage, because each stage must be passed by itself.
//!
//! A regression's wealth lies on nine bets and, a fifth of it, on cash that is not bet and so is not lost. A canary that was
//! good for hours has emptied the bets on it being bad. Two things keep it watchful: after each tick with
//! bad events a little of the wealth, less as events add up, is spread over the prior again (the share of Herbster and
//! Warmuth 1998, with the decreasing rate `m/(M + m)`), and at a change of stage half of it is. Both only move wealth between
//! bets, so E stays what it was at that moment, and what it was stays valid.

use serde::{Deserialize, Serialize};

use super::{
    Arm, Margin, Tick,
    bets::{RATIOS, STAKES, log_e_above, log_growth, promotion_factors, rollback_factors},
    exact::Exact,
    numeric::{log_mean_exp, log_sum_exp, real},
    p_value, rejection,
};

/// The wealth that is never bet.
pub(super) const CASH: f64 = 0.2;
/// Each bet's part of the rest.
pub(super) const BET: f64 = (1.0 - CASH) / RATIOS.len() as f64;
/// Bad events after which a new one moves as much as it leaves, at first. Few enough that a canary which breaks late is
/// found soon, and enough that moving costs little.
const SHARE_EVENTS: u64 = 500;
/// Cash and the bets.
const HOLDINGS: usize = RATIOS.len() + 1;

/// Whether the canary is worse than its margin: an e-process against `p_c <= r p_s + d`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    margin: Margin,
    /// Cash first, then the bets in the order of the grid.
    log_wealth: [Exact; HOLDINGS],
    /// Bad events since the last change of stage, and the first 500.
    events: u64,
    max_log_e: Exact,
}

/// Whether the canary is proven to keep its margin in this stage: an e-process against `p_c >= r p_s + d`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Promotion {
    margin: Margin,
    log_wealth: [Exact; STAKES.len()],
}

/// Whether one version's bad rate is above a limit: an e-process against `p <= q`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AbsoluteLimit {
    limit: Exact,
    arm: Arm,
    max_log_e: Exact,
}

/// A limit that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("limit {0} is not between 0 and 1")]
pub struct LimitError(pub f64);

// === impl Regression ===

impl Regression {
    /// A test that has seen nothing: E is 1.
    #[must_use]
    pub fn new(margin: Margin) -> Self {
        let log_wealth = std::array::from_fn(|holding| Exact(prior(holding).ln()));
        Self { margin, log_wealth, events: SHARE_EVENTS, max_log_e: Exact(0.0) }
    }

    /// The margin that is tested.
    #[must_use]
    pub fn margin(&self) -> Margin {
        self.margin
    }

    /// Takes in the units of a tick. A tick without units, or whose units were not drawn, changes nothing.
    pub fn observe(&mut self, tick: &Tick) {
        if !tick.is_informative() {
            return;
        }
        let margin = (self.margin.ratio(), self.margin.difference());
        for (holding, times) in self.log_wealth.iter_mut().skip(1).zip(RATIOS) {
            holding.0 += log_growth(rollback_factors(tick.weight, margin, times), tick);
        }
        let bad = tick.bad();
        if bad > 0 {
            let total = real(self.events.saturating_add(bad));
            self.spread(real(self.events) / total, real(bad) / total);
            self.events = self.events.saturating_add(bad);
        }
        self.max_log_e = Exact(self.max_log_e.0.max(self.log_e()));
    }

    /// Tells the test that the canary's weight or stage changed: half of the wealth is spread over all bets again. E does
    /// not change.
    pub fn stage_change(&mut self) {
        self.spread(0.5, 0.5);
        self.events = SHARE_EVENTS;
    }

    /// `ln E` now.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        log_sum_exp(self.log_wealth.map(|wealth| wealth.0))
    }

    /// The largest `ln E` so far, at least 0.
    #[must_use]
    pub fn max_log_e(&self) -> f64 {
        self.max_log_e.0
    }

    /// The anytime p-value: the smallest level at which the test has rejected so far.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        p_value(self.max_log_e.0)
    }

    /// Whether the test has rejected at level `alpha` at any time: the canary is worse than its margin.
    #[must_use]
    pub fn rejects(&self, alpha: f64) -> bool {
        self.max_log_e.0 >= rejection(alpha)
    }

    /// Keeps a part of each holding's wealth, and spreads another part of all wealth over the prior. They sum to 1.
    fn spread(&mut self, kept: f64, moved: f64) {
        let (kept, moved) = (kept.ln(), moved.ln() + self.log_e());
        for (at, holding) in self.log_wealth.iter_mut().enumerate() {
            holding.0 = log_sum_exp([kept + holding.0, moved + prior(at).ln()]);
        }
    }
}

fn prior(holding: usize) -> f64 {
    if holding == 0 { CASH } else { BET }
}

// === impl Promotion ===

impl Promotion {
    /// A test that has seen nothing: E is 1.
    ///
    /// With a difference of 0 and no bad events E stays 1: that nothing is worse than nothing cannot be proven. Errors
    /// want a difference above 0.
    #[must_use]
    pub fn new(margin: Margin) -> Self {
        Self { margin, log_wealth: [Exact(0.0); STAKES.len()] }
    }

    /// Takes in the units of a tick. A tick without units, or whose units were not drawn, changes nothing.
    pub fn observe(&mut self, tick: &Tick) {
        if !tick.is_informative() {
            return;
        }
        let margin = (self.margin.ratio(), self.margin.difference());
        for (holding, stake) in self.log_wealth.iter_mut().zip(STAKES) {
            holding.0 += log_growth(promotion_factors(tick.weight, margin, stake), tick);
        }
    }

    /// Begins anew: the next stage must be passed by itself.
    pub fn restart(&mut self) {
        *self = Self::new(self.margin);
    }

    /// `ln E` now.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        log_mean_exp(self.log_wealth.map(|wealth| wealth.0))
    }

    /// Whether the canary is proven, at level `alpha`, to keep its margin as of now.
    #[must_use]
    pub fn passes(&self, alpha: f64) -> bool {
        self.log_e() >= rejection(alpha)
    }
}

// === impl AbsoluteLimit ===

impl AbsoluteLimit {
    /// The default limit of a bad rate.
    pub const DEFAULT: Self =
        Self { limit: Exact(0.05), arm: Arm { units: 0, bad: 0 }, max_log_e: Exact(0.0) };

    /// A test against a rate of at most `limit` that has seen nothing: E is 1.
    ///
    /// # Errors
    /// When the limit is not strictly between 0 and 1.
    pub fn new(limit: f64) -> Result<Self, LimitError> {
        if limit > 0.0 && limit < 1.0 {
            Ok(Self { limit: Exact(limit), ..Self::DEFAULT })
        } else {
            Err(LimitError(limit))
        }
    }

    /// The limit that is tested.
    #[must_use]
    pub fn limit(&self) -> f64 {
        self.limit.0
    }

    /// What it has seen.
    #[must_use]
    pub fn arm(&self) -> Arm {
        self.arm
    }

    /// Takes in the units of one version. They need not have been drawn: this version is compared with a number.
    pub fn observe(&mut self, arm: Arm) {
        self.arm += arm;
        self.max_log_e = Exact(self.max_log_e.0.max(self.log_e()));
    }

    /// `ln E` now.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        log_e_above(real(self.arm.bad), real(self.arm.units), self.limit.0)
    }

    /// The anytime p-value: the smallest level at which the test has rejected so far.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        p_value(self.max_log_e.0)
    }

    /// Whether the test has rejected at level `alpha` at any time: the rate is above the limit.
    #[must_use]
    pub fn rejects(&self, alpha: f64) -> bool {
        self.max_log_e.0 >= rejection(alpha)
    }
}
