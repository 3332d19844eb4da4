//! The shards of the statistics: what a worker writes while it serves requests.
//!
//! Every shard belongs to one worker thread, which alone calls the methods that count; any thread may read. What most
//! shards never need (the row of a method, the histogram of a status class) is allocated when it is first seen, so the
//! steady state allocates nothing and an idle backend is small. Shards are aligned to two cache lines (128 bytes: the
//! prefetcher of x86-64 loads lines in pairs), so that workers do not slow each other down.

use std::{sync::OnceLock, time::Duration};

use super::{
    counter::{Counter, Gauge},
    histogram::{Histogram, HistogramSnapshot},
    label::{
        CodeClass, ErrorKind, FaultLabel, Handshake, MethodLabel, PolicyLabel, Refusal, Shed, TokenLabel,
    },
    totals::{Code, EndpointStats, ListenerStats, RouteBackendStats, RouteStats},
};
use crate::types::Reason;

/// The exact codes 100 to 599, and one slot for numbers that are no status.
const CODES: usize = 501;
const FIRST_CODE: u16 = 100;
const LAST_CODE: u16 = 599;

/// One worker's counts of a backend in a route.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct RouteBackendShard {
    in_flight: Gauge,
    requests: [OnceLock<Box<[Counter; CODES]>>; MethodLabel::ALL.len()],
    durations: [OnceLock<Histogram>; CodeClass::ALL.len()],
    upstream: OnceLock<Histogram>,
    errors: [Counter; ErrorKind::ALL.len()],
    assignments: [Counter; Reason::ALL.len()],
    new_buckets: Counter,
    retries: Counter,
    budget_exhausted: Counter,
    shielded: Counter,
}

/// How a request ended, as the client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The status sent; 499 when the client left before there was one.
    pub status: u16,
    /// The request's method.
    pub method: MethodLabel,
    /// From the request's head read to the response's last byte written.
    pub duration: Duration,
    /// From the request's head sent upstream to the response's head read; `None` when none came.
    pub upstream: Option<Duration>,
    /// What went wrong, when something did.
    pub error: Option<ErrorKind>,
}

/// One worker's counts of a route.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct RouteShard {
    matched: Counter,
    overhead: OnceLock<Histogram>,
    answered: [Counter; PolicyLabel::ALL.len()],
    tokens: [Counter; TokenLabel::ALL.len()],
    faults: [Counter; FaultLabel::ALL.len()],
}

/// One worker's counts of a backend's endpoint.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct EndpointShard {
    in_flight: Gauge,
    durations: OnceLock<Histogram>,
    /// Attempts that ended well, and badly; only counted where somebody judges by it.
    answers: [Counter; 2],
}

/// One worker's counts of a listener.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ListenerShard {
    connections: Gauge,
    opened: Counter,
    shed: [Counter; Shed::ALL.len()],
    accept_errors: Counter,
    refused: [Counter; Refusal::ALL.len()],
    handshakes: [Counter; Handshake::ALL.len()],
}

fn code_slot(status: u16) -> usize {
    match status {
        FIRST_CODE..=LAST_CODE => usize::from(status - FIRST_CODE),
        _ => CODES - 1,
    }
}

/// The code of each slot, in the order of [`code_slot`].
fn codes() -> impl Iterator<Item = Code> {
    (FIRST_CODE..=LAST_CODE).map(Code::Exact).chain([Code::Other])
}

fn add_read<const N: usize>(totals: &mut [u64; N], counters: &[Counter; N]) {
    totals.iter_mut().zip(counters).for_each(|(total, counter)| *total += counter.read());
}

fn add_histogram(total: &mut HistogramSnapshot, histogram: &OnceLock<Histogram>) {
    if let Some(histogram) = histogram.get() {
        total.merge(&histogram.snapshot());
    }
}

// === impl RouteBackendShard ===

impl RouteBackendShard {
    /// A request was given to the backend; [`finished`](Self::finished) follows in every case.
    #[inline]
    pub fn started(&self) {
        self.in_flight.up();
    }

    /// The request is over, whether or not an outcome was recorded.
    #[inline]
    pub fn finished(&self) {
        self.in_flight.down();
    }

    /// Counts a request by code, method, duration and error, once, when it ends.
    pub fn record(&self, outcome: &Outcome) {
        let row =
            self.requests[outcome.method.index()].get_or_init(|| Box::new([const { Counter::new() }; CODES]));
        row[code_slot(outcome.status)].add(1);
        let class = CodeClass::of(outcome.status);
        self.durations[class.index()].get_or_init(Histogram::new).record(outcome.duration);
        if let Some(upstream) = outcome.upstream {
            self.upstream.get_or_init(Histogram::new).record(upstream);
        }
        if let Some(kind) = outcome.error {
            self.failed(kind);
        }
    }

    /// Counts an error that [`record`](Self::record) does not see: of an attempt that was retried, or after the head of
    /// the response.
    #[inline]
    pub fn failed(&self, kind: ErrorKind) {
        self.errors[kind.index()].add(1);
    }

    /// The backend was chosen for a request, and why.
    #[inline]
    pub fn assigned(&self, reason: Reason) {
        self.assignments[reason.index()].add(1);
    }

    /// A user was seen for the first time and the new bucket belongs to this backend.
    #[inline]
    pub fn new_bucket(&self) {
        self.new_buckets.add(1);
    }

