//! Trials: what the data path tells a rollout of every request on its route, one by one.
//!
//! Counters say how many requests failed; whether a canary is worse can only be judged by who was sent where at random, when, and how
//! each of them ended (docs/analysis.md). So while a rollout has a stage in force, workers note each request twice: when its backend is
//! chosen and when it is over. Each worker has a ring of its own that it alone writes and the rollout alone reads: two stores and no
//! lock for each note. A ring that is full loses notes and counts them, and the rollout knows.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use tokio::time::Instant;

use super::label::{ErrorKind, MethodLabel};
use crate::types::{Bucket, clock};

/// Notes that a ring holds; a worker at 50,000 requests per second fills it in 650 ms, and it is emptied every 100.
const NOTES: usize = 1 << 16;

/// Failed requests that are kept as examples.
pub const FAILURES: usize = 64;

/// What is measured of one stage of a rollout on one route.
#[derive(Debug)]
pub struct Trial {
    /// The rollout's id.
    pub rollout: String,
    /// The stage's number.
    pub stage: u32,
    /// When it was put in force; notes count from here.
    began: Instant,
    rings: Box<[Ring]>,
    failures: Mutex<VecDeque<FailedRequest>>,
}

/// A request that failed on the canary, as an example for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRequest {
    /// When it came, since the Unix epoch.
    pub time: Duration,
    /// Its method.
    pub method: MethodLabel,
    /// Its path without the query, cut at 512 bytes.
    pub path: String,
    /// The status that the canary gave.
    pub status: u16,
    /// What went wrong, beside the status.
    pub error: Option<ErrorKind>,
    /// How long it took.
    pub duration: Duration,
    /// Its `X-Request-Id`, cut at 128 bytes.
    pub request_id: Option<String>,
    /// The trace that it is a part of.
    pub trace_id: Option<String>,
}

/// Which version a request was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arm {
    /// The old one.
    Baseline,
    /// The new one.
    Canary,
}

/// One note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// When the backend was chosen, in microseconds since the trial began.
    pub at: u64,
    /// The version that was chosen first, whoever answered in the end.
    pub arm: Arm,
    /// Whether chance decided, with the stage's share: only these are compared with each other.
    pub drawn: bool,
    /// Whether it is a copy of a request, whose response nobody gets.
    pub copy: bool,
    /// The user, where users keep their version.
    pub bucket: Option<Bucket>,
    /// How it ended; `None` when it has just begun.
    pub end: Option<End>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The status that the chosen version gave, 100 to 599; 499 when the client left before.
    pub status: u16,
    /// What went wrong, when something did.
    pub error: Option<ErrorKind>,
    /// Whether a further attempt was made.
    pub retried: bool,
    /// From the request's head read to the response's last byte, cut at 71 minutes.
    pub duration: Duration,
}

/// The notes of one worker: a queue of fixed size with one writer and one reader.
#[derive(Debug)]
#[repr(align(128))]
struct Ring {
    /// How many notes were ever written.
    head: AtomicU64,
    /// How many were ever read.
    tail: AtomicU64,
    lost: AtomicU64,
    notes: Box<[[AtomicU64; 2]]>,
}

// === impl Trial ===

impl Trial {
    /// A trial that begins now, for so many workers.
    #[must_use]
    pub fn new(rollout: &str, stage: u32, workers: usize) -> Self {
        Self {
            rollout: rollout.to_owned(),
            stage,
            began: clock::now(),
            rings: (0..workers).map(|_| Ring::default()).collect(),
            failures: Mutex::default(),
        }
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Notes a request; only `worker` itself may say so.
    #[inline]
    pub fn note(&self, worker: usize, note: &Note) {
        if let Some(ring) = self.rings.get(worker) {
            ring.push(note.packed());
        }
    }

    /// The time of a note that is made now.
    #[inline]
    #[must_use]
    pub fn at(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// Takes out all notes there are, a worker's in their order, and appends them to `notes`. Only one reader may do so.
    pub fn drain(&self, notes: &mut Vec<Note>) {
        for ring in &self.rings {
            ring.drain(|packed| notes.extend(Note::unpacked(packed)));
        }
    }

    /// Keeps a failed request as an example, the latest [`FAILURES`] of them. `request` is not even asked for while somebody else has
    /// the list: no worker waits here.
    pub fn failed(&self, request: impl FnOnce() -> FailedRequest) {
        let Ok(mut failures) = self.failures.try_lock() else { return };
        if failures.len() == FAILURES {
            failures.pop_front();
        }
        failures.push_back(request());
    }

    /// The latest failed requests of the canary, oldest first.
    #[must_use]
    pub fn failures(&self) -> Vec<FailedRequest> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().cloned().collect()
    }

    /// How many notes were lost because a ring was full.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.rings.iter().map(|ring| ring.lost.load(Relaxed)).sum()
    }
}

