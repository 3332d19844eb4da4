//! The two cells that every shard is made of: a counter and a gauge with one writer and many readers.
//!
//! The owner of a shard is one worker thread, so an update is a plain load and a plain store: no locked instruction, no
//! cache line that bounces between cores. A reader on another thread may see a value a moment late, never a torn one.
//! Two writers on one cell would lose updates; that is why every worker has its own shard.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows; wraps at 2^64.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// A number of things that exist now, never below zero.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

// === impl Counter ===

impl Counter {
    /// A counter at zero.
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`. Only the owner of the shard may call this.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The value, from any thread.
    #[inline]
    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// === impl Gauge ===

impl Gauge {
    /// One more. Only the owner of the shard may call this.
    #[inline]
    pub(crate) fn up(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// One less. Only the owner of the shard may call this.
    #[inline]
    pub(crate) fn down(&self) {
        let value = self.0.load(Relaxed);
        debug_assert!(value > 0, "something ended that never began");
        self.0.store(value.saturating_sub(1), Relaxed);
    }

    /// The value, from any thread.
    #[inline]
    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
