//! Counters of the control plane: changes of the configuration, calls of the admin API, notifications.
//!
//! These move a few times a minute and from any thread, so they are ordinary shared atomics.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use super::label::{AdminResult, ChangeResult, ChangeSource, DenialReason, NotificationResult};

/// What the control plane counts of itself.
#[derive(Debug, Default)]
pub struct ControlStats {
    changes: [[AtomicU64; ChangeResult::ALL.len()]; ChangeSource::ALL.len()],
    /// Inverted, so that the default says that nothing was refused.
    last_refused: AtomicBool,
    admin: Mutex<BTreeMap<(&'static str, AdminResult), u64>>,
    denied: [AtomicU64; DenialReason::ALL.len()],
    notifications: [AtomicU64; NotificationResult::ALL.len()],
    /// Streams of events.
    pub streams: StreamStats,
}

/// Streams of events of the admin API.
#[derive(Debug, Default)]
pub struct StreamStats {
    /// Open now.
    pub open: AtomicU64,
    /// That were opened.
    pub opened: AtomicU64,
    /// That were not opened, because there were too many.
    pub refused: AtomicU64,
    /// Whose client did not keep up.
    pub dropped: AtomicU64,
}

// === impl ControlStats ===

impl ControlStats {
    /// Counts a change that was asked for. A refused one from the control file makes the last reload unsuccessful until
    /// the file is read without error.
    pub fn change(&self, source: ChangeSource, result: ChangeResult) {
        self.changes[source.index()][result.index()].fetch_add(1, Relaxed);
        if source == ChangeSource::File {
            self.last_refused.store(result == ChangeResult::Refused, Relaxed);
        }
    }

    /// Counts a call of the admin API. The operation is a constant of the program, never text of the caller.
    pub fn admin(&self, operation: &'static str, result: AdminResult) {
        let mut admin = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
        *admin.entry((operation, result)).or_default() += 1;
    }

    /// Counts a call of the admin API that was not allowed.
    pub fn denied(&self, reason: DenialReason) {
        self.denied[reason.index()].fetch_add(1, Relaxed);
    }

    /// How many calls of the admin API were not allowed for this reason.
    #[must_use]
    pub fn denials(&self, reason: DenialReason) -> u64 {
        self.denied[reason.index()].load(Relaxed)
    }

    /// Counts an attempt to tell people something.
    pub fn notification(&self, result: NotificationResult) {
        self.notifications[result.index()].fetch_add(1, Relaxed);
    }

    /// How many attempts to tell people something had this result.
    #[must_use]
    pub fn notifications(&self, result: NotificationResult) -> u64 {
        self.notifications[result.index()].load(Relaxed)
    }

    /// Whether the control file, when last read, was good.
    #[must_use]
    pub fn last_reload_successful(&self) -> bool {
        !self.last_refused.load(Relaxed)
    }

    /// How many changes a source asked for with this result.
    #[must_use]
    pub fn changes(&self, source: ChangeSource, result: ChangeResult) -> u64 {
        self.changes[source.index()][result.index()].load(Relaxed)
    }

    /// Calls of the admin API by operation and result.
    #[must_use]
    pub fn admin_calls(&self) -> BTreeMap<(&'static str, AdminResult), u64> {
        self.admin.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
