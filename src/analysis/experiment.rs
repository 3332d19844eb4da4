//! Experiments: which variant converts better, and by how much.
//!
//! The unit is a user, who converts once. As with bad events, what counts is whom the conversions belong to: of those of
//! two variants, variant i has the part `w_i/(w_i + w_j)` if they convert alike (Lindon and Malek 2022). So a [`lift`] needs
//! the weights and the conversions, not how many users came, and is valid at all times. [`difference`] is in points, for
//! people who think in points; it holds only asymptotically.

use super::{
    Arm, Tick,
    intervals::{self, Interval, Prior},
    numeric::real,
};

/// How close to no lift the prior is, in events. Lifts of a few percent are what experiments look for.
const PRIOR_EVENTS: f64 = 100.0;
/// Conversions of a pair below which it has no winner, whatever the interval says.
pub const MIN_CONVERSIONS: u64 = 20;
/// Users at which the asymptotic interval is tightest.
const TIGHTEST_AT: f64 = 5000.0;

/// A variant of an experiment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variant {
    /// The probability, or any multiple of it that all variants share, with which a user is drawn to it.
    pub weight: f64,
    /// Users drawn to it.
    pub users: u64,
    /// Those who converted.
    pub conversions: u64,
}

/// The interval of `p_i / p_j - 1`: by what part variant i converts better than variant j; valid at all times together.
///
/// Minus one to infinity while neither has conversions, or if one has no weight.
#[must_use]
pub fn lift(variant: Variant, over: Variant, alpha: f64) -> Interval {
    let pair = Tick {
        canary: Arm::new(variant.conversions, variant.conversions),
        stable: Arm::new(over.conversions, over.conversions),
        weight: variant.weight / (variant.weight + over.weight),
    };
    let ratio = intervals::ratio(&[pair], Prior::AroundEqual(PRIOR_EVENTS), alpha);
    Interval { lower: ratio.lower - 1.0, upper: ratio.upper - 1.0 }
}

/// The variant that is better than every other, by its place; none while there is none.
///
/// Its lift over each has a lower end above 0 at level `alpha / (N - 1)`, and each pair has at least
/// [`MIN_CONVERSIONS`]. So a variant that is no better than all others wins with a chance of at most `alpha`.
#[must_use]
pub fn winner(variants: &[Variant], alpha: f64) -> Option<usize> {
    if variants.len() < 2 {
        return None;
    }
    let level = alpha / (variants.len() - 1) as f64;
    let beats = |one: Variant, other: Variant| {
        one.conversions.saturating_add(other.conversions) >= MIN_CONVERSIONS
            && lift(one, other, level).lower > 0.0
    };
    (0..variants.len()).find(|&one| {
        (0..variants.len()).filter(|&other| other != one).all(|other| beats(variants[one], variants[other]))
    })
}

/// The interval of `p_i - p_j` in points; none while one of them has no users.
///
/// An asymptotic confidence sequence: half-width `se sqrt((t + 1)/t ln((t + 1)/alpha^2))` with `t = N rho^2` and
/// `rho^2 = (-2 ln alpha + ln(1 - 2 ln alpha))/5000`. Its level is right in the limit of many users, not for few.
#[must_use]
pub fn difference(variant: Variant, from: Variant, alpha: f64) -> Option<Interval> {
    if variant.users == 0 || from.users == 0 {
        return None;
    }
    let (n, m) = (real(variant.users), real(from.users));
    let (p, q) = (real(variant.conversions) / n, real(from.conversions) / m);
    let squared_error = p * (1.0 - p) / n + q * (1.0 - q) / m;
    let log_level = -2.0 * alpha.ln();
    let t = (n + m) * (log_level + log_level.ln_1p()) / TIGHTEST_AT;
    let half = (squared_error * (t + 1.0) / t * (t.ln_1p() + log_level)).sqrt();
    Some(Interval { lower: p - q - half, upper: p - q + half })
}
