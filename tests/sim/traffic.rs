//! Traffic: requests of seeded users, as the notes that the data path would make of them.

use std::{collections::VecDeque, time::Duration};

use weir::{
    telemetry::{
        ErrorKind,
        trial::{Arm, End, Note},
    },
    types::{BUCKETS, Bucket, Fraction},
};

use crate::dice::Dice;

/// How often the driver is imagined to look.
pub(crate) const TICK: Duration = Duration::from_millis(250);
const TICK_US: u64 = 250_000;
/// What ends later than this many ticks after its beginning never ends.
const MOST_TICKS: u64 = 4_000;

/// How a version behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version {
    /// The part of requests that it fails.
    pub(crate) errors: f64,
    /// The median of its log-normal durations, in milliseconds.
    pub(crate) median_ms: f64,
    /// How wide they are.
    pub(crate) sigma: f64,
    /// The part of requests that it never answers.
    pub(crate) hung: f64,
}

/// A median of 50 ms and a p99 of 200 ms, without errors.
pub(crate) const GOOD: Version = Version { errors: 0.0, median_ms: 50.0, sigma: 0.6, hung: 0.0 };

/// Who comes how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Requests a second; zero is none.
    pub(crate) per_second: f64,
    /// How many users there are where they keep their version; `None` draws each request by itself.
    pub(crate) users: Option<u64>,
    /// Whether it is always the same users whose requests fail.
    pub(crate) same_users_fail: bool,
}

/// The traffic of one route.
pub(crate) struct Traffic {
    pub(crate) load: Load,
    dice: Dice,
    /// Since the traffic began, in microseconds.
    now_us: u64,
    next_us: f64,
    /// When the stage began.
    stage_us: u64,
    /// What ends in which tick from now.
    pending: VecDeque<Vec<(u64, Note)>>,
}

// === impl Version ===

impl Version {
    pub(crate) fn failing(errors: f64) -> Self {
        Self { errors, ..GOOD }
    }

    pub(crate) fn slower(self, factor: f64) -> Self {
        Self { median_ms: self.median_ms * factor, ..self }
    }
}

// === impl Load ===

impl Load {
    pub(crate) fn of(per_second: f64) -> Self {
        Self { per_second, users: None, same_users_fail: false }
    }
}

// === impl Traffic ===

impl Traffic {
    pub(crate) fn new(load: Load, seed: u64) -> Self {
        let mut traffic = Self {
            load,
            dice: Dice::new(seed),
            now_us: 0,
            next_us: 0.0,
            stage_us: 0,
            pending: VecDeque::new(),
        };
        traffic.next_us = traffic.gap();
        traffic
    }

    /// The traffic is another now: notes of before are nobody's.
    pub(crate) fn stage_begins(&mut self) {
        self.stage_us = self.now_us;
        self.pending.clear();
    }

    /// Since the stage began.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_micros(self.now_us - self.stage_us)
    }

    fn gap(&mut self) -> f64 {
        if self.load.per_second > 0.0 { self.dice.gap(self.load.per_second) * 1e6 } else { f64::INFINITY }
    }

    /// What is noted in the next tick, while the canary gets `share`.
    pub(crate) fn tick(&mut self, share: Fraction, versions: [Version; 2]) -> Vec<Note> {
        let end = self.now_us + TICK_US;
        let mut notes = Vec::new();
        if self.next_us.is_infinite() && self.load.per_second > 0.0 {
            #[allow(clippy::cast_precision_loss, reason = "a time of some hours")]
            let now = self.now_us as f64;
            self.next_us = now + self.gap();
        }
        #[allow(clippy::cast_precision_loss, reason = "a time of some hours")]
        while self.next_us < end as f64 {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a time of some hours"
            )]
            let at = self.next_us as u64;
            self.request(at.max(self.now_us), (share, versions), &mut notes);
            self.next_us += self.gap();
        }
        self.now_us = end;
        for (_, note) in self.pending.pop_front().unwrap_or_default() {
            notes.push(note);
        }
        notes
    }

    fn request(&mut self, at: u64, (share, versions): (Fraction, [Version; 2]), notes: &mut Vec<Note>) {
        let user = self.load.users.map(|users| self.dice.between(1, users));
        let bucket = user.map(|user| Bucket::from_bits(mixed(user)));
        let drawn = bucket.unwrap_or_else(|| Bucket::from_bits(self.dice.bits()));
        let arm = if share.contains(drawn) { Arm::Canary } else { Arm::Baseline };
        let version = versions[usize::from(arm == Arm::Canary)];
        let begun = Note { at: at - self.stage_us, arm, drawn: true, copy: false, bucket, end: None };
        notes.push(begun);
        if version.hung > 0.0 && self.dice.chance(version.hung) {
            return;
        }
        let fails = match user.filter(|_| self.load.same_users_fail) {
            #[allow(clippy::cast_precision_loss, reason = "a part of all")]
            Some(user) => (mixed(user ^ 0xabcd) >> 11) as f64 / (1_u64 << 53) as f64 <= version.errors,
            None => version.errors > 0.0 && self.dice.chance(version.errors),
        };
        let took = Duration::from_secs_f64(self.dice.log_normal(version.median_ms, version.sigma) / 1e3);
        let (status, error) = match fails {
            false => (200, None),
            true if self.dice.chance(0.5) => (500, None),
            true => (502, Some(ErrorKind::Connect)),
        };
        let end = End { status, error, retried: false, duration: took };
        let ends_us = at + u64::try_from(took.as_micros()).unwrap();
        let tick = (ends_us - self.now_us) / TICK_US;
        if tick > MOST_TICKS {
            return;
        }
        let tick = usize::try_from(tick).unwrap();
        if self.pending.len() <= tick {
            self.pending.resize_with(tick + 1, Vec::new);
        }
        self.pending[tick].push((ends_us, Note { end: Some(end), ..begun }));
    }
}

/// A number that belongs to a user and looks like chance (SplitMix64).
fn mixed(user: u64) -> u64 {
    let mut mixed = user.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn traffic_is_what_it_says() {
    for users in [None, Some(50_000)] {
        let load = Load { users, ..Load::of(400.0) };
        let mut traffic = Traffic::new(load, 1);
        let (mut begun, mut canary, mut failed) = (0_u32, 0_u32, 0_u32);
        for _ in 0..400 {
            for note in traffic.tick(Fraction::from_percent(20.0).unwrap(), [GOOD, Version::failing(0.1)]) {
                begun += u32::from(note.is_beginning());
                canary += u32::from(note.is_beginning() && note.arm == Arm::Canary);
                failed += u32::from(note.end.is_some_and(|end| end.status >= 500));
                assert!(note.bucket.is_none_or(|bucket| bucket.number() < BUCKETS));
            }
        }
        assert!((39_000..41_000).contains(&begun) && (7_600..8_400).contains(&canary), "{begun} {canary}");
        assert!((700..900).contains(&failed), "{failed}");
    }
}
