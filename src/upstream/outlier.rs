//! Passive health: an endpoint whose answers are bad is ejected for a while.
//!
//! Workers report how attempts ended. A good end costs one load of a counter that is nearly always zero; a bad one counts
//! up, and at a threshold the endpoint is *suspect* for its ejection time, which grows with each ejection in a row. Whether
//! a suspect is ejected as well depends on the others:
//!
//! - **The version-or-host rule.** When most endpoints of a backend are suspect at once, the fault is not theirs but that of
//!   the version they run, and taking them out one by one would only overload the rest. Then none is ejected, those that
//!   were come back, and [`OutlierDetection::is_version_suspect`] says so to whoever decides about the version.
//! - At most `max_ejection_percent` are ejected, but always one where there are two or more.
//!
//! The third detector, the success rate, is a plain minimum over an interval rather than a distance from the others' mean
//! (as Envoy's `success_rate_stdev_factor`): a deviation means nothing among two or three endpoints, which is what most
//! versions have, and operators know what 95 % is. What is bad everywhere is the rule's business.
//!
//! State lives with the [`Endpoint`], so it outlives reloads.

use std::{
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::Endpoint;

/// The longest ejection, unless the base time is longer; Envoy's default for the same.
const MAX_EJECTION: Duration = Duration::from_secs(300);
/// What "most" means in the version-or-host rule: more than this, or more than `max_ejection_percent` where that is higher.
const MOST_PERCENT: usize = 50;

/// When endpoints of a backend are ejected.
#[derive(Debug)]
pub struct OutlierDetection {
    /// Bad answers in a row, statuses of 500 and above and attempts without an answer; 0 is never.
    pub consecutive_5xx: u32,
    /// Statuses 502, 503 and 504 and attempts without an answer in a row; 0 is never.
    pub consecutive_gateway_failures: u32,
    /// The success rate below which an endpoint is ejected.
    pub success_rate: Option<SuccessRate>,
    /// Between two looks at the success rate, and the time in which one ejection is forgotten.
    pub interval: Duration,
    /// The first ejection's time; the n-th in a row has n times of it.
    pub base_ejection_time: Duration,
    /// How many endpoints may be ejected at once, 1 to 100.
    pub max_ejection_percent: u32,
    /// Held while somebody decides, so that two workers do not eject two where one may be.
    deciding: Mutex<()>,
}

/// A minimum of the success rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessRate {
    /// The minimum, 0 to 1.
    pub minimum: f64,
    /// Requests within the interval below which nothing is said of an endpoint.
    pub min_requests: u64,
}

/// How an attempt ended, as far as its endpoint is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It answered with a status below 500.
    Good,
    /// With one of 500 and above that is no gateway's.
    ServerError,
    /// With 502, 503 or 504, or not at all.
    GatewayFailure,
}

/// Why an endpoint was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Bad answers in a row.
    Consecutive5xx,
    /// Gateway failures in a row.
    ConsecutiveGatewayFailures,
    /// A success rate below the minimum.
    SuccessRate,
}

/// What is known of one endpoint. Times are milliseconds since the endpoint's origin; 0 is never.
#[derive(Debug, Default)]
pub struct Record {
    bad_in_row: AtomicU32,
    gateway_in_row: AtomicU32,
    suspect_until: AtomicU64,
    ejected_until: AtomicU64,
    /// Ejections in a row, of which one is forgotten in each interval of good behaviour.
    in_row: AtomicU32,
    ejections: [AtomicU64; Cause::ALL.len()],
    last_cause: AtomicU32,
    /// Where the interval of the success rate began, and what the endpoint had answered by then.
    interval_start: AtomicU64,
    good_before: AtomicU64,
    bad_before: AtomicU64,
}

/// An ejection that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// How long it still does.
    pub left: Duration,
    /// Why.
    pub cause: Cause,
}

// === impl Answer ===

impl Answer {
    /// What a status says.
    #[must_use]
    pub fn of(status: u16) -> Self {
        match status {
            0..=499 => Self::Good,
            502..=504 => Self::GatewayFailure,
            _ => Self::ServerError,
        }
    }
}

