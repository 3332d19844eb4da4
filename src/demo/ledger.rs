//! What the users saw, step by step: the demo's proof.
//!
//! A request belongs to the step in which it was sent. All requests of one user go through one connection, so they are
//! recorded in the order in which they were answered, and a user who goes back to the old version is seen as such.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::telemetry::{Histogram, HistogramSnapshot};

/// Failures that are kept in words.
const KEPT_FAILURES: usize = 5;

/// A version of the demo's service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// What runs.
    V1,
    /// What comes.
    V2,
}

/// What the users saw so far; shared.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Books>);

#[derive(Debug)]
struct Books {
    steps: Vec<[Book; 2]>,
    users: BTreeMap<u32, Version>,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Book {
    requests: u64,
    latency: Histogram,
}

/// Over all steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Requests that failed: no connection, no answer, a status other than 200.
    pub failed: u64,
    /// The first failures, in words.
    pub failures: Vec<String>,
    /// Users seen.
    pub users: usize,
    /// Users who went from v1 to v2.
    pub forward: u64,
    /// Users who went from v2 to v1.
    pub back: u64,
}

/// One step.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// v1, then v2.
    pub versions: [Tally; 2],
}

/// A version in a step.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Requests that it answered.
    pub requests: u64,
    /// How long they took, as the client saw it.
    pub latency: HistogramSnapshot,
}

// === impl Version ===

impl Version {
    /// Both, the old one first.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// Its name: the backend's, and what it answers in `x-backend`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// The version of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == name)
    }
}

// === impl Ledger ===

impl Ledger {
    /// The step under way, counted from 0.
    #[must_use]
    pub fn step(&self) -> usize {
        self.lock().steps.len() - 1
    }

    /// Begins the next step; requests sent from now on belong to it.
    pub fn begin_step(&self) {
        self.lock().steps.push(Default::default());
    }

    /// Records the answer to a request that `user` sent in `step`, or why there is none.
    pub fn record(&self, step: usize, user: u32, answer: Result<(Version, Duration), String>) {
        let mut books = self.lock();
        books.totals.requests += 1;
        match answer {
            Ok((version, latency)) => {
                let book = &mut books.steps[step][version as usize];
                book.requests += 1;
                book.latency.record(latency);
                match (books.users.insert(user, version), version) {
                    (Some(Version::V1), Version::V2) => books.totals.forward += 1,
                    (Some(Version::V2), Version::V1) => books.totals.back += 1,
                    _ => {}
                }
            }
            Err(failure) => {
                books.totals.failed += 1;
                if books.totals.failures.len() < KEPT_FAILURES {
                    books.totals.failures.push(failure);
                }
            }
        }
    }

    /// Over all steps.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let books = self.lock();
        Totals { users: books.users.len(), ..books.totals.clone() }
    }

    /// The step with this number, `None` when it has not begun.
    #[must_use]
    pub fn report(&self, step: usize) -> Option<StepReport> {
        let books = self.lock();
        let tally = |book: &Book| Tally { requests: book.requests, latency: book.latency.snapshot() };
        books.steps.get(step).map(|[old, new]| StepReport { versions: [tally(old), tally(new)] })
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Books ===

impl Default for Books {
    fn default() -> Self {
        Self { steps: vec![Default::default()], users: BTreeMap::new(), totals: Totals::default() }
    }
}

// === impl StepReport ===

impl StepReport {
    /// Requests that were answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.versions.iter().map(|tally| tally.requests).sum()
    }

    /// The part that `version` answered, 0 to 1; 0 when there was none.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of a demo")]
    pub fn share(&self, version: Version) -> f64 {
        self.versions[version as usize].requests as f64 / self.requests().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_and_failures_are_counted() {
        let ledger = Ledger::default();
        let seen = |version| Ok((version, Duration::from_millis(3)));
        ledger.record(0, 1, seen(Version::V1));
        ledger.record(0, 2, seen(Version::V1));
        ledger.begin_step();
        ledger.record(1, 1, seen(Version::V2));
        ledger.record(0, 2, seen(Version::V1));
        ledger.record(1, 1, seen(Version::V1));
        ledger.record(1, 3, Err("no answer".to_owned()));
        let totals = ledger.totals();
        assert_eq!((totals.requests, totals.failed, totals.users), (6, 1, 2));
        assert_eq!((totals.forward, totals.back, ledger.step()), (1, 1, 1));
        assert_eq!(totals.failures, ["no answer"]);
        assert_eq!(ledger.report(0).unwrap().requests(), 3);
        let share = ledger.report(1).unwrap().share(Version::V2);
        assert!((share - 0.5).abs() < 1e-9);
        assert!(ledger.report(2).is_none());
    }
}