// === impl Ring ===

impl Default for Ring {
    fn default() -> Self {
        let notes = (0..NOTES).map(|_| [AtomicU64::new(0), AtomicU64::new(0)]).collect();
        Self { head: AtomicU64::new(0), tail: AtomicU64::new(0), lost: AtomicU64::new(0), notes }
    }
}

impl Ring {
    #[inline]
    fn push(&self, [first, second]: [u64; 2]) {
        // Only the writer writes `head`; the reader has left a place once its `tail` says so.
        let head = self.head.load(Relaxed);
        if head - self.tail.load(Acquire) >= NOTES as u64 {
            self.lost.store(self.lost.load(Relaxed) + 1, Relaxed);
            return;
        }
        let place = &self.notes[Self::place(head)];
        place[0].store(first, Relaxed);
        place[1].store(second, Relaxed);
        self.head.store(head + 1, Release);
    }

    fn drain(&self, mut take: impl FnMut([u64; 2])) {
        let head = self.head.load(Acquire);
        for number in self.tail.load(Relaxed)..head {
            let place = &self.notes[Self::place(number)];
            take([place[0].load(Relaxed), place[1].load(Relaxed)]);
        }
        self.tail.store(head, Release);
    }

    #[allow(clippy::cast_possible_truncation, reason = "below NOTES")]
    fn place(number: u64) -> usize {
        (number % NOTES as u64) as usize
    }
}

// === impl Note ===

/// Where the parts of a note are. First word: time (42 bits, 50 days), flags. Second word: bucket, status, error, duration.
const TIME_BITS: u32 = 42;
const CANARY: u64 = 1 << TIME_BITS;
const DRAWN: u64 = CANARY << 1;
const HAS_BUCKET: u64 = CANARY << 2;
const ENDED: u64 = CANARY << 3;
const FAILED: u64 = CANARY << 4;
const RETRIED: u64 = CANARY << 5;
const COPY: u64 = CANARY << 6;
const BUCKET_BITS: u32 = 17;
const STATUS_BITS: u32 = 10;
const ERROR_BITS: u32 = 5;

impl Note {
    /// Whether nothing is known of how it ended yet.
    #[must_use]
    pub fn is_beginning(&self) -> bool {
        self.end.is_none()
    }

    #[inline]
    fn packed(&self) -> [u64; 2] {
        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        let first = self.at.min(CANARY - 1)
            | flag(self.arm == Arm::Canary, CANARY)
            | flag(self.drawn, DRAWN)
            | flag(self.copy, COPY)
            | flag(self.bucket.is_some(), HAS_BUCKET);
        let bucket = u64::from(self.bucket.map_or(0, Bucket::number));
        let Some(end) = &self.end else { return [first, bucket] };
        let first = first | ENDED | flag(end.error.is_some(), FAILED) | flag(end.retried, RETRIED);
        let micros = u64::try_from(end.duration.as_micros()).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
        let error = end.error.map_or(0, |error| error.index() as u64);
        let second = bucket
            | u64::from(end.status & 0x3ff) << BUCKET_BITS
            | error << (BUCKET_BITS + STATUS_BITS)
            | micros << (BUCKET_BITS + STATUS_BITS + ERROR_BITS);
        [first, second]
    }

