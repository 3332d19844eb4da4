//! Combination: one decision per tick from all gates.
//!
//! Each gate has its e-process. Their weighted mean, with weights fixed before the rollout begins, is an e-process of the
//! hypothesis that *all* nulls hold, however the gates depend on each other (Vovk and Wang 2021). So the level holds for the
//! rollout as a whole: with five gates a healthy canary is not five times as likely to be rolled back.
//!
//! The order is that of trust. Limits act on what was seen, and always. Tests rest on the weights, so wrong weights void them.
//! Then what speaks for rolling back, and last what speaks for going on.

use serde::{Deserialize, Serialize};

use super::{ALPHA, ALPHA_PROMOTE, numeric::log_sum_exp, rejection, sample_ratio, threshold::Check};

/// What a gate tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The canary's bad units against stable's.
    Errors,
    /// The canary's durations against stable's.
    Latency,
    /// The canary's bad units against a limit.
    Absolute,
}

/// A gate's part in the rollback: `ln E` of its process now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// What it tests.
    pub kind: Kind,
    /// Its `ln E` now.
    pub log_e: f64,
}

/// The weighted mean of gates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Combined {
    /// Its `ln E`; 0 without gates.
    pub log_e: f64,
    /// The gate that contributes most, by its place.
    pub largest: Option<usize>,
}

/// The levels of the tests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// Of rolling back, over the whole rollout.
    pub rollback: f64,
    /// Of promoting, for each stage and gate.
    pub promote: f64,
    /// Of the sample ratio.
    pub sample_ratio: f64,
}

/// All that a tick's decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// `ln E` of the sample ratio.
    pub sample_ratio: f64,
    /// The last check of each threshold gate.
    pub checks: &'a [Check],
    /// The tests that roll back.
    pub parts: &'a [Part],
    /// Whether stable's own test against the absolute limit has rejected.
    pub stable_over_limit: bool,
    /// `ln E` of the tests that promote.
    pub promotions: &'a [f64],
    /// Whether the stage has lasted as long as it should.
    pub hold_over: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Go on as before.
    Continue,
    /// To the next stage: every gate passed.
    Promote,
    /// Stay, and call somebody.
    Hold(HoldCause),
    /// Back to stable.
    RollBack(RollbackCause),
}

/// Why a rollout stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldCause {
    /// Units do not arrive as the weights say, so the tests are void.
    SampleRatio,
    /// Stable breaks the absolute limit too, and nothing else speaks against the canary.
    StableOverLimit,
}

/// Why a canary goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackCause {
    /// A threshold gate, by its place among the checks.
    Threshold(usize),
    /// The tests together; the one that contributes most, by its place among the parts.
    Tests(usize),
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 3] = [Self::Errors, Self::Latency, Self::Absolute];

    /// Its part of the mean when all kinds are there. Those of one kind share it.
    #[must_use]
    pub const fn weight(self) -> f64 {
        match self {
            Self::Errors | Self::Latency => 0.4,
            Self::Absolute => 0.2,
        }
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self { rollback: ALPHA, promote: ALPHA_PROMOTE, sample_ratio: sample_ratio::ALPHA }
    }
}

/// The weights of gates: each kind's, shared among its gates, in proportion so that all sum to 1.
///
/// They follow from the kinds alone, so they are the same in every tick of a rollout as long as its gates are.
pub fn weights(kinds: &[Kind]) -> Vec<f64> {
    let gates = |kind: Kind| kinds.iter().filter(|other| **other == kind).count();
    let total: f64 = Kind::ALL.into_iter().filter(|kind| gates(*kind) > 0).map(Kind::weight).sum();
    kinds.iter().map(|kind| kind.weight() / total / gates(*kind) as f64).collect()
}

/// The weighted mean of all gates' e-values, and which contributes most.
#[must_use]
pub fn combine(parts: &[Part]) -> Combined {
    mean(parts, |_| true)
}

/// The mean, in which the gates that do not count have an E of 0: they only lower it, so it stays valid.
fn mean(parts: &[Part], counts: impl Fn(Kind) -> bool) -> Combined {
    let kinds: Vec<Kind> = parts.iter().map(|part| part.kind).collect();
    let contributions: Vec<(usize, f64)> = parts
        .iter()
        .zip(weights(&kinds))
        .enumerate()
        .filter(|(_, (part, _))| counts(part.kind))
        .map(|(at, (part, weight))| (at, part.log_e + weight.ln()))
        .collect();
    if parts.is_empty() {
        return Combined { log_e: 0.0, largest: None };
    }
    let largest = contributions.iter().max_by(|one, other| one.1.total_cmp(&other.1)).map(|(at, _)| *at);
    Combined { log_e: log_sum_exp(contributions.into_iter().map(|(_, log_e)| log_e)), largest }
}

/// What to do in this tick.
///
/// - Any threshold gate that rolls back does.
/// - If the sample ratio rejects, the tests are void: hold.
/// - If the gates' mean reaches `1/alpha`: roll back. Where stable breaks the absolute limit too, the canary's breach
///   does not count; if it is all there is, hold: going back would not help.
/// - If the hold time is over, each check passed and each promotion reaches its `1/alpha`: promote.
#[must_use]
pub fn decide(evidence: &Evidence<'_>, levels: &Levels) -> Decision {
    let threshold = evidence.checks.iter().position(|check| matches!(check, Check::RollBack(_)));
    if let Some(gate) = threshold {
        return Decision::RollBack(RollbackCause::Threshold(gate));
    }
    if evidence.sample_ratio >= rejection(levels.sample_ratio) {
        return Decision::Hold(HoldCause::SampleRatio);
    }
    let enough = rejection(levels.rollback);
    let blamed = mean(evidence.parts, |kind| !(evidence.stable_over_limit && kind == Kind::Absolute));
    if let Some(gate) = blamed.largest.filter(|_| blamed.log_e >= enough) {
        return Decision::RollBack(RollbackCause::Tests(gate));
    }
    if combine(evidence.parts).log_e >= enough {
        return Decision::Hold(HoldCause::StableOverLimit);
    }
    let checks_pass = evidence.checks.iter().all(|check| *check == Check::Pass);
    let proven = evidence.promotions.iter().all(|log_e| *log_e >= rejection(levels.promote));
    if evidence.hold_over && checks_pass && proven { Decision::Promote } else { Decision::Continue }
}