// === impl Cause ===

impl Cause {
    /// All causes.
    pub const ALL: [Self; 3] = [Self::Consecutive5xx, Self::ConsecutiveGatewayFailures, Self::SuccessRate];

    /// The word in metrics and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive5xx => "consecutive_5xx",
            Self::ConsecutiveGatewayFailures => "consecutive_gateway_failures",
            Self::SuccessRate => "success_rate",
        }
    }
}

// === impl OutlierDetection ===

impl OutlierDetection {
    /// Detection by bad answers in a row, without a success rate.
    #[must_use]
    pub fn new(consecutive_5xx: u32, base_ejection_time: Duration, max_ejection_percent: u32) -> Self {
        Self {
            consecutive_5xx,
            consecutive_gateway_failures: 0,
            success_rate: None,
            interval: Duration::from_secs(10),
            base_ejection_time,
            max_ejection_percent,
            deciding: Mutex::new(()),
        }
    }

    /// Takes an attempt's end at `endpoint`, one of `peers`, which are all endpoints of the backend. `worker` is the one
    /// that calls; `now` is only asked for when something went wrong.
    pub fn observe(
        &self,
        endpoint: &Endpoint,
        peers: &[Arc<Endpoint>],
        (answer, worker): (Answer, usize),
        now: impl FnOnce() -> Instant,
    ) {
        if self.success_rate.is_some() {
            endpoint.shards.worker(worker).answered(answer == Answer::Good);
        }
        let record = &endpoint.record;
        if answer == Answer::Good {
            forget(&record.bad_in_row);
            forget(&record.gateway_in_row);
            return;
        }
        let bad = record.bad_in_row.fetch_add(1, Relaxed) + 1;
        let gateway = if answer == Answer::GatewayFailure {
            record.gateway_in_row.fetch_add(1, Relaxed) + 1
        } else {
            forget(&record.gateway_in_row);
            0
        };
        let over = |count: u32, threshold: u32| threshold > 0 && count >= threshold;
        if over(gateway, self.consecutive_gateway_failures) {
            self.decide(&[(endpoint, Cause::ConsecutiveGatewayFailures)], peers, now());
        } else if over(bad, self.consecutive_5xx) {
            self.decide(&[(endpoint, Cause::Consecutive5xx)], peers, now());
        }
    }

    /// Looks at the success rates and forgets what was long ago. For the control plane, about once a second.
    pub fn review(&self, peers: &[Arc<Endpoint>], now: Instant) {
        let mut bad: Vec<(f64, &Endpoint)> = Vec::new();
        for endpoint in peers {
            let record = &endpoint.record;
            let at = endpoint.millis(now);
            let start = record.interval_start.load(Relaxed);
            let due = start == 0 || at.saturating_sub(start) >= millis(self.interval);
            if !due {
                continue;
            }
            let first = record.interval_start.swap(at, Relaxed) == 0;
            let rate = record.success_rate(endpoint, self.success_rate.map_or(1, |rate| rate.min_requests));
            if let (Some(rate), Some(wanted), false) = (rate, self.success_rate, first)
                && rate < wanted.minimum
            {
                bad.push((rate, endpoint));
            }
            if !endpoint.is_ejected(now) {
                let _ = record.in_row.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
            }
        }
        bad.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let bad: Vec<_> = bad.into_iter().map(|(_, endpoint)| (endpoint, Cause::SuccessRate)).collect();
        if !bad.is_empty() {
            self.decide(&bad, peers, now);
        }
    }

    /// Whether most endpoints are suspect at once, so that the fault is their version's.
    #[must_use]
    pub fn is_version_suspect(&self, peers: &[Arc<Endpoint>], now: Instant) -> bool {
        let suspects = peers.iter().filter(|peer| peer.record.is_suspect(peer.millis(now))).count();
        let percent = MOST_PERCENT.max(self.max_ejection_percent as usize);
        suspects * 100 > peers.len() * percent
    }