    #[allow(clippy::cast_possible_truncation, reason = "cut to the width of each part")]
    fn unpacked([first, second]: [u64; 2]) -> Option<Self> {
        let part = |from: u32, bits: u32| second >> from & ((1 << bits) - 1);
        let bucket = Bucket::new(part(0, BUCKET_BITS) as u32);
        let error = ErrorKind::ALL.get(part(BUCKET_BITS + STATUS_BITS, ERROR_BITS) as usize).copied();
        let end = End {
            status: part(BUCKET_BITS, STATUS_BITS) as u16,
            error: if first & FAILED != 0 { Some(error?) } else { None },
            retried: first & RETRIED != 0,
            duration: Duration::from_micros(second >> (BUCKET_BITS + STATUS_BITS + ERROR_BITS)),
        };
        Some(Self {
            at: first & (CANARY - 1),
            arm: if first & CANARY != 0 { Arm::Canary } else { Arm::Baseline },
            drawn: first & DRAWN != 0,
            copy: first & COPY != 0,
            bucket: if first & HAS_BUCKET != 0 { Some(bucket?) } else { None },
            end: (first & ENDED != 0).then_some(end),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn notes() -> impl Strategy<Value = Note> {
        let error = prop::option::of((0..ErrorKind::ALL.len()).prop_map(|index| ErrorKind::ALL[index]));
        let end =
            (100..600u16, error, any::<bool>(), any::<u32>()).prop_map(|(status, error, retried, micros)| {
                End { status, error, retried, duration: Duration::from_micros(u64::from(micros)) }
            });
        let bucket =
            prop::option::of((0..crate::types::BUCKETS).prop_map(|number| Bucket::new(number).unwrap()));
        (0..CANARY, any::<[bool; 3]>(), bucket, prop::option::of(end)).prop_map(
            |(at, [canary, drawn, copy], bucket, end)| Note {
                at,
                arm: if canary { Arm::Canary } else { Arm::Baseline },
                drawn,
                copy,
                bucket,
                end,
            },
        )
    }

    proptest! {
        #[test]
        fn a_note_is_read_as_it_was_written(note in notes()) {
            prop_assert_eq!(Note::unpacked(note.packed()), Some(note));
        }
    }

    fn beginning(at: u64) -> Note {
        Note { at, arm: Arm::Canary, drawn: true, copy: false, bucket: None, end: None }
    }

    #[test]
    fn notes_come_out_in_order_and_once() {
        let trial = Trial::new("r-1", 1, 2);
        (0..10).for_each(|at| trial.note(0, &beginning(at)));
        trial.note(1, &beginning(77));
        let mut notes = Vec::new();
        trial.drain(&mut notes);
        let times: Vec<u64> = notes.iter().map(|note| note.at).collect();
        assert_eq!(times, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 77]);
        notes.clear();
        trial.drain(&mut notes);
        assert_eq!(notes, []);
    }

    #[test]
    fn a_full_ring_counts_what_it_loses_and_goes_on() {
        let trial = Trial::new("r-1", 1, 1);
        (0..NOTES as u64 + 5).for_each(|at| trial.note(0, &beginning(at)));
        assert_eq!(trial.lost(), 5);
        let mut notes = Vec::new();
        trial.drain(&mut notes);
        assert_eq!(notes.len(), NOTES);
        trial.note(0, &beginning(1));
        notes.clear();
        trial.drain(&mut notes);
        assert_eq!((notes.len(), trial.lost()), (1, 5));
    }

    #[test]
    fn the_latest_failures_are_kept_and_nobody_waits_to_add_one() {
        let trial = Trial::new("r-1", 1, 1);
        let failed = |status| FailedRequest {
            time: Duration::from_secs(1),
            method: MethodLabel::Get,
            path: "/".to_owned(),
            status,
            error: None,
            duration: Duration::ZERO,
            request_id: None,
            trace_id: None,
        };
        (0..70).for_each(|number| trial.failed(|| failed(500 + number)));
        let kept = trial.failures();
        assert_eq!((kept.len(), kept[0].status, kept[63].status), (FAILURES, 506, 569));
        let held = trial.failures.lock().unwrap();
        trial.failed(|| unreachable!("the list is not free"));
        drop(held);
        assert_eq!(trial.failures(), kept);
    }

    #[test]
    fn a_reader_on_another_thread_sees_every_note_whole() {
        let trial = Trial::new("r-1", 1, 1);
        let mut seen = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| (0..200_000u64).for_each(|at| trial.note(0, &beginning(at))));
            let mut notes = Vec::new();
            while seen + trial.lost() < 200_000 {
                notes.clear();
                trial.drain(&mut notes);
                assert!(notes.is_sorted_by_key(|note| note.at));
                seen += notes.len() as u64;
            }
        });
    }
}
