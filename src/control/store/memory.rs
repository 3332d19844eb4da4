//! A store that forgets: for `--ephemeral` and tests.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    AuditQuery, AuditRow, Broken, Head, KeptRevision, Loaded, Record, RevisionInfo, SigningKey, Store,
    StoreError, Stored, Verified,
    chain::{self, Walk},
    rollouts::{KeptEntry, KeptRollout, Outbound, ROLLOUTS_KEPT, RolloutStore, SETTLED_KEPT_MS},
};
use crate::{
    control::audit,
    types::{Name, Revision},
};

/// Rows of the audit that are kept in memory.
const AUDIT_ROWS: usize = 10_000;

/// Keeps everything in memory: the newest rows of the audit only.
#[derive(Debug)]
pub struct MemoryStore {
    key: SigningKey,
    /// Revisions that are kept.
    kept: u64,
    content: Mutex<Content>,
}

#[derive(Debug)]
struct Content {
    stored: Option<Stored>,
    newest: Revision,
    revisions: VecDeque<KeptRevision>,
    audit: VecDeque<(u64, String, chain::Hash)>,
    /// What stands before the oldest row that is kept.
    before: Head,
    head: Head,
    /// In the order in which they began, with what happened in each.
    rollouts: Vec<(KeptRollout, Vec<KeptEntry>)>,
    versions: BTreeMap<Name, Option<String>>,
    outbox: BTreeMap<String, Outbound>,
    /// Until when each is remembered.
    links_used: BTreeMap<String, u64>,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store with a new signing key, which keeps the newest `kept` revisions.
    #[must_use]
    pub fn new(kept: u64) -> Self {
        let content = Content {
            stored: None,
            newest: Revision::default(),
            revisions: VecDeque::new(),
            audit: VecDeque::new(),
            before: Head::START,
            head: Head::START,
            rollouts: Vec::new(),
            versions: BTreeMap::new(),
            outbox: BTreeMap::new(),
            links_used: BTreeMap::new(),
        };
        Self { key: SigningKey::random(), kept, content: Mutex::new(content) }
    }

    /// The rows of the audit that are kept, oldest first.
    #[must_use]
    pub fn rows(&self) -> Vec<audit::Row> {
        let rows = self.lock();
        rows.audit.iter().filter_map(|(_, text, _)| serde_json::from_str(text).ok()).collect()
    }

    /// The message with this key.
    #[must_use]
    pub fn message(&self, key: &str) -> Option<Outbound> {
        self.lock().outbox.get(key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let content = self.lock();
        let stored = content.stored.clone();
        Ok(Loaded { newest: content.newest, stored, ..Loaded::default() })
    }

    fn write(&self, stored: &Stored, records: &[Record]) -> Result<(), StoreError> {
        let mut content = self.lock();
        content.stored = Some(stored.clone());
        records.iter().for_each(|record| content.add(record, self.kept));
        Ok(())
    }

    fn mirror(&self, _stored: &Stored) {}

    fn revisions(&self, before: Option<Revision>, limit: usize) -> Result<Vec<RevisionInfo>, StoreError> {
        let content = self.lock();
        let newest_first = content.revisions.iter().rev().map(|kept| &kept.info);
        let found = newest_first.filter(|info| before.is_none_or(|before| info.number < before));
        Ok(found.take(limit).cloned().collect())
    }

    fn revision(&self, number: Revision) -> Result<Option<KeptRevision>, StoreError> {
        Ok(self.lock().revisions.iter().find(|kept| kept.info.number == number).cloned())
    }

    fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        let content = self.lock();
        let newest_first = content.audit.iter().rev();
        let rows = newest_first.filter_map(|(seq, text, hash)| {
            Some(AuditRow { seq: *seq, row: serde_json::from_str(text).ok()?, hash: chain::hex(hash) })
        });
        Ok(rows.filter(|row| query.wants(row)).take(query.limit).collect())
    }

    fn verify(&self) -> Result<Result<Verified, Broken>, StoreError> {
        let content = self.lock();
        let mut walk = Walk::after(content.before);
        for (seq, text, hash) in &content.audit {
            if let Err(broken) = walk.step(*seq, text, hash) {
                return Ok(Err(broken));
            }
        }
        Ok(walk.finish(content.head))
    }

    fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        Ok(vec![self.key.clone()])
    }

    fn directory(&self) -> Option<&Path> {
        None
    }
}

