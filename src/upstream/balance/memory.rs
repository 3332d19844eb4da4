//! What one worker remembers for its balancers, by endpoint id: where a round stands, how long endpoints take.
//!
//! It belongs to the worker, so nothing of it is shared, and it outlives reloads, because ids do.

use std::{cell::RefCell, time::Duration};

use tokio::time::Instant;

use super::peak_ewma::Average;

/// A worker's memory.
#[derive(Debug, Default)]
pub struct Memory {
    cursors: RefCell<Vec<Option<usize>>>,
    averages: RefCell<Vec<Average>>,
}

// === impl Memory ===

impl Memory {
    /// Takes the time from an attempt's start to the response's head.
    pub fn observe(&self, endpoint: usize, took: Duration, now: Instant) {
        let mut averages = self.averages.borrow_mut();
        if averages.len() <= endpoint {
            averages.resize_with(endpoint + 1, Average::default);
        }
        averages[endpoint].observe(took, now);
    }

    /// What a request at the endpoint is expected to take with `load` others in flight; only good for comparing.
    pub(super) fn cost(&self, endpoint: usize, load: u64, now: Instant) -> f64 {
        let averages = self.averages.borrow();
        averages.get(endpoint).copied().unwrap_or_default().cost(load, now)
    }

    /// Calls `step` with the cursor of a round. A new one begins anywhere, so that workers do not go in step.
    pub(super) fn with_cursor<T>(&self, round: usize, bits: u64, step: impl FnOnce(&mut usize) -> T) -> T {
        let mut cursors = self.cursors.borrow_mut();
        if cursors.len() <= round {
            cursors.resize(round + 1, None);
        }
        step(cursors[round].get_or_insert(usize::try_from(bits >> 40).unwrap_or_default()))
    }
}
