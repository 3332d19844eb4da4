//! Commands that are carried out once, however often they are sent: idempotency keys.

use std::collections::HashMap;

use crate::{
    control::{command::Command, refusal::Refusal, state::State, store::Used},
    types::{Revision, clock},
};

/// Keys that are known at a time; the oldest give way.
const KEYS: usize = 10_000;

/// The keys that were used, and what for.
#[derive(Debug, Default)]
pub(super) struct UsedKeys {
    known: HashMap<String, Used>,
}

// === impl UsedKeys ===

impl UsedKeys {
    pub(super) fn new(used: Vec<Used>) -> Self {
        Self { known: used.into_iter().map(|used| (used.key.clone(), used)).collect() }
    }

    /// The revision that `command` made when it was sent before.
    ///
    /// # Errors
    /// When its key was used for something else.
    pub(super) fn revision(&self, command: &Command) -> Result<Option<Revision>, Refusal> {
        let Some(once) = command.once.as_ref().filter(|_| !command.dry_run) else { return Ok(None) };
        match self.known.get(&once.key) {
            None => Ok(None),
            Some(used) if used.fingerprint == once.fingerprint => Ok(Some(used.revision)),
            Some(used) => Err(Refusal::KeyReused { revision: used.revision }),
        }
    }

    /// Notes that `command` was carried out.
    pub(super) fn note(&mut self, command: &Command, revision: Revision) {
        let Some(used) = of(command, revision) else { return };
        if self.known.len() == KEYS
            && let Some(oldest) = self.known.values().min_by_key(|used| used.revision)
        {
            let oldest = oldest.key.clone();
            self.known.remove(&oldest);
        }
        self.known.insert(used.key.clone(), used);
    }
}

/// What the store is to know of the key of the command that made `state`.
pub(super) fn used(command: &Command, state: &State) -> Option<Used> {
    of(command, state.revision)
}

fn of(command: &Command, revision: Revision) -> Option<Used> {
    let once = command.once.as_ref()?;
    let at_ms = u64::try_from(clock::unix_now().as_millis()).unwrap_or(u64::MAX);
    Some(Used { key: once.key.clone(), fingerprint: once.fingerprint.clone(), revision, at_ms })
}
