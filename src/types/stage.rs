//! A stage: what a rollout makes of a route's traffic between two changes.

use serde::{Deserialize, Serialize};

use super::{Fraction, Name};

/// The traffic of a route under a rollout. The weights themselves stand in the route's overlay, beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The rollout's id.
    pub rollout: String,
    /// Raised with every change of the traffic; with the rollout's id it names what is measured since.
    pub number: u32,
    /// The backend that has what the canary has not.
    pub baseline: Name,
    /// The backend that is tried.
    pub canary: Name,
    /// The canary's share of the audience, or of everybody.
    pub share: Fraction,
    /// Only users in one of these segments are the audience; empty is everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Name>,
    /// Only requests from one of these regions are the audience; empty is everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Name>,
    /// The share of requests of which the canary gets a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Fraction>,
    /// Whether somebody has set the weights since, by hand: the rollout is to pause.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manual: bool,
}

/// A rollout that has left a route, and the stage with which it did: what it decided before comes too late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// The rollout's id.
    pub rollout: String,
    /// The stage's number.
    pub number: u32,
}

// === impl Stage ===

impl Stage {
    /// Whether only some users or regions may get the canary; the split gives it nothing then.
    #[must_use]
    pub fn has_audience(&self) -> bool {
        !(self.segments.is_empty() && self.regions.is_empty())
    }
}
