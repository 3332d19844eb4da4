//! What goes into the store and comes out of it.

use serde::{Deserialize, Serialize};

use crate::{
    control::{
        audit,
        command::{Digest, Origin},
    },
    types::{Name, Overlay, Revision},
};

/// The control plane's state as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The number of the last accepted change.
    pub revision: Revision,
    /// The control file that was in force.
    pub file: Digest,
    /// Every override.
    pub overlay: Overlay,
}

/// One thing that happened, written as a whole: the state since, the row of the audit, and what else belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The state in force since.
    pub stored: Stored,
    /// The revision that it made; `None` where it changed nothing, such as a refused file.
    pub revision: Option<NewRevision>,
    /// Its row of the audit.
    pub row: audit::Row,
    /// The idempotency key that it used up.
    pub used: Option<Used>,
}

/// What a revision has beside the state and the row of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRevision {
    /// The text of the control file.
    pub file_text: std::sync::Arc<str>,
    /// Since the Unix epoch, in milliseconds.
    pub at_ms: u64,
}

/// A revision, without what ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevisionInfo {
    /// Its number.
    pub number: Revision,
    /// When it was made, since the Unix epoch, in milliseconds.
    pub at_ms: u64,
    /// What made it: `start`, `reload`, `set_weights`, …
    pub action: String,
    /// The route that it was about.
    pub route: Option<Name>,
    /// Who made it, through what, and why.
    pub origin: Origin,
    /// What it was before.
    pub from: serde_json::Value,
    /// What it was since.
    pub to: serde_json::Value,
}

/// A revision with all that ran.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRevision {
    /// What made it.
    pub info: RevisionInfo,
    /// The control file's content.
    pub file: Digest,
    /// The control file's text.
    pub file_text: String,
    /// The overrides.
    pub overlay: Overlay,
}

/// An idempotency key that was used (draft-ietf-httpapi-idempotency-key-header).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The key, as the sender chose it, with the sender's name before it.
    pub key: String,
    /// What was asked with it.
    pub fingerprint: String,
    /// The revision that it made.
    pub revision: Revision,
    /// Since the Unix epoch, in milliseconds.
    pub at_ms: u64,
}

/// Which rows of the audit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Below this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
    /// By this actor.
    pub actor: Option<String>,
    /// About this route.
    pub route: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// Not before this time, RFC 3339 in UTC as rows have it.
    pub since: Option<String>,
    /// Before this time.
    pub until: Option<String>,
}

/// A row of the audit, and its place in the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub row: audit::Row,
    /// The SHA-256 over the hash before and this row, in hexadecimal digits.
    pub hash: String,
}

// === impl Record ===

impl Record {
    /// The revision that it made, with all that runs since.
    #[must_use]
    pub fn kept(&self) -> Option<KeptRevision> {
        let new = self.revision.as_ref()?;
        let row = &self.row;
        Some(KeptRevision {
            info: RevisionInfo {
                number: self.stored.revision,
                at_ms: new.at_ms,
                action: row.action.clone(),
                route: row.route.clone(),
                origin: row.origin.clone(),
                from: row.from.clone(),
                to: row.to.clone(),
            },
            file: self.stored.file.clone(),
            file_text: new.file_text.to_string(),
            overlay: self.stored.overlay.clone(),
        })
    }
}

// === impl AuditQuery ===

impl AuditQuery {
    /// Whether a row is one of those.
    #[must_use]
    pub fn wants(&self, found: &AuditRow) -> bool {
        let (row, is) = (&found.row, |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        });
        self.before.is_none_or(|before| found.seq < before)
            && is(&self.actor, &row.origin.actor)
            && is(&self.action, &row.action)
            && is(&self.route, row.route.as_ref().map_or("", Name::as_str))
            && self.since.as_ref().is_none_or(|since| row.time >= *since)
            && self.until.as_ref().is_none_or(|until| row.time < *until)
    }
}
