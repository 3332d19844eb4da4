//! Sums: how many requests of a version ended how, and the window over the last of them.

use std::{collections::VecDeque, time::Duration};

use crate::{
    config::model::rollout::Metric,
    telemetry::{
        ErrorKind, HistogramSnapshot,
        trial::{Arm, End, Note},
    },
};

/// How the requests of one version ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    /// Requests that ended, without those whose client left.
    pub requests: u64,
    /// Those with a status of 500 and above, or without a whole response.
    pub errors: u64,
    /// Those that the backend did not answer itself: 502, 503, 504, no connection, a timeout, a reset.
    pub unavailable: u64,
    /// Those that needed a further attempt.
    pub retried: u64,
    /// Those that ended in a reset connection.
    pub resets: u64,
    /// How long they took.
    pub latency: HistogramSnapshot,
}

/// The sums of both versions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pair {
    /// The old version.
    pub baseline: Sums,
    /// The new version.
    pub canary: Sums,
}

/// The sums of the last so much time, in slots of equal length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// Slots with something in them, by number.
    slots: VecDeque<(u64, Pair)>,
    /// All of them together.
    total: Pair,
}

/// How long a slot is.
const SLOT: Duration = Duration::from_secs(1);

/// Whether a request failed by the version's fault.
#[must_use]
pub fn is_error(end: &End) -> bool {
    end.status >= 500 || matches!(end.error, Some(kind) if kind != ErrorKind::AbortedByClient)
}

/// Whether nothing can be said of a request, because its client left before it ended.
#[must_use]
pub fn is_void(end: &End) -> bool {
    end.error == Some(ErrorKind::AbortedByClient)
}

fn is_unavailable(end: &End) -> bool {
    let by_status = matches!(end.status, 502..=504);
    by_status
        || matches!(
            end.error,
            Some(
                ErrorKind::Connect
                    | ErrorKind::Timeout
                    | ErrorKind::Reset
                    | ErrorKind::Tls
                    | ErrorKind::Unavailable
            )
        )
}

#[allow(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

// === impl Sums ===

impl Sums {
    /// Counts a request that ended.
    pub fn add(&mut self, end: &End) {
        if is_void(end) {
            return;
        }
        self.requests += 1;
        self.errors += u64::from(is_error(end));
        self.unavailable += u64::from(is_unavailable(end));
        self.retried += u64::from(end.retried);
        self.resets += u64::from(end.error == Some(ErrorKind::Reset));
        self.latency.record(end.duration);
    }

    /// Adds what others counted.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.unavailable += other.unavailable;
        self.retried += other.retried;
        self.resets += other.resets;
        self.latency.merge(&other.latency);
    }

    /// Takes away what was added before.
    fn remove(&mut self, other: &Self) {
        self.requests -= other.requests;
        self.errors -= other.errors;
        self.unavailable -= other.unavailable;
        self.retried -= other.retried;
        self.resets -= other.resets;
        self.latency.remove(&other.latency);
    }

    /// The value of `metric` over so much time, and how many requests were bad where that can be counted; `None` when it has none.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    pub fn value(&self, metric: Metric, covered: Duration) -> Option<f64> {
        match metric {
            Metric::ErrorRate => ratio(self.errors, self.requests),
            Metric::SuccessRate => ratio(self.requests - self.errors, self.requests),
            Metric::Availability => ratio(self.requests - self.unavailable, self.requests),
            Metric::RequestRate => (!covered.is_zero()).then(|| self.requests as f64 / covered.as_secs_f64()),
            Metric::Latency(quantile) => self.latency.quantile(quantile).map(|of| of.as_secs_f64()),
            Metric::RetryRate => ratio(self.retried, self.requests),
            Metric::ResetRate => ratio(self.resets, self.requests),
        }
    }

    /// How many requests count against the version by `metric`; `None` where none does by itself.
    #[must_use]
    pub fn bad(&self, metric: Metric) -> Option<u64> {
        match metric {
            Metric::ErrorRate | Metric::SuccessRate => Some(self.errors),
            Metric::Availability => Some(self.unavailable),
            Metric::RetryRate => Some(self.retried),
            Metric::ResetRate => Some(self.resets),
            Metric::RequestRate | Metric::Latency(_) => None,
        }
    }
}

