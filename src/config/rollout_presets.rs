//! Plans by name: steps and an analysis for those who do not want to write their own.
//!
//! A preset is a beginning. What a plan says itself goes first, key by key, so that nobody loses the gates of a preset by asking
//! for another interval. All presets have the same gates: an absolute limit that hardly any service lives with, a multiple of the
//! baseline's latency, and two tests against the baseline that find what limits do not.

use std::time::Duration;

use super::model::rollout::{
    Approval, Check, Gate, Metric, OnTimeout, Regression, RegressionOf, Step, Threshold,
};
use crate::types::{Fraction, Role};

/// The words for presets, in the order of the reference.
pub(super) const NAMES: &[&str] = &["standard", "conservative", "linear-10", "blue-green", "fast", "ab-hold"];

/// What a preset gives to a plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Preset {
    /// The steps, the last of which gives the canary everything.
    pub(super) steps: Vec<Step>,
    /// How long the whole may take, where 24h is not enough.
    pub(super) deadline: Option<Duration>,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The preset of this name.
pub(super) fn preset(name: &str) -> Option<Preset> {
    let steps = match name {
        "standard" => ladder(&[(5, 5 * MINUTE), (20, 10 * MINUTE), (50, 15 * MINUTE)]),
        "conservative" => ladder(&[(5, 30 * MINUTE), (25, HOUR), (50, 2 * HOUR)]),
        "linear-10" => ladder(&[10, 20, 30, 40, 50, 60, 70, 80, 90].map(|percent| (percent, MINUTE))),
        "blue-green" => blue_green(),
        "fast" => ladder(&[(5, MINUTE), (50, 2 * MINUTE)]),
        "ab-hold" => ab_hold(),
        _ => return None,
    };
    let deadline = (name == "ab-hold").then_some(Duration::ZERO);
    Some(Preset { steps, deadline })
}

/// Shares and how long they are held, and everything in the end.
fn ladder(shares: &[(u32, u64)]) -> Vec<Step> {
    let held = shares.iter().map(|(percent, seconds)| step(*percent, *seconds));
    held.chain([step(100, 0)]).collect()
}

/// Copies of requests while nobody gets the canary, then everybody at once.
fn blue_green() -> Vec<Step> {
    let mirrored = Step { mirror: Some(percent(10)), ..step(0, 5 * MINUTE) };
    let all = Step { bake: Duration::from_secs(30 * MINUTE), ..step(100, 0) };
    vec![mirrored, all]
}

/// Half of the users for as long as the comparison takes: a person ends it.
fn ab_hold() -> Vec<Step> {
    let agreement =
        Approval { roles: vec![Role::Operator], timeout: Duration::ZERO, on_timeout: OnTimeout::Abort };
    let half = Step { approval: Some(agreement), ..step(50, 0) };
    vec![step(5, 10 * MINUTE), half, step(100, 0)]
}

fn step(share: u32, hold: u64) -> Step {
    Step { weight: Some(percent(share)), hold: Duration::from_secs(hold), ..Step::default() }
}

fn percent(share: u32) -> Fraction {
    Fraction::from_percent(share.into()).expect("presets have shares of 0 to 100")
}

/// The gates of every preset.
pub(super) fn gates() -> Vec<Gate> {
    let threshold =
        |metric| Threshold { metric, max: None, min: None, max_ratio: None, hard_max: None, hard_min: None };
    let checks = [
        Check::Threshold(Threshold { max: Some(0.05), hard_max: Some(0.5), ..threshold(Metric::ErrorRate) }),
        Check::Threshold(Threshold { max_ratio: Some(2.0), ..threshold(Metric::Latency(0.99)) }),
        // The difference is what makes a service without errors promotable: against none, one more is any multiple.
        Check::Regression(Regression {
            of: RegressionOf::ErrorRate,
            ratio: 1.25,
            difference: 0.001,
            alpha: None,
        }),
        Check::Regression(Regression {
            of: RegressionOf::Distribution,
            ratio: 1.2,
            difference: 0.0,
            alpha: None,
        }),
    ];
    checks.into_iter().map(|check| Gate { name: check.measure(), dry_run: false, check }).collect()
}
