//! What a client wants to hear of.

use std::collections::BTreeSet;

use super::event::Scope;
use crate::types::Name;

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The whole picture, as in `/v1/status`; at the start of a stream.
    Snapshot,
    /// The traffic of the last seconds, once a second.
    Stats,
    /// The weights or the kill switch of a route are other ones.
    Weights,
    /// A backend or one of its endpoints is in another condition.
    Health,
    /// Something happened in a rollout.
    Rollout,
    /// What the gates of a rollout say, once a second while it is under way.
    Analysis,
    /// A control file was taken or refused.
    Config,
    /// The store fails, or works again.
    Store,
    /// Somebody changed something.
    Audit,
}

/// Which events a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    kinds: BTreeSet<Kind>,
    route: Option<Name>,
}

// === impl Kind ===

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Snapshot,
        Self::Stats,
        Self::Weights,
        Self::Health,
        Self::Rollout,
        Self::Analysis,
        Self::Config,
        Self::Store,
        Self::Audit,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Stats => "stats",
            Self::Weights => "weights",
            Self::Health => "health",
            Self::Rollout => "rollout",
            Self::Analysis => "analysis",
            Self::Config => "config",
            Self::Store => "store",
            Self::Audit => "audit",
        }
    }
}

// === impl Filter ===

impl Filter {
    /// These kinds, of one route or of all. What is about no route in particular, such as a control file, is told in any case.
    #[must_use]
    pub fn new(kinds: BTreeSet<Kind>, route: Option<Name>) -> Self {
        Self { kinds, route }
    }

    /// Whether this kind is wanted.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// The only route that is wanted.
    #[must_use]
    pub fn route(&self) -> Option<&Name> {
        self.route.as_ref()
    }

    pub(super) fn wants(&self, kind: Kind, scope: &Scope) -> bool {
        self.has(kind)
            && match (scope, &self.route) {
                (Scope::All, _) | (_, None) => true,
                (Scope::Routes(routes), Some(route)) => routes.contains(route),
            }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::new(Kind::ALL.into(), None)
    }
}
