//! Who was last seen on which version: proves that raising a weight moves users in one direction only.

use std::collections::BTreeMap;

use super::version::Version;

/// The last version of every user that was seen. Requests of one user must be entered in the order they were sent, each
/// after its answer; two at a time could overtake each other, and a move would look like its opposite.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    last: BTreeMap<u32, Version>,
}

/// What an answer tells about its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sighting {
    /// Not seen before.
    First(Version),
    /// Where it was.
    Stayed,
    /// From v1 to v2, as a growing weight of v2 does.
    Moved,
    /// From v2 to v1: wrong while the weight of v2 grows.
    SwitchedBack,
}

// === impl Ledger ===

impl Ledger {
    /// Enters an answer.
    pub(super) fn enter(&mut self, user: u32, version: Version) -> Sighting {
        match (self.last.insert(user, version), version) {
            (None, first) => Sighting::First(first),
            (Some(Version::V1), Version::V1) | (Some(Version::V2), Version::V2) => Sighting::Stayed,
            (Some(Version::V1), Version::V2) => Sighting::Moved,
            (Some(Version::V2), Version::V1) => Sighting::SwitchedBack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Version::{V1, V2};

    #[test]
    fn a_switch_back_is_seen() {
        let mut ledger = Ledger::default();
        for (user, version, expected) in [
            (1, V1, Sighting::First(V1)),
            (2, V2, Sighting::First(V2)),
            (1, V1, Sighting::Stayed),
            (1, V2, Sighting::Moved),
            (1, V2, Sighting::Stayed),
            (2, V2, Sighting::Stayed),
            (1, V1, Sighting::SwitchedBack),
            (1, V1, Sighting::Stayed),
            (1, V2, Sighting::Moved),
            (2, V1, Sighting::SwitchedBack),
        ] {
            assert_eq!(ledger.enter(user, version), expected, "user {user} on {version:?}");
        }
    }
}