impl RolloutStore for MemoryStore {
    fn keep_rollout(
        &self,
        rollout: &KeptRollout,
        entries: &[KeptEntry],
        messages: &[Outbound],
    ) -> Result<(), StoreError> {
        let mut content = self.lock();
        let place = content.rollouts.iter().position(|(kept, _)| kept.id == rollout.id);
        let place = place.unwrap_or_else(|| {
            content.rollouts.push((rollout.clone(), Vec::new()));
            content.rollouts.len() - 1
        });
        let (kept, known) = &mut content.rollouts[place];
        *kept = rollout.clone();
        for entry in entries {
            if known.iter().all(|known| known.seq != entry.seq) {
                known.push(entry.clone());
            }
        }
        for message in messages {
            content.outbox.entry(message.key.clone()).or_insert_with(|| message.clone());
        }
        if content.rollouts.len() as u64 > ROLLOUTS_KEPT
            && let Some(oldest) = content.rollouts.iter().position(|(kept, _)| kept.over)
        {
            content.rollouts.remove(oldest);
        }
        Ok(())
    }

    fn rollouts(&self) -> Result<Vec<KeptRollout>, StoreError> {
        Ok(self.lock().rollouts.iter().rev().map(|(kept, _)| kept.clone()).collect())
    }

    fn rollout_entries(&self, id: &str) -> Result<Vec<String>, StoreError> {
        let content = self.lock();
        let found = content.rollouts.iter().find(|(kept, _)| kept.id == id);
        Ok(found
            .map_or_else(Vec::new, |(_, entries)| entries.iter().map(|kept| kept.entry.clone()).collect()))
    }

    fn rollout_versions(&self) -> Result<BTreeMap<Name, Option<String>>, StoreError> {
        Ok(self.lock().versions.clone())
    }

    fn set_rollout_versions(&self, versions: &BTreeMap<Name, Option<String>>) -> Result<(), StoreError> {
        self.lock().versions.clone_from(versions);
        Ok(())
    }

    fn due_messages(&self, now_ms: u64, limit: usize) -> Result<(Vec<Outbound>, Option<u64>), StoreError> {
        let content = self.lock();
        let is_due = |message: &&Outbound| message.due_ms.is_some_and(|due| due <= now_ms);
        let mut due: Vec<Outbound> = content.outbox.values().filter(is_due).cloned().collect();
        due.sort_by_key(|message| (message.due_ms, message.made_ms));
        let mut of_sink: BTreeMap<String, usize> = BTreeMap::new();
        due.retain(|message| {
            let count = of_sink.entry(message.sink.clone()).or_default();
            *count += 1;
            *count <= limit
        });
        let next =
            content.outbox.values().filter_map(|message| message.due_ms).filter(|due| *due > now_ms).min();
        Ok((due, next))
    }

    fn set_message(&self, message: &Outbound) -> Result<(), StoreError> {
        let mut content = self.lock();
        content.outbox.insert(message.key.clone(), message.clone());
        let forgotten = message.made_ms.saturating_sub(SETTLED_KEPT_MS);
        content.outbox.retain(|_, kept| kept.due_ms.is_some() || kept.made_ms >= forgotten);
        Ok(())
    }

    fn use_link(&self, nonce: &str, now_ms: u64, until_ms: u64) -> Result<bool, StoreError> {
        let mut content = self.lock();
        content.links_used.retain(|_, until| *until >= now_ms);
        Ok(content.links_used.insert(nonce.to_owned(), until_ms).is_none())
    }

    fn is_link_used(&self, nonce: &str) -> Result<bool, StoreError> {
        Ok(self.lock().links_used.contains_key(nonce))
    }
}

// === impl Content ===

impl Content {
    fn add(&mut self, record: &Record, kept: u64) {
        let text = serde_json::to_string(&record.row).unwrap_or_default();
        let hash = chain::link(&self.head.hash, &text);
        self.head = Head { seq: self.head.seq + 1, hash };
        self.audit.push_back((self.head.seq, text, hash));
        if self.audit.len() > AUDIT_ROWS
            && let Some((seq, _, hash)) = self.audit.pop_front()
        {
            self.before = Head { seq, hash };
        }
        self.newest = self.newest.max(record.stored.revision);
        if let Some(revision) = record.kept() {
            self.revisions.push_back(revision);
            if self.revisions.len() as u64 > kept {
                self.revisions.pop_front();
            }
        }
    }
}