// === impl Pair ===

impl Pair {
    /// The sums of a version.
    #[must_use]
    pub fn arm(&self, arm: Arm) -> &Sums {
        match arm {
            Arm::Baseline => &self.baseline,
            Arm::Canary => &self.canary,
        }
    }

    /// Counts a request that ended; notes of beginnings count nothing.
    pub fn add(&mut self, note: &Note) {
        let Some(end) = &note.end else { return };
        match note.arm {
            Arm::Baseline => self.baseline.add(end),
            Arm::Canary => self.canary.add(end),
        }
    }

    /// Adds what others counted.
    pub fn merge(&mut self, other: &Self) {
        self.baseline.merge(&other.baseline);
        self.canary.merge(&other.canary);
    }
}

// === impl Window ===

impl Window {
    /// Adds what ended at `at`, since whenever the caller counts from. Time does not go back.
    pub fn add(&mut self, at: Duration, pair: &Pair) {
        if *pair == Pair::default() {
            return;
        }
        self.total.merge(pair);
        let slot = number(at);
        match self.slots.back_mut() {
            Some((last, sums)) if *last >= slot => sums.merge(pair),
            _ => self.slots.push_back((slot, pair.clone())),
        }
    }

    /// Forgets what is older than `keep` at `now`, to a second.
    pub fn forget(&mut self, now: Duration, keep: Duration) {
        let first = number(now.saturating_sub(keep));
        while self.slots.front().is_some_and(|(slot, _)| *slot < first) {
            let Some((_, old)) = self.slots.pop_front() else { break };
            self.total.baseline.remove(&old.baseline);
            self.total.canary.remove(&old.canary);
        }
    }

    /// What ended and is not forgotten.
    #[must_use]
    pub fn total(&self) -> &Pair {
        &self.total
    }
}

fn number(at: Duration) -> u64 {
    u64::try_from(at.as_millis() / SLOT.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(status: u16, error: Option<ErrorKind>) -> End {
        End { status, error, retried: false, duration: Duration::from_millis(10) }
    }

    #[test]
    fn requests_are_judged_by_whose_fault_it_was() {
        for (ended, requests, errors, unavailable) in [
            (end(200, None), 1, 0, 0),
            (end(404, None), 1, 0, 0),
            (end(500, None), 1, 1, 0),
            (end(501, None), 1, 1, 0),
            (end(503, None), 1, 1, 1),
            (end(502, Some(ErrorKind::Connect)), 1, 1, 1),
            (end(200, Some(ErrorKind::Reset)), 1, 1, 1),
            (end(502, Some(ErrorKind::Protocol)), 1, 1, 1),
            (end(504, Some(ErrorKind::Timeout)), 1, 1, 1),
            (end(499, Some(ErrorKind::AbortedByClient)), 0, 0, 0),
        ] {
            let mut sums = Sums::default();
            sums.add(&ended);
            assert_eq!(
                (sums.requests, sums.errors, sums.unavailable),
                (requests, errors, unavailable),
                "{ended:?}"
            );
        }
    }

    #[test]
    fn a_window_has_what_is_young_enough() {
        let one = |status| {
            let mut pair = Pair::default();
            pair.canary.add(&end(status, None));
            pair
        };
        let mut window = Window::default();
        window.add(Duration::from_millis(100), &one(500));
        window.add(Duration::from_secs(5), &one(200));
        window.add(Duration::from_secs(10), &one(500));
        assert_eq!(window.total().canary.requests, 3);
        window.forget(Duration::from_secs(12), Duration::from_secs(8));
        assert_eq!((window.total().canary.requests, window.total().canary.errors), (2, 1));
        window.forget(Duration::from_secs(12), Duration::from_secs(3));
        assert_eq!(*window.total(), one(500));
    }
}
