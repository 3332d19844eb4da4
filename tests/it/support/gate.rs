//! A gate between threads: closed until somebody opens it.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use super::PATIENCE;

/// A gate; clones are the same gate.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everybody through, from now on.
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Whether it is open.
    pub(crate) fn is_open(&self) -> bool {
        *self.0.0.lock().unwrap()
    }

    /// Waits until the gate is open. After [`PATIENCE`] it lets through as well; the case fails by what it sees then.
    pub(crate) fn wait(&self) {
        self.wait_at_most(PATIENCE);
    }

    /// The same with another patience; for what must take a while and happens without an event.
    pub(crate) fn wait_at_most(&self, patience: Duration) {
        let (lock, changed) = &*self.0;
        let _open = changed.wait_timeout_while(lock.lock().unwrap(), patience, |open| !*open).unwrap();
    }
}
