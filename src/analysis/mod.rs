//! Analysis: is the canary worse, and how sure is that? Numbers in, verdicts out.
//!
//! A rollout looks at its canary every tick and may stop at any of them, so ordinary significance tests do not apply:
//! looked at often enough, they reject everything. The tests here are *anytime-valid*. Each keeps an **e-process**: a
//! number `E >= 0` that starts at 1 and of which, while the null hypothesis holds, the expectation at any stopping time
//! is at most 1. By Ville's inequality it then reaches `1/alpha` with a chance of at most `alpha`, ever.
//!
//! - [`errors`]: is the canary's share of bad units above what its margin allows, or a limit? Is it proven to be below?
//! - [`latency`]: the same of units slower than a quantile of stable's; [`distribution`]: bounds of quantiles to show.
//! - [`intervals`]: what people are shown: difference, ratio and rate, each with an anytime-valid interval.
//! - [`threshold`]: plain limits with a count of failed checks. They have no error guarantee.
//! - [`experiment`]: lifts and winners among variants. [`sample_ratio`]: did the split do what it was told?
//! - [`combination`]: one decision from all of these. [`power`]: how long until a given regression is seen.
//!
//! The idea that all share: the proxy itself drew, with a known probability `w`, which version a unit goes to. If the
//! canary is no worse, a bad event comes from it with probability `w` too, whatever the traffic does and however many
//! bad events there are. This is sound only for what was drawn: units that a rule, an override, a fallback, a health
//! check or a mirror sent must be left out by the caller, a unit must be what was drawn (a user when users stick), and it
//! must be counted in the tick in which it was assigned, not in which it finished.
//!
//! Everything is in natural logarithms, takes counts up to 10^12, and keeps its state in plain values that can be
//! written to a journal and read back to the bit. Nothing here does I/O or reads a clock.

mod bets;
pub mod combination;
pub mod distribution;
pub mod errors;
mod exact;
pub mod experiment;
pub mod intervals;
pub mod latency;
mod numeric;
pub mod power;
pub mod sample_ratio;
pub mod threshold;
mod tick;

pub use bets::{Margin, MarginError};
pub use tick::{Arm, Tick};

/// The chance of rolling back a canary that keeps its margins, over a whole rollout, unless a plan says otherwise.
pub const ALPHA: f64 = 0.01;
/// The chance of passing a step that a canary beyond its margins should not pass, for each step.
pub const ALPHA_PROMOTE: f64 = 0.05;

/// The log e-value at which a test at level `alpha` rejects: `ln(1/alpha)`. A level outside (0, 1) is never reached.
#[must_use]
pub fn rejection(alpha: f64) -> f64 {
    if alpha > 0.0 && alpha < 1.0 { -alpha.ln() } else { f64::INFINITY }
}

/// The anytime p-value of an e-process whose largest log value so far is `max_log_e`: `min(1, 1/E)`.
#[must_use]
pub fn p_value(max_log_e: f64) -> f64 {
    (-max_log_e).exp().min(1.0)
}

#[cfg(test)]
mod tests;