    /// A further attempt was made.
    #[inline]
    pub fn retried(&self) {
        self.retries.add(1);
    }

    /// A further attempt was not made, because too many were.
    #[inline]
    pub fn budget_exhausted(&self) {
        self.budget_exhausted.add(1);
    }

    /// A failure of the backend was not seen by the client, because the baseline answered.
    #[inline]
    pub fn shielded(&self) {
        self.shielded.add(1);
    }

    pub(super) fn add_to(&self, total: &mut RouteBackendStats) {
        total.in_flight += self.in_flight.read();
        for (method, row) in MethodLabel::ALL.into_iter().zip(&self.requests) {
            let Some(row) = row.get() else { continue };
            for (code, counter) in codes().zip(row.iter()) {
                let count = counter.read();
                if count > 0 {
                    *total.requests.entry((code, method)).or_default() += count;
                }
            }
        }
        for (total, durations) in total.durations.iter_mut().zip(&self.durations) {
            add_histogram(total, durations);
        }
        add_histogram(&mut total.upstream, &self.upstream);
        add_read(&mut total.errors, &self.errors);
        add_read(&mut total.assignments, &self.assignments);
        total.new_buckets += self.new_buckets.read();
        total.retries += self.retries.read();
        total.budget_exhausted += self.budget_exhausted.read();
        total.shielded += self.shielded.read();
    }
}

// === impl RouteShard ===

impl RouteShard {
    /// A request matched the route, whoever answers it.
    #[inline]
    pub fn matched(&self) {
        self.matched.add(1);
    }

    /// The route answered a request itself.
    #[inline]
    pub fn answered(&self, by: PolicyLabel) {
        self.answered[by.index()].add(1);
    }

    /// A request's token was looked at.
    #[inline]
    pub fn token(&self, found: TokenLabel) {
        self.tokens[found.index()].add(1);
    }

    /// A request is made to fail, or to wait.
    #[inline]
    pub fn fault(&self, fault: FaultLabel) {
        self.faults[fault.index()].add(1);
    }

    /// The time that a request spent in Weir itself: everything but waiting for the client and the upstream.
    #[inline]
    pub fn overhead(&self, time: Duration) {
        self.overhead.get_or_init(Histogram::new).record(time);
    }

    pub(super) fn add_to(&self, total: &mut RouteStats) {
        total.matched += self.matched.read();
        add_histogram(&mut total.overhead, &self.overhead);
        add_read(&mut total.answered, &self.answered);
        add_read(&mut total.tokens, &self.tokens);
        add_read(&mut total.faults, &self.faults);
    }
}

// === impl EndpointShard ===

impl EndpointShard {
    /// A request was sent to the endpoint; [`finished`](Self::finished) follows in every case.
    #[inline]
    pub fn started(&self) {
        self.in_flight.up();
    }

    /// The request is over.
    #[inline]
    pub fn finished(&self) {
        self.in_flight.down();
    }

    /// This worker's requests at the endpoint now; what the balancer compares. One load.
    #[inline]
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.read()
    }

    /// Counts an attempt that the endpoint answered, from its start to the response's last byte.
    #[inline]
    pub fn record(&self, duration: Duration) {
        self.durations.get_or_init(Histogram::new).record(duration);
    }

    /// Counts how an attempt ended, for the success rate of outlier detection.
    #[inline]
    pub fn answered(&self, well: bool) {
        self.answers[usize::from(!well)].add(1);
    }

    /// How many attempts were counted as [`answered`](Self::answered) well, and badly.
    #[must_use]
    pub fn answers(&self) -> (u64, u64) {
        (self.answers[0].read(), self.answers[1].read())
    }

    pub(super) fn add_to(&self, total: &mut EndpointStats) {
        total.in_flight += self.in_flight.read();
        add_histogram(&mut total.durations, &self.durations);
    }
}

// === impl ListenerShard ===

impl ListenerShard {
    /// A connection was accepted; [`closed`](Self::closed) follows in every case.
    #[inline]
    pub fn opened(&self) {
        self.opened.add(1);
        self.connections.up();
    }

    /// An accepted connection is gone.
    #[inline]
    pub fn closed(&self) {
        self.connections.down();
    }

    /// This worker's open connections. One load.
    #[inline]
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.read()
    }

    /// A connection was turned away because of a limit; it was never [`opened`](Self::opened).
    #[inline]
    pub fn shed(&self, at: Shed) {
        self.shed[at.index()].add(1);
    }

    /// A connection could not be accepted for want of a descriptor or memory; it waits.
    #[inline]
    pub fn accept_error(&self) {
        self.accept_errors.add(1);
    }

    /// A request was answered by the listener itself.
    #[inline]
    pub fn refused(&self, reason: Refusal) {
        self.refused[reason.index()].add(1);
    }

    /// A TLS handshake ended.
    #[inline]
    pub fn handshake(&self, result: Handshake) {
        self.handshakes[result.index()].add(1);
    }

    pub(super) fn add_to(&self, total: &mut ListenerStats) {
        total.connections += self.connections.read();
        total.opened += self.opened.read();
        add_read(&mut total.shed, &self.shed);
        total.accept_errors += self.accept_errors.read();
        add_read(&mut total.refused, &self.refused);
        add_read(&mut total.handshakes, &self.handshakes);
    }
}
