//! The two versions of the demo's service.

use serde::{Deserialize, Serialize};

/// A version; the name of its backend, and of itself in what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// The one that everybody has at first.
    V1,
    /// The one that everybody has in the end.
    V2,
}

/// One of something for each version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PerVersion<T> {
    /// Of v1.
    pub v1: T,
    /// Of v2.
    pub v2: T,
}

// === impl Version ===

impl Version {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// `v1` or `v2`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// The version of this name.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str().as_bytes() == name)
    }
}

// === impl PerVersion ===

impl<T> PerVersion<T> {
    /// What `of` gives for each.
    pub fn of(mut of: impl FnMut(Version) -> T) -> Self {
        Self { v1: of(Version::V1), v2: of(Version::V2) }
    }

    /// That of `version`.
    pub fn get(&self, version: Version) -> &T {
        match version {
            Version::V1 => &self.v1,
            Version::V2 => &self.v2,
        }
    }
}
