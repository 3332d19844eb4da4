//! What the load saw: counts and times per phase of the demo and per version.
//!
//! A request belongs to the phase in which it was *sent*: one that was under way when a weight changed says nothing
//! about the new weight. The load's thread writes, the screen reads.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use super::{
    ledger::Sighting,
    version::{PerVersion, Version},
};
use crate::telemetry::{Histogram, HistogramSnapshot};

/// Everything that the load counts; one thread writes, any may read.
pub(super) struct LoadStats {
    phase: AtomicUsize,
    phases: Vec<PhaseStats>,
    /// Users that changed from v1 to v2.
    moved: AtomicU64,
    /// Users that changed from v2 to v1.
    switched_back: AtomicU64,
    /// Why the first requests failed.
    reasons: Mutex<Vec<String>>,
}

/// How many reasons of failures are kept: most often all have the same.
const REASONS: usize = 3;

#[derive(Default)]
struct PhaseStats {
    /// Requests that were sent.
    begun: AtomicU64,
    /// Requests that ended, in whichever way.
    ended: AtomicU64,
    /// From sending a request to the last byte of its answer, failed ones included when they name a version.
    latency: PerVersion<Histogram>,
    /// Failures of a known version.
    failed: PerVersion<AtomicU64>,
    /// Failures that no version had a part in.
    lost: AtomicU64,
}

/// The end of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// The phase in which it was sent.
    pub(super) phase: usize,
    /// Who answered, if anybody.
    pub(super) version: Option<Version>,
    /// Whether it was the right answer.
    pub(super) ok: bool,
    /// From sending to the last byte.
    pub(super) took: Duration,
}

/// Counts of one phase or of several.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    latency: PerVersion<HistogramSnapshot>,
    failed: PerVersion<u64>,
    lost: u64,
}

// === impl LoadStats ===

impl LoadStats {
    /// Empty counts of so many phases; the first is the one at present.
    pub(super) fn new(phases: usize) -> Self {
        Self {
            phase: AtomicUsize::new(0),
            phases: (0..phases).map(|_| PhaseStats::default()).collect(),
            moved: AtomicU64::new(0),
            switched_back: AtomicU64::new(0),
            reasons: Mutex::default(),
        }
    }

    /// Begins the next phase; the last one has no end.
    pub(super) fn next_phase(&self) -> usize {
        let next = (self.phase.load(SeqCst) + 1).min(self.phases.len() - 1);
        self.phase.store(next, SeqCst);
        next
    }

    /// A request is about to be sent; returns the phase it belongs to. [`count`](Self::count) has to follow.
    ///
    /// Whoever starts a new phase and then finds the old one [`settled`](Self::settled) can rely on it: either the
    /// request is seen there, or it sees the new phase here.
    pub(super) fn begin(&self) -> usize {
        loop {
            let phase = self.phase.load(SeqCst);
            self.phases[phase].begun.fetch_add(1, SeqCst);
            if self.phase.load(SeqCst) == phase {
                return phase;
            }
            self.phases[phase].begun.fetch_sub(1, SeqCst);
        }
    }

    /// Whether every request of an earlier phase has ended.
    pub(super) fn settled(&self, phase: usize) -> bool {
        self.phases.get(phase).is_none_or(|phase| phase.ended.load(SeqCst) == phase.begun.load(SeqCst))
    }

    /// Counts a request that has ended. Only the load's thread may call this.
    pub(super) fn count(&self, outcome: Outcome) {
        let Some(phase) = self.phases.get(outcome.phase) else { return };
        match outcome.version {
            Some(version) => {
                phase.latency.get(version).record(outcome.took);
                if !outcome.ok {
                    phase.failed.get(version).fetch_add(1, Relaxed);
                }
            }
            None => drop(phase.lost.fetch_add(1, Relaxed)),
        }
        phase.ended.fetch_add(1, SeqCst);
    }

    /// Remembers why a request failed, if it is one of the first.
    pub(super) fn failed_because(&self, reason: &dyn Fn() -> String) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < REASONS {
            reasons.push(reason());
        }
    }

    /// Why the first requests failed, each reason once.
    pub(super) fn reasons(&self) -> Vec<String> {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reasons.dedup();
        reasons
    }

    /// Counts what the ledger saw.
    pub(super) fn sighted(&self, sighting: Sighting) {
        match sighting {
            Sighting::First(_) | Sighting::Stayed => {}
            Sighting::Moved => drop(self.moved.fetch_add(1, Relaxed)),
            Sighting::SwitchedBack => drop(self.switched_back.fetch_add(1, Relaxed)),
        }
    }

    /// How often a user changed from v1 to v2.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }

    /// How often a user changed from v2 to v1.
    pub(super) fn switched_back(&self) -> u64 {
        self.switched_back.load(Relaxed)
    }

    /// The counts of one phase; all zero when there is no such phase.
    pub(super) fn tally(&self, phase: usize) -> Tally {
        self.phases.get(phase).map(PhaseStats::tally).unwrap_or_default()
    }

    /// The counts of all phases.
    pub(super) fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.phases.iter().for_each(|phase| total.add(&phase.tally()));
        total
    }
}

