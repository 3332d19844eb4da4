//! Intervals for people: how much worse or better the canary is, as far as the data say.
//!
//! Each interval holds the true value with probability `1 - alpha` at all times together, so it may be shown live. They are
//! tests turned round: what is not rejected is inside. The difference comes from the tests that decide (Lindon and Malek
//! 2022); the ratio and the rate come from Beta mixtures of their likelihood, whose prior is Jeffreys' unless another is
//! given (Robbins 1970).

use super::{
    Arm, Tick,
    bets::{log_e_promotion, log_e_rollback},
    numeric::{boundary, divergence, mixture_excess, real},
    rejection,
};

/// Jeffreys' prior for a rate.
const JEFFREYS: f64 = 0.5;
/// Ratios are sought between `e^-60` and `e^60`: beyond that nothing is measured.
const FAR: f64 = 60.0;

/// A range that holds a value. Both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub lower: f64,
    /// Its upper end; infinite where nothing bounds it.
    pub upper: f64,
}

/// What is believed of the allocation of events before any is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Prior {
    /// Beta(1/2, 1/2): nothing in particular. For regressions, which may be a hundredfold.
    Jeffreys,
    /// Beta(k w, k (1 - w)): close to no difference, the closer the larger k. For experiments, whose lifts are small.
    AroundEqual(f64),
}

/// The interval of `p_c - ratio * p_s` over stages of constant weight; `alpha / 2` for each side.
///
/// Its ends are where the tests of [`errors`](super::errors), without cash and sharing, just reject `p_c <= ratio p_s + d`
/// and `p_c >= ratio p_s + d`. The ratio is above 0. The upper end is what a rollout has ruled out so far: a canary worse
/// than stable by more than that.
#[must_use]
pub fn difference(stages: &[Tick], ratio: f64, alpha: f64) -> Interval {
    let enough = rejection(alpha / 2.0);
    // Just inside of the range that a difference can have, where all bets are defined.
    let (least, most) = (-ratio * (1.0 - 1e-9), 1.0 - 1e-9);
    let too_low = |d: f64| log_e_rollback(stages, (ratio, d)) >= enough;
    let not_too_high = |d: f64| log_e_promotion(stages, (ratio, d)) < enough;
    Interval {
        lower: if too_low(least) { boundary(least, most, too_low) } else { -ratio },
        upper: if not_too_high(most) { 1.0 } else { boundary(least, most, not_too_high) },
    }
}

/// The interval of `p_c / p_s` over stages of constant weight, from whom the bad events belong to.
///
/// At ratio `rho` a bad event is the canary's with probability `theta = w rho/(w rho + 1 - w)`; inside is every `rho` whose
/// likelihood is at least `alpha` times that of the mixture. Without bad events it is zero to infinity.
#[must_use]
pub fn ratio(stages: &[Tick], prior: Prior, alpha: f64) -> Interval {
    let stages: Vec<Allocation> =
        stages.iter().filter(|stage| stage.is_informative() && stage.bad() > 0).map(Allocation::of).collect();
    let sum = |part: &dyn Fn(&Allocation) -> f64| stages.iter().map(part).sum::<f64>();
    let excess = sum(&|stage| stage.excess(prior));
    let inside = |log: f64| -sum(&|stage| stage.deficit(log)) >= excess - rejection(alpha);
    let mode = boundary(-FAR, FAR, |log| sum(&|stage| stage.slope(log)) > 0.0);
    let (canary, stable) = (sum(&|stage| stage.events[0]), sum(&|stage| stage.events[1]));
    Interval {
        lower: if canary > 0.0 { boundary(-FAR, mode, |log| !inside(log)).exp() } else { 0.0 },
        upper: if stable > 0.0 { boundary(mode, FAR, inside).exp() } else { f64::INFINITY },
    }
}

/// The interval of one version's bad rate; zero to one without units.
#[must_use]
pub fn rate(arm: Arm, alpha: f64) -> Interval {
    if arm.units == 0 {
        return Interval { lower: 0.0, upper: 1.0 };
    }
    let (n, bad, good) = (real(arm.units), real(arm.bad), real(arm.units.saturating_sub(arm.bad)));
    let seen = [bad / n, good / n];
    let most = (rejection(alpha) - mixture_excess([JEFFREYS; 2], [bad, good])) / n;
    let inside = |p: f64| divergence(seen, [p, 1.0 - p]) <= most;
    Interval {
        lower: if bad > 0.0 { boundary(0.0, seen[0], |p| !inside(p)) } else { 0.0 },
        upper: if good > 0.0 { boundary(seen[0], 1.0, inside) } else { 1.0 },
    }
}

/// Whom the bad events of a stage belong to.
struct Allocation {
    /// The canary's and stable's.
    events: [f64; 2],
    weight: f64,
}

// === impl Allocation ===

impl Allocation {
    fn of(stage: &Tick) -> Self {
        Self { events: [real(stage.canary.bad), real(stage.stable.bad)], weight: stage.weight }
    }

    fn total(&self) -> f64 {
        self.events[0] + self.events[1]
    }

    /// The probabilities that a bad event is the canary's and stable's, at a log-ratio.
    fn theta(&self, log_ratio: f64) -> [f64; 2] {
        let odds = log_ratio + self.weight.ln() - (-self.weight).ln_1p();
        [1.0 / (1.0 + (-odds).exp()), 1.0 / (1.0 + odds.exp())]
    }

    /// By how much the log-likelihood at a log-ratio falls short of the largest that this stage allows.
    fn deficit(&self, log_ratio: f64) -> f64 {
        let total = self.total();
        total * divergence(self.events.map(|events| events / total), self.theta(log_ratio))
    }

    /// The slope of the log-likelihood.
    fn slope(&self, log_ratio: f64) -> f64 {
        let theta = self.theta(log_ratio);
        self.events[0] * theta[1] - self.events[1] * theta[0]
    }

    /// The mixture's log-likelihood, less the largest that this stage allows.
    fn excess(&self, prior: Prior) -> f64 {
        let prior = match prior {
            Prior::Jeffreys => [JEFFREYS; 2],
            Prior::AroundEqual(weight) => [weight * self.weight, weight * (1.0 - self.weight)],
        };
        mixture_excess(prior, self.events)
    }
}