    /// Makes `accused`, the worst first, suspect, and ejects as many of them as may be.
    fn decide(&self, accused: &[(&Endpoint, Cause)], peers: &[Arc<Endpoint>], now: Instant) {
        let _deciding = match self.deciding.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody is at it. Counts stay above their threshold, so the next failure comes here again.
            Err(TryLockError::WouldBlock) => return,
        };
        for (endpoint, _) in accused {
            endpoint.record.suspect(endpoint.millis(now) + millis(self.ejection_time(endpoint)));
        }
        if self.is_version_suspect(peers, now) {
            peers.iter().for_each(|peer| peer.readmit(now));
            return;
        }
        for (endpoint, cause) in accused {
            let out = peers.iter().filter(|peer| peer.is_ejected(now)).count();
            if out < self.most_ejected(peers.len()) && !endpoint.is_ejected(now) {
                endpoint.eject(now + self.ejection_time(endpoint), *cause);
            }
        }
    }

    fn ejection_time(&self, endpoint: &Endpoint) -> Duration {
        let times = endpoint.record.in_row.load(Relaxed).saturating_add(1);
        self.base_ejection_time.saturating_mul(times).min(MAX_EJECTION.max(self.base_ejection_time))
    }

    fn most_ejected(&self, endpoints: usize) -> usize {
        let share = endpoints * self.max_ejection_percent as usize / 100;
        if endpoints > 1 { share.max(1) } else { share }
    }
}

// === impl Record ===

impl Record {
    /// Whether the endpoint is ejected at `at`; `at` is only computed when it ever was.
    pub(super) fn is_ejected(&self, at: impl FnOnce() -> u64) -> bool {
        match self.ejected_until.load(Relaxed) {
            0 => false,
            until => at() < until,
        }
    }

    /// The ejection that lasts at `at`.
    pub(super) fn ejection(&self, at: u64) -> Option<Ejection> {
        let until = self.ejected_until.load(Relaxed);
        let cause = Cause::ALL.get(self.last_cause.load(Relaxed) as usize).copied()?;
        (at < until).then(|| Ejection { left: Duration::from_millis(until - at), cause })
    }

    /// Ejections since the start, by cause.
    #[must_use]
    pub fn ejections(&self) -> [(Cause, u64); Cause::ALL.len()] {
        Cause::ALL.map(|cause| (cause, self.ejections[cause as usize].load(Relaxed)))
    }

    pub(super) fn eject(&self, until: u64, cause: Cause) {
        self.last_cause.store(cause as u32, Relaxed);
        self.ejected_until.store(until, Relaxed);
        self.in_row.fetch_add(1, Relaxed);
        self.ejections[cause as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn readmit(&self) {
        self.ejected_until.store(0, Relaxed);
    }

    fn is_suspect(&self, at: u64) -> bool {
        at < self.suspect_until.load(Relaxed)
    }

    fn suspect(&self, until: u64) {
        self.suspect_until.store(until, Relaxed);
        self.bad_in_row.store(0, Relaxed);
        self.gateway_in_row.store(0, Relaxed);
    }

    /// The rate since the last call; `None` below so many requests.
    #[allow(clippy::cast_precision_loss, reason = "a ratio of counts far below 2^53")]
    fn success_rate(&self, endpoint: &Endpoint, min_requests: u64) -> Option<f64> {
        let (good, bad) = endpoint
            .shards
            .iter()
            .map(|shard| shard.answers())
            .fold((0_u64, 0_u64), |(good, bad), (more_good, more_bad)| (good + more_good, bad + more_bad));
        let good = good.saturating_sub(self.good_before.swap(good, Relaxed));
        let bad = bad.saturating_sub(self.bad_before.swap(bad, Relaxed));
        let all = good + bad;
        (all > 0 && all >= min_requests).then(|| good as f64 / all as f64)
    }
}

/// Zeroes a count that is nearly always zero without writing to it then.
fn forget(count: &AtomicU32) {
    if count.load(Relaxed) != 0 {
        count.store(0, Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