// === impl PhaseStats ===

impl PhaseStats {
    fn tally(&self) -> Tally {
        Tally {
            latency: PerVersion::of(|version| self.latency.get(version).snapshot()),
            failed: PerVersion::of(|version| self.failed.get(version).load(Relaxed)),
            lost: self.lost.load(Relaxed),
        }
    }
}

// === impl Tally ===

impl Tally {
    /// Requests that `version` answered.
    pub(super) fn requests(&self, version: Version) -> u64 {
        self.latency.get(version).count()
    }

    /// Failures of `version`.
    pub(super) fn failed(&self, version: Version) -> u64 {
        *self.failed.get(version)
    }

    /// All requests.
    pub(super) fn all_requests(&self) -> u64 {
        self.requests(Version::V1) + self.requests(Version::V2) + self.lost
    }

    /// Failures that no version had a part in.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// All failures.
    pub(super) fn all_failed(&self) -> u64 {
        self.failed.v1 + self.failed.v2 + self.lost
    }

    /// The part of `version` in what was answered, 0 to 1; `None` before the first answer.
    #[allow(clippy::cast_precision_loss, reason = "a demo has fewer than 2^53 requests")]
    pub(super) fn share(&self, version: Version) -> Option<f64> {
        let answered = self.requests(Version::V1) + self.requests(Version::V2);
        (answered > 0).then(|| self.requests(version) as f64 / answered as f64)
    }

    /// A quantile of the time that requests of `version` took, in milliseconds rounded to hundredths.
    pub(super) fn quantile_ms(&self, version: Version, q: f64) -> Option<f64> {
        let duration = self.latency.get(version).quantile(q)?;
        Some(millis(duration))
    }

    fn add(&mut self, other: &Self) {
        self.latency.v1.merge(&other.latency.v1);
        self.latency.v2.merge(&other.latency.v2);
        self.failed.v1 += other.failed.v1;
        self.failed.v2 += other.failed.v2;
        self.lost += other.lost;
    }

    /// What was counted since `earlier`, a tally of the same phases.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let failed = |version| self.failed(version).saturating_sub(earlier.failed(version));
        Self {
            latency: PerVersion::of(|version| self.latency.get(version).since(earlier.latency.get(version))),
            failed: PerVersion::of(failed),
            lost: self.lost.saturating_sub(earlier.lost),
        }
    }
}

/// Milliseconds, rounded to hundredths: finer is noise here.
pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_settles_when_its_last_request_has_ended() {
        let stats = LoadStats::new(2);
        let outcome = |phase| Outcome { phase, version: None, ok: false, took: Duration::ZERO };
        let (one, two) = (stats.begin(), stats.begin());
        stats.next_phase();
        let three = stats.begin();
        assert_eq!((one, two, three), (0, 0, 1));
        stats.count(outcome(one));
        assert!(!stats.settled(0));
        stats.count(outcome(two));
        assert!(stats.settled(0) && !stats.settled(1));
        stats.count(outcome(three));
        assert!(stats.settled(1));
    }

    #[test]
    fn requests_count_where_they_were_sent() {
        let stats = LoadStats::new(2);
        let took = Duration::from_millis(5);
        let outcome = |phase, version, ok| Outcome { phase, version, ok, took };
        stats.count(outcome(0, Some(Version::V1), true));
        assert_eq!(stats.next_phase(), 1);
        assert_eq!(stats.next_phase(), 1, "the last phase has no end");
        let before = stats.total();
        stats.count(outcome(0, Some(Version::V1), true));
        stats.count(outcome(1, Some(Version::V2), true));
        stats.count(outcome(1, Some(Version::V2), false));
        stats.count(outcome(1, None, false));
        stats.count(outcome(7, Some(Version::V2), true));

        let (first, second, total) = (stats.tally(0), stats.tally(1), stats.total());
        assert_eq!((first.all_requests(), first.all_failed(), first.share(Version::V2)), (2, 0, Some(0.0)));
        assert_eq!((second.all_requests(), second.all_failed()), (3, 2));
        assert_eq!((second.failed(Version::V2), second.share(Version::V2)), (1, Some(1.0)));
        assert_eq!((total.all_requests(), total.requests(Version::V1)), (5, 2));
        assert_eq!(total.since(&before).all_requests(), 4);
        assert_eq!(Tally::default().share(Version::V1), None);
        let p50 = second.quantile_ms(Version::V2, 0.5).unwrap();
        assert!((4.9..5.1).contains(&p50), "{p50}");
    }
}
