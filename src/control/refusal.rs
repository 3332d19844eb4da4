//! Why a command was not carried out.

use crate::{
    control::{applier::CompileError, store::StoreError},
    types::{Name, Revision},
};

/// Why a command was not carried out; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such route.
    #[error("there is no route `{route}`")]
    UnknownRoute {
        /// The name that was given.
        route: String,
        /// The nearest name that exists.
        suggestion: Option<Name>,
        /// All routes.
        known: Vec<Name>,
    },
    /// The route answers itself.
    #[error("route `{route}` answers itself and has no backends")]
    NoSplit {
        /// The route.
        route: Name,
    },
    /// The route's split has no such backend.
    #[error("route `{route}` has no backend `{backend}` in its split")]
    UnknownBackend {
        /// The route.
        route: Name,
        /// The name that was given.
        backend: String,
        /// The nearest name in the split.
        suggestion: Option<Name>,
        /// All backends of the split.
        known: Vec<Name>,
    },
    /// New weights for the whole split leave out backends.
    #[error("the new weights of route `{route}` leave out {}", names(.missing))]
    MissingBackends {
        /// The route.
        route: Name,
        /// The backends left out.
        missing: Vec<Name>,
    },
    /// The change names no weight at all.
    #[error("no weight is given for route `{route}`")]
    NoWeights {
        /// The route.
        route: Name,
    },
    /// All weights of the split would be zero.
    #[error("all weights of route `{route}` would be zero")]
    AllZero {
        /// The route.
        route: Name,
    },
    /// There is no such backend.
    #[error("there is no backend `{backend}`")]
    NoSuchBackend {
        /// The name that was given.
        backend: String,
        /// The nearest name that exists.
        suggestion: Option<Name>,
        /// All backends.
        known: Vec<Name>,
    },
    /// A route would be left without a backend that takes new users.
    #[error("`{backend}` is the only backend that takes new users on route `{route}`")]
    LastBackend {
        /// The route.
        route: Name,
        /// The backend.
        backend: Name,
    },
    /// The key of an override is empty or too long.
    #[error("the key of an override has 1 to {limit} bytes")]
    OverrideKey {
        /// The longest, in bytes.
        limit: usize,
    },
    /// A route has all the overrides that it can have.
    #[error("route `{route}` has {limit} overrides, and takes no more")]
    TooManyOverrides {
        /// The route.
        route: Name,
        /// How many it can have.
        limit: usize,
    },
    /// A rollout has the route.
    #[error("rollout {rollout} has route `{route}`")]
    RolloutActive {
        /// The route.
        route: Name,
        /// The rollout's id.
        rollout: String,
    },
    /// Neither version has a weight of which the canary could have a share.
    #[error("`{baseline}` and `{canary}` have no weight on route `{route}` to share")]
    NothingToShare {
        /// The route.
        route: Name,
        /// The old version.
        baseline: Name,
        /// The new one.
        canary: Name,
    },
    /// There is no such segment.
    #[error("there is no segment `{segment}`")]
    UnknownSegment {
        /// The name that was given.
        segment: Name,
    },
    /// A rollout moves on from a stage that is not in force any more.
    #[error("rollout {rollout} has stage {actual} on route `{route}`; {number} is not later")]
    StaleStage {
        /// The route.
        route: Name,
        /// The rollout's id.
        rollout: String,
        /// The number of the stage that was to be put in force.
        number: u32,
        /// The number of the one that is.
        actual: u32,
    },
    /// Another change came first.
    #[error("{}, but {actual} is in force", expectation(*expected))]
    Conflict {
        /// What the sender had seen; [`Revision::default`] when that is no revision at all.
        expected: Revision,
        /// What is in force.
        actual: Revision,
    },
    /// A reload changes what only a restart can change.
    #[error("{} cannot be changed while Weir runs", boot_settings(.0))]
    BootSetting(Vec<BootChange>),
    /// The state cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The change could not be made durable.
    #[error("the change could not be stored")]
    Store(#[from] StoreError),
    /// The idempotency key was used for another command.
    #[error("the idempotency key was used before, for another change: revision {revision}")]
    KeyReused {
        /// What it was used for.
        revision: Revision,
    },
    /// Weir is stopping.
    #[error("Weir is stopping and takes no more changes")]
    Stopping,
}

/// A setting that only a restart can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootChange {
    /// Its path in the control file.
    pub setting: &'static str,
    /// What runs.
    pub running: String,
    /// What the file says now.
    pub wanted: String,
}

/// What a conflict says of the revision that was expected.
fn expectation(revision: Revision) -> String {
    if revision == Revision::default() {
        "what was expected is no revision".to_owned()
    } else {
        format!("revision {revision} was expected")
    }
}

// === impl Refusal ===

impl Refusal {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownRoute { suggestion: Some(name), .. }
            | Self::NoSuchBackend { suggestion: Some(name), .. }
            | Self::UnknownBackend { suggestion: Some(name), .. } => Some(format!("did you mean `{name}`?")),
            Self::UnknownRoute { known, .. } => Some(format!("the routes are {}", names(known))),
            Self::NoSuchBackend { known, .. } => Some(format!("the backends are {}", names(known))),
            Self::LastBackend { .. } => Some("give another backend of the route a weight first".to_owned()),
            Self::OverrideKey { .. } => {
                Some("give the value of the split's key, such as a user's id".to_owned())
            }
            Self::TooManyOverrides { .. } => {
                Some("a rule with a segment serves many users better; see docs/splitting.md".to_owned())
            }
            Self::UnknownBackend { known, .. } => Some(format!("its backends are {}", names(known))),
            Self::MissingBackends { .. } => {
                Some("name every backend of the split, or change single weights with PATCH".to_owned())
            }
            Self::NoWeights { .. } => Some("give at least one backend a weight".to_owned()),
            Self::AllZero { .. } => Some("give at least one backend a weight above 0".to_owned()),
            Self::NothingToShare { baseline, .. } => Some(format!("give `{baseline}` a weight first")),
            Self::RolloutActive { .. } => Some(
                "abort the rollout, or pause it: weights can be set with `pause_rollout`, and the kill switch always works"
                    .to_owned(),
            ),
            Self::Conflict { expected, actual } if *expected == Revision::default() => {
                Some(format!("send the ETag of an earlier answer, such as \"{actual}\""))
            }
            Self::Conflict { .. } => Some("read the current state, then decide again".to_owned()),
            Self::BootSetting(_) => Some("restart Weir to change it, or take it back in the file".to_owned()),
            Self::Store(_) => {
                Some("make the data directory writable again; the kill switch works meanwhile".to_owned())
            }
            Self::KeyReused { .. } => Some("choose a new key for each new change".to_owned()),
            Self::NoSplit { .. }
            | Self::UnknownSegment { .. }
            | Self::StaleStage { .. }
            | Self::Compile(_)
            | Self::Stopping => None,
        }
    }
}

/// Names as a sentence has them: `a`, `b` and `c`.
fn names(names: &[Name]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    sentence(&quoted)
}

fn boot_settings(changes: &[BootChange]) -> String {
    let named: Vec<_> =
        changes.iter().map(|c| format!("{} ({} -> {})", c.setting, c.running, c.wanted)).collect();
    sentence(&named)
}

fn sentence(items: &[String]) -> String {
    match items {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// The name nearest to `text`, when one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a Name>) -> Option<Name> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(text, name.as_str()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.clone())
}
