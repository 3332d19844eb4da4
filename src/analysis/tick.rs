//! What the tests are fed with: the units of a tick, or of a whole stage, in both arms.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::numeric::real;

/// One version's units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// Units drawn to this version.
    pub units: u64,
    /// Those of them that went badly; not more than `units`.
    pub bad: u64,
}

/// The units of both versions while the canary's weight was constant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// The canary.
    pub canary: Arm,
    /// The version it is compared with.
    pub stable: Arm,
    /// The probability with which a unit was drawn to the canary. Outside of (0, 1) nothing was drawn, and the tick says
    /// nothing.
    pub weight: f64,
}

// === impl Arm ===

impl Arm {
    /// Counts of one version. More bad units than units are cut to all.
    #[must_use]
    pub fn new(units: u64, bad: u64) -> Self {
        Self { units, bad: bad.min(units) }
    }
}

impl AddAssign for Arm {
    fn add_assign(&mut self, more: Self) {
        self.units = self.units.saturating_add(more.units);
        self.bad = self.bad.saturating_add(more.bad).min(self.units);
    }
}

// === impl Tick ===

impl Tick {
    /// Units of both versions.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.canary.units.saturating_add(self.stable.units)
    }

    /// Bad units of both versions.
    #[must_use]
    pub fn bad(&self) -> u64 {
        self.canary.bad.saturating_add(self.stable.bad)
    }

    /// Whether a test can learn from it: there are units, and they were drawn.
    #[must_use]
    pub fn is_informative(&self) -> bool {
        self.units() > 0 && self.weight > 0.0 && self.weight < 1.0
    }

    /// Canary bad, stable bad, and the rest.
    pub(super) fn outcomes(&self) -> [f64; 3] {
        let good = self.units().saturating_sub(self.bad());
        [real(self.canary.bad), real(self.stable.bad), real(good)]
    }
}
