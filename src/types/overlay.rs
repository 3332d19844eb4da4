//! The overlay: what the API and rollouts have changed on top of the control file.
//!
//! It is a plain value, so that the store can keep it, a diff can show it and compiling stays pure. A reload of the file
//! never touches it (standing decision 1).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Left, Name, Stage, Weight};

/// Every override in force, by route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overlay {
    /// Overrides of single routes; a route without any has no entry.
    pub routes: BTreeMap<Name, RouteOverlay>,
    /// Backends that take no new users on any route.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub drains: BTreeSet<Name>,
}

/// The overrides of one route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteOverlay {
    /// The weights of the route's split that replace the file's; backends not named keep the file's weight.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<Name, Weight>,
    /// The backend that takes everything while the kill switch is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_switch: Option<Name>,
    /// Users who get one backend whatever rules and weights say, by their identity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, Name>,
    /// What a rollout makes of the traffic, while one is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The rollout that left the route last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// Raised by every kill; a pinned user's cookie of an older epoch no longer counts.
    pub epoch: u32,
}

impl RouteOverlay {
    /// Whether nothing is overridden and no epoch has to be remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
