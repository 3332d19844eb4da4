//! What control can be asked to do, and by whom.

use std::{
    collections::BTreeMap,
    fmt,
    hash::Hasher,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::{
    config::{self, Config, Diagnostics},
    control::store::KeptRevision,
    types::{Fraction, Name, Overlay, Revision, Stage, Weight},
};

/// A change that somebody wants.
#[derive(Debug, Clone)]
pub struct Command {
    /// What to change.
    pub change: Change,
    /// Who wants it, and why.
    pub origin: Origin,
    /// The revision that the sender has seen; the change is refused when another one is in force. Emergencies ignore
    /// it: their intent is clear whatever else has changed.
    pub expected: Option<Revision>,
    /// Whether only to say what would happen.
    pub dry_run: bool,
    /// Its idempotency key: sent again, it is not carried out again.
    pub once: Option<Once>,
}

/// An idempotency key (draft-ietf-httpapi-idempotency-key-header), and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The key, as the sender chose it, with the sender's name before it.
    pub key: String,
    /// What is asked with it; the same key with another one is refused.
    pub fingerprint: String,
}

/// What to change. Names are texts here, so that a wrong one can be answered with the nearest right one.
#[derive(Debug, Clone)]
pub enum Change {
    /// Take this control file as the base.
    Reload(Arc<ControlFile>),
    /// Override weights of a route's split.
    SetWeights {
        /// The route.
        route: String,
        /// Its weights.
        weights: WeightChange,
        /// Whether to do so even while a rollout has the route, which pauses then.
        pause_rollout: bool,
    },
    /// Move a rollout: on each of its routes, from one stage to the next, or out of it; all in one revision.
    SetStages(BTreeMap<Name, StageChange>),
    /// Send everything on a route to one backend.
    Kill {
        /// The route.
        route: String,
        /// The backend; `None` is the baseline, the first of the split.
        backend: Option<String>,
    },
    /// Switch a route's kill switch off.
    Unkill {
        /// The route.
        route: String,
    },
    /// Send one user to one backend, whatever rules and weights say.
    SetOverride {
        /// The route.
        route: String,
        /// The user: the value of the split's key.
        key: String,
        /// The backend.
        backend: String,
    },
    /// Let rules and weights decide about a user again.
    RemoveOverride {
        /// The route.
        route: String,
        /// The user.
        key: String,
    },
    /// Send no new users to a backend, on any route.
    Drain {
        /// The backend.
        backend: String,
    },
    /// Send new users to a backend again.
    Undrain {
        /// The backend.
        backend: String,
    },
    /// Give the control file its say again about a route.
    DropOverlay {
        /// The route.
        route: String,
    },
    /// Bring back what was in force at a revision.
    Restore(Arc<Restoration>),
}

/// A revision to go back to.
#[derive(Debug, Clone, PartialEq)]
pub struct Restoration {
    /// Its number.
    pub revision: Revision,
    /// The overrides of then.
    pub overlay: Overlay,
    /// The control file of then; `None` when this version cannot read it.
    pub config: Option<Arc<Config>>,
}

/// New weights of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeightChange {
    /// Change the named backends only; `None` gives the control file its say again (RFC 7396).
    Patch(BTreeMap<String, Option<Weight>>),
    /// All weights of the split; every backend has to be named.
    Replace(BTreeMap<String, Weight>),
}

/// What a rollout makes of one of its routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageChange {
    /// What.
    pub to: StageTarget,
    /// Whether pinned users are to leave: their pins do not count any more.
    pub raise_epoch: bool,
}

/// Where a rollout's route goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageTarget {
    /// To this stage. Baseline and canary share what the two of them have in the split, so that others keep theirs; with an audience
    /// the split's part of it is the baseline's alone.
    Stage(Stage),
    /// Out of the rollout.
    Out {
        /// The rollout's id: nothing happens to a route that another one has by now.
        rollout: String,
        /// The number of the stage with which it leaves; earlier ones that come afterwards are refused.
        number: u32,
        /// The canary's share of what the two have, from now on: nothing, where the rollout was rolled back or aborted, all after a
        /// promotion, or the one of before it; `None` leaves the weights as they are.
        share: Option<Fraction>,
        /// The old version and the new one, where the rollout had left the route already and its end is taken back.
        again: Option<(Name, Name)>,
    },
}

/// Who wants a change, through what, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// A person or a program: who they have proved to be, or as they named themselves where nobody has to prove it.
    pub actor: String,
    /// The way the command came.
    pub channel: Channel,
    /// The reason that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How somebody who has proved who they are named themselves beside that: the person behind a script, for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The request that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The way a command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The control file.
    File,
    /// The admin API.
    Api,
    /// The command line, through the admin API.
    Cli,
    /// The dashboard, through the admin API.
    Dashboard,
    /// A rollout.
    Rollout,
    /// Another instance of the fleet.
    Fleet,
}

