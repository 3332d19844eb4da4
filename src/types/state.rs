//! The states and modes that a split has words for.

use serde::{Deserialize, Serialize};

/// Whether a backend takes users, beside its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendState {
    /// Takes users as its weight says.
    #[default]
    Active,
    /// Keeps the users pinned to it and takes no new ones.
    Drain,
    /// Takes nobody.
    Off,
}

/// How long a user keeps the backend that the split gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyMode {
    /// As long as the weights give it to the user's bucket.
    #[default]
    Bucket,
    /// Until the cookie ages out, the backend is off or the epoch is raised.
    Pin,
    /// Not at all: each request is drawn by itself.
    None,
}

/// What happens to a request whose backend has no endpoint that can take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnavailable {
    /// It goes to the healthy backend with the highest weight.
    #[default]
    Fallback,
    /// It is answered 503.
    Fail,
}

impl BackendState {
    /// The word in the control file and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Drain => "drain",
            Self::Off => "off",
        }
    }
}

impl StickyMode {
    /// The word in the control file and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Pin => "pin",
            Self::None => "none",
        }
    }
}
