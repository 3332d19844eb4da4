//! Where the snapshot in force is kept: one writer, any number of readers, one swap per change.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::Snapshot;

/// Publishes snapshots. There is one, and it cannot be cloned: whoever holds it is the single writer.
#[derive(Debug)]
pub struct Writer(Arc<ArcSwap<Snapshot>>);

/// Reads the snapshot in force.
#[derive(Debug, Clone)]
pub struct Reader(Arc<ArcSwap<Snapshot>>);

/// A reader's own copy, checked against the cell with one load.
pub struct Cached(Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>);

/// A cell that holds `initial`.
#[must_use]
pub fn cell(initial: Snapshot) -> (Writer, Reader) {
    let swap = Arc::new(ArcSwap::from_pointee(initial));
    (Writer(Arc::clone(&swap)), Reader(swap))
}

// === impl Writer ===

impl Writer {
    /// Puts `snapshot` in force: every request that begins after this sees it.
    pub fn publish(&mut self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }
}

// === impl Reader ===

impl Reader {
    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// A copy for one thread to check often.
    #[must_use]
    pub fn cached(&self) -> Cached {
        Cached(Cache::new(Arc::clone(&self.0)))
    }
}

// === impl Cached ===

impl Cached {
    /// The snapshot in force.
    pub fn load(&mut self) -> &Arc<Snapshot> {
        self.0.load()
    }
}
