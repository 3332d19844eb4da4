//! What is kept of rollouts. Their state is the rollout engine's own and only text here.

use std::collections::BTreeMap;

use super::StoreError;
use crate::types::Name;

/// Rollouts that are kept with all that happened in them; the oldest that are over give way.
pub const ROLLOUTS_KEPT: u64 = 500;

/// How long settled messages are kept, so that none is made a second time: three days.
pub(super) const SETTLED_KEPT_MS: u64 = 3 * 24 * 60 * 60 * 1000;

/// A rollout as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRollout {
    /// Its id.
    pub id: String,
    /// When it began, since the Unix epoch, in milliseconds.
    pub began_ms: u64,
    /// Whether nothing more happens to it.
    pub over: bool,
    /// Its state.
    pub state: String,
    /// What its gates have gathered.
    pub evidence: String,
}

/// Something that happened in a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEntry {
    /// Its number in the rollout, from 1.
    pub seq: u64,
    /// What it was.
    pub entry: String,
}

/// Something that somebody is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// What tells it from others: kept once, it is not kept again.
    pub key: String,
    /// Whom, by the name of a notification.
    pub sink: String,
    /// What.
    pub message: String,
    /// When it was made, since the Unix epoch, in milliseconds.
    pub made_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is to be tried next; `None` when it is settled.
    pub due_ms: Option<u64>,
    /// What came of the last attempt.
    pub outcome: Option<String>,
}

/// Keeps rollouts, what happened in them and what has to be told of them. Calls block on the disk.
pub trait RolloutStore {
    /// Writes a rollout as it is now, what happened in it since and what is to be told, all or nothing, durably. Entries and messages
    /// that are kept already stay as they are.
    ///
    /// # Errors
    /// When it cannot be written; what was there before is then unharmed.
    fn keep_rollout(
        &self,
        rollout: &KeptRollout,
        entries: &[KeptEntry],
        messages: &[Outbound],
    ) -> Result<(), StoreError>;

    /// All rollouts that are kept, the newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    fn rollouts(&self) -> Result<Vec<KeptRollout>, StoreError>;

    /// What happened in a rollout, in its order.
    ///
    /// # Errors
    /// When it cannot be read.
    fn rollout_entries(&self, id: &str) -> Result<Vec<String>, StoreError>;

    /// The version that each route's plan had when it was last looked at.
    ///
    /// # Errors
    /// When they cannot be read.
    fn rollout_versions(&self) -> Result<BTreeMap<Name, Option<String>>, StoreError>;

    /// Takes the versions of now.
    ///
    /// # Errors
    /// When they cannot be written.
    fn set_rollout_versions(&self, versions: &BTreeMap<Name, Option<String>>) -> Result<(), StoreError>;

    /// Messages that are due at `now_ms`, at most `limit` for each sink, so that many for one do not hide those for another; those
    /// that wait longest first. And when the next message after `now_ms` is due.
    ///
    /// # Errors
    /// When they cannot be read.
    fn due_messages(&self, now_ms: u64, limit: usize) -> Result<(Vec<Outbound>, Option<u64>), StoreError>;

    /// Takes what came of an attempt; settled messages are forgotten after some days.
    ///
    /// # Errors
    /// When it cannot be written.
    fn set_message(&self, message: &Outbound) -> Result<(), StoreError>;

    /// Takes note that what `nonce` names was used at `now_ms`, and whether that was the first time. It is forgotten after `until_ms`.
    ///
    /// # Errors
    /// When it cannot be written.
    fn use_link(&self, nonce: &str, now_ms: u64, until_ms: u64) -> Result<bool, StoreError>;

    /// Whether what `nonce` names was used, as far as that is not forgotten.
    ///
    /// # Errors
    /// When it cannot be read.
    fn is_link_used(&self, nonce: &str) -> Result<bool, StoreError>;
}