/// A control file that was read and found valid.
#[derive(Debug, Clone)]
pub struct ControlFile {
    /// What it says.
    pub config: Arc<Config>,
    /// Where it was read.
    pub path: PathBuf,
    /// Its text.
    pub text: Arc<str>,
    /// Which content it is.
    pub digest: Digest,
    /// What is allowed, but probably not meant.
    pub warnings: Diagnostics,
}

/// A fingerprint of a file's content: tells contents apart, and is no protection against forgery.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

// === impl Command ===

impl Command {
    /// A command without an expected revision, to be carried out.
    #[must_use]
    pub fn new(change: Change, origin: Origin) -> Self {
        Self { change, origin, expected: None, dry_run: false, once: None }
    }
}

// === impl Restoration ===

impl Restoration {
    /// Of a revision as it is kept.
    #[must_use]
    pub fn of(kept: &KeptRevision) -> Self {
        let parsed = ControlFile::parse(Path::new("weir.yaml"), kept.file_text.as_bytes());
        Self {
            revision: kept.info.number,
            overlay: kept.overlay.clone(),
            config: parsed.ok().map(|file| file.config),
        }
    }
}

// === impl StageChange ===

impl StageChange {
    /// Whether it takes the canary away from everybody.
    #[must_use]
    pub fn is_withdrawal(&self) -> bool {
        let share = match &self.to {
            StageTarget::Stage(stage) => Some(stage.share),
            StageTarget::Out { share, .. } => *share,
        };
        self.raise_epoch && share == Some(Fraction::NONE)
    }
}

// === impl Change ===

impl Change {
    /// The word in audit rows and events.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Reload(_) => "reload",
            Self::SetWeights { .. } => "set_weights",
            Self::SetStages(_) => "set_stages",
            Self::Kill { .. } => "kill",
            Self::Unkill { .. } => "unkill",
            Self::SetOverride { .. } => "set_override",
            Self::RemoveOverride { .. } => "remove_override",
            Self::Drain { .. } => "drain",
            Self::Undrain { .. } => "undrain",
            Self::DropOverlay { .. } => "drop_overlay",
            Self::Restore(_) => "restore",
        }
    }

    /// The route that it is about; `None` when it is about several, or about none.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        match self {
            Self::SetWeights { route, .. }
            | Self::Kill { route, .. }
            | Self::Unkill { route }
            | Self::SetOverride { route, .. }
            | Self::RemoveOverride { route, .. }
            | Self::DropOverlay { route } => Some(route),
            Self::SetStages(routes) => routes.keys().next().filter(|_| routes.len() == 1).map(Name::as_str),
            Self::Reload(_) | Self::Drain { .. } | Self::Undrain { .. } | Self::Restore(_) => None,
        }
    }

    /// Whether this is an emergency brake, which ignores the expected revision: the kill switch, and a rollout that takes its canary
    /// away from everybody, on all its routes.
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        match self {
            Self::Kill { .. } => true,
            Self::SetStages(routes) => !routes.is_empty() && routes.values().all(StageChange::is_withdrawal),
            _ => false,
        }
    }

    /// Whether this is put in force before it is on disk, and even when it cannot be written. The brake must not wait for
    /// a disk; and a control file is on disk already, so that a crash before the write forgets nothing but who noticed.
    #[must_use]
    pub fn comes_before_the_disk(&self) -> bool {
        self.is_emergency() || matches!(self, Self::Reload(_))
    }
}

// === impl Origin ===

impl Origin {
    /// An origin without a reason.
    #[must_use]
    pub fn new(actor: &str, channel: Channel) -> Self {
        Self { actor: actor.to_owned(), channel, reason: None, note: None, request_id: None }
    }
}

// === impl Channel ===

impl Channel {
    /// The word in audit rows and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Dashboard => "dashboard",
            Self::Rollout => "rollout",
            Self::Fleet => "fleet",
        }
    }
}

// === impl ControlFile ===

impl ControlFile {
    /// Reads and checks the content of the control file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, Diagnostics> {
        let loaded = config::parse_bytes(content, &path.to_string_lossy())?;
        Ok(Self {
            config: Arc::new(loaded.config),
            path: path.to_owned(),
            text: loaded.source.text().into(),
            digest: Digest::of(content),
            warnings: loaded.warnings,
        })
    }

    /// Reads and checks the control file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it, or that it cannot be read.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        match std::fs::read(path) {
            Ok(content) if content.len() <= config::MAX_FILE_BYTES => Self::parse(path, &content),
            // It knows how to say why not.
            _ => config::load(path).and_then(|loaded| Self::parse(path, loaded.source.text().as_bytes())),
        }
    }
}

// === impl Digest ===

impl Digest {
    /// The fingerprint of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x7765_6972, 0x6669_6c65);
        hasher.write(content);
        Self(format!("{:032x}", hasher.finish128().as_u128()))
    }

    /// One that was kept.
    pub(super) fn from_kept(text: String) -> Self {
        Self(text)
    }

    /// Its 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
