//! Power forecast: how much traffic it takes until a given regression is seen.
//!
//! The tests decide by evidence, not by time, so a step can be too short to see what it is meant to catch. A forecast says so
//! beforehand. It is an approximation, not a bound: the wealth of each bet is taken to grow at its expected rate per unit,
//! `g = w p_c ln m_c + v p_s ln m_s + (1 - w p_c - v p_s) ln m_0`, and the test to reject when their mixture
//! `sum(prior e^(n g))` reaches `1/alpha`. It leaves out chance, which lets half of all rollouts be earlier, and what
//! sharing costs, which is little. Because evidence arrives with the canary's bad events, the number of those is rounded up
//! to a whole one, `k`, and the median time of the k-th event, `(k - 1/3)/rate`, is the answer. Against the medians of
//! simulations, with bad rates of 0 to 100 % and slowdowns of 1.5 and 2, it is within a factor of 1.4.

use std::time::Duration;

use super::{
    Margin,
    bets::{LIMIT_STAKES, LogFactors, RATIOS, rollback_factors},
    errors::{BET, CASH},
    latency::{Latencies, Layout, QUANTILES, Thresholds},
    numeric::{boundary, log_sum_exp, real},
    rejection,
};

/// A regression to be seen by comparing with stable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// The probability with which a unit is drawn to the canary, within (0, 1).
    pub weight: f64,
    /// Stable's bad rate, 0 to 1.
    pub stable: f64,
    /// The canary's bad rate, 0 to 1.
    pub canary: f64,
    /// What the canary may be worse.
    pub margin: Margin,
    /// The level of the rollout; for one gate among several, multiplied with its weight in the combination.
    pub alpha: f64,
}

/// A canary slower than stable by a factor throughout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slowdown {
    /// The probability with which a unit is drawn to the canary, within (0, 1).
    pub weight: f64,
    /// How many times slower the canary is.
    pub factor: f64,
    /// How many times slower it may be.
    pub tolerance: f64,
    /// The level of the rollout; for one gate among several, multiplied with its weight in the combination.
    pub alpha: f64,
}

/// How much traffic detection takes, in the median.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Units of both versions together.
    pub units: f64,
}

/// A bet: its part of the wealth and its expected log growth per unit.
type Bet = (f64, f64);

// === impl Forecast ===

impl Forecast {
    /// How long it takes at a rate of units of both versions; the largest duration for a rate of 0.
    #[must_use]
    pub fn time(self, units_per_second: f64) -> Duration {
        Duration::try_from_secs_f64(self.units / units_per_second).unwrap_or(Duration::MAX)
    }
}

/// The forecast for bad units compared with stable's; none if the test would never see it.
#[must_use]
pub fn regression(scenario: &Scenario) -> Option<Forecast> {
    let bets = against_stable(scenario)?;
    Some(whole_events(crossing(&bets, scenario.alpha)?, scenario.weight * scenario.canary))
}

/// The forecast for the canary's bad units compared with a limit within (0, 1); none if the test would never see it.
#[must_use]
pub fn absolute(weight: f64, canary: f64, limit: f64, alpha: f64) -> Option<Forecast> {
    let growth =
        |stake: f64| canary * (stake * (1.0 - limit) / limit).ln_1p() + (1.0 - canary) * (-stake).ln_1p();
    let bets = LIMIT_STAKES.map(|stake| (1.0 / LIMIT_STAKES.len() as f64, weight * growth(stake)));
    Some(whole_events(crossing(&bets, alpha)?, weight * canary))
}

/// The forecast for a gate at one quantile, given how stable's durations are distributed; none if it would never see it.
#[must_use]
pub fn quantile(slowdown: &Slowdown, stable: &Latencies, quantile: f64) -> Option<Forecast> {
    let scenario = slow_units(slowdown, stable, quantile)?;
    let bets = against_stable(&scenario)?;
    Some(whole_events(crossing(&bets, slowdown.alpha)?, scenario.weight * scenario.canary))
}

/// The forecast for the gate of the whole distribution; none if it would never see it.
#[must_use]
pub fn distribution(slowdown: &Slowdown, stable: &Latencies) -> Option<Forecast> {
    let mut bets = Vec::with_capacity(QUANTILES.len() * (RATIOS.len() + 1));
    for quantile in QUANTILES {
        let scenario = slow_units(slowdown, stable, quantile)?;
        let share = 1.0 / QUANTILES.len() as f64;
        bets.extend(against_stable(&scenario)?.map(|(part, growth)| (part * share, growth)));
    }
    Some(Forecast { units: crossing(&bets, slowdown.alpha)? })
}

/// How long a threshold gate takes from the first bad check: as many intervals as failed checks it needs. That holds for a
/// value beyond its limit in every check; one near the limit fails only some, and no such forecast is possible.
#[must_use]
pub fn threshold(interval: Duration, threshold: u32) -> Duration {
    interval.saturating_mul(threshold)
}

/// What a canary slower by a factor is at a threshold: a rate of slow units for each version.
fn slow_units(slowdown: &Slowdown, stable: &Latencies, quantile: f64) -> Option<Scenario> {
    let layout = Layout::RECORDED;
    let at = Thresholds::of(layout, stable, quantile, slowdown.tolerance)?;
    let reached = layout.scaled(at.canary, 1.0 / slowdown.factor);
    let total = real(stable.total());
    Some(Scenario {
        weight: slowdown.weight,
        stable: real(stable.above(at.stable)) / total,
        canary: real(stable.above(reached)) / total,
        margin: Margin::NONE,
        alpha: slowdown.alpha,
    })
}

/// Cash and the bets of a regression test, with what each is expected to grow per unit.
fn against_stable(scenario: &Scenario) -> Option<[Bet; RATIOS.len() + 1]> {
    let Scenario { weight: w, stable, canary, margin, .. } = *scenario;
    if !(w > 0.0 && w < 1.0) {
        return None;
    }
    let rates = [w * canary, (1.0 - w) * stable, 1.0 - w * canary - (1.0 - w) * stable];
    let growth =
        |factors: LogFactors| factors.into_iter().zip(rates).map(|(factor, rate)| factor * rate).sum();
    let mut bets = [(CASH, 0.0); RATIOS.len() + 1];
    for (bet, times) in bets.iter_mut().skip(1).zip(RATIOS) {
        *bet = (BET, growth(rollback_factors(w, (margin.ratio(), margin.difference()), times)));
    }
    Some(bets)
}

/// Units after which the mixture reaches `1/alpha`; none if no bet grows.
///
/// The mixture's logarithm is convex in the units and starts at 0, so it crosses a positive level once at most.
fn crossing(bets: &[Bet], alpha: f64) -> Option<f64> {
    let enough = rejection(alpha);
    let alone = |(part, growth): &Bet| (*growth > 0.0).then(|| (enough - part.ln()) / growth);
    let most = bets.iter().filter_map(alone).fold(f64::INFINITY, f64::min);
    let mixture = |units: f64| log_sum_exp(bets.iter().map(move |(part, growth)| part.ln() + units * growth));
    most.is_finite().then(|| boundary(0.0, most, |units| mixture(units) < enough))
}

/// The median time of the whole canary event that completes the evidence, in units.
fn whole_events(units: f64, events_per_unit: f64) -> Forecast {
    let events = (units * events_per_unit).ceil().max(1.0);
    Forecast { units: (events - 1.0 / 3.0) / events_per_unit }
}
