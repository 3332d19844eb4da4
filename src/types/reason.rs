//! Why a request got its backend; a metric label, a field of the access log and the answer of `explain`.

use serde::Serialize;

/// The step of the assignment that decided. See docs/splitting.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The route's kill switch sends everything to one backend.
    KillSwitch,
    /// The user has an override, or the request a signed one.
    Override,
    /// A rule matched and named the backend, or a split that gave it.
    Rule,
    /// The bucket of the user's identity (header or cookie of the application).
    Identity,
    /// The bucket in the assignment cookie.
    Cookie,
    /// The backend that a pinned user was given first.
    Pin,
    /// The bucket of the client's address.
    ClientIp,
    /// A bucket drawn for this request: a user seen for the first time, or `mode: none`.
    Draw,
    /// The chosen backend could not take the request, another did.
    Fallback,
    /// The chosen backend failed, and the baseline was asked instead.
    Shield,
}

impl Reason {
    /// All reasons, in the order of their [`index`](Self::index).
    pub const ALL: [Self; 10] = [
        Self::KillSwitch,
        Self::Override,
        Self::Rule,
        Self::Identity,
        Self::Cookie,
        Self::Pin,
        Self::ClientIp,
        Self::Draw,
        Self::Fallback,
        Self::Shield,
    ];

    /// The word in metrics, logs and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KillSwitch => "kill_switch",
            Self::Override => "override",
            Self::Rule => "rule",
            Self::Identity => "identity",
            Self::Cookie => "cookie",
            Self::Pin => "pin",
            Self::ClientIp => "client_ip",
            Self::Draw => "draw",
            Self::Fallback => "fallback",
            Self::Shield => "shield",
        }
    }

    /// The reason's place in [`ALL`](Self::ALL).
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}
