//! Cohorts: requests by the moment of their assignment, held until it is known how they ended.
//!
//! Two versions may be compared by what ended so far only if being slow and being bad have nothing to do with each other, which nobody
//! can promise. So a request counts in the tick in which it was assigned, and a tick counts as a whole: when all of its requests have
//! ended, or when it is as old as the horizon, at which what has not ended is cut off. Ticks count in their order. That one may count
//! early does not matter: what it holds is the same then as later (docs/analysis.md).

use std::{collections::VecDeque, time::Duration};

use super::{sums, users::Users};
use crate::{
    telemetry::{
        histogram,
        trial::{Arm, Note},
    },
    types::Bucket,
};

/// The length of a tick.
const TICK: Duration = Duration::from_millis(250);
/// How long after its end a tick may still get notes of beginnings that were made in it.
const GRACE: Duration = Duration::from_millis(50);

/// Requests that chance gave to the two versions and that may now be compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cohort {
    /// How many requests each version got: the baseline, the canary.
    pub requests: [u64; 2],
    /// How many users of each version were seen for the first time in this stage.
    pub new_users: [u64; 2],
    /// Those that ended before the horizon, without those whose client left.
    pub ended: Vec<Ended>,
}

/// A request that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The version that it was given to.
    pub arm: Arm,
    /// The user, where users keep their version.
    pub bucket: Option<Bucket>,
    /// Whether it failed.
    pub error: bool,
    /// The slot of its duration in a histogram.
    pub slot: u16,
}

/// The ticks that do not count yet.
#[derive(Debug)]
pub struct Cohorts {
    horizon: Duration,
    /// The number of the first tick that is open; all before it are closed.
    first: u64,
    open: VecDeque<Open>,
    seen: Users,
    /// Requests whose beginning was noted too late.
    late: u64,
}

#[derive(Debug, Default)]
struct Open {
    cohort: Cohort,
    under_way: u64,
}

fn place(arm: Arm) -> usize {
    usize::from(arm == Arm::Canary)
}

// === impl Cohorts ===

impl Cohorts {
    /// None yet. `horizon` is how long a request is waited for: at least the longest latency that a gate asks for, and the timeout.
    #[must_use]
    pub fn new(horizon: Duration) -> Self {
        Self { horizon: horizon.max(TICK), first: 0, open: VecDeque::new(), seen: Users::default(), late: 0 }
    }

    /// Takes a note in.
    pub fn note(&mut self, note: &Note) {
        if !note.drawn {
            return;
        }
        let number = note.at / u64::try_from(TICK.as_micros()).expect("a short time");
        let Some(index) = number.checked_sub(self.first) else {
            self.late += u64::from(note.is_beginning());
            return;
        };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if index >= self.open.len() {
            if !note.is_beginning() {
                return;
            }
            self.open.resize_with(index + 1, Open::default);
        }
        let tick = &mut self.open[index];
        let Some(end) = &note.end else {
            tick.under_way += 1;
            tick.cohort.requests[place(note.arm)] += 1;
            if note.bucket.is_some_and(|user| self.seen.insert(user)) {
                tick.cohort.new_users[place(note.arm)] += 1;
            }
            return;
        };
        tick.under_way = tick.under_way.saturating_sub(1);
        if !sums::is_void(end) {
            let slot = histogram::bucket(u64::try_from(end.duration.as_nanos()).unwrap_or(u64::MAX));
            let slot = u16::try_from(slot).expect("a histogram has fewer slots");
            let error = sums::is_error(end);
            tick.cohort.ended.push(Ended { arm: note.arm, bucket: note.bucket, error, slot });
        }
    }

    /// The ticks that count now, `now` after the trial began, in their order.
    pub fn close(&mut self, now: Duration) -> Vec<Cohort> {
        let mut closed = Vec::new();
        while let Some(tick) = self.open.front() {
            let end = TICK * u32::try_from(self.first + 1).unwrap_or(u32::MAX);
            let complete = tick.under_way == 0 && now >= end + GRACE;
            if !complete && now < end + self.horizon {
                break;
            }
            let tick = self.open.pop_front().expect("there is one");
            self.first += 1;
            if tick.cohort.requests != [0, 0] {
                closed.push(tick.cohort);
            }
        }
        if self.open.is_empty() {
            // Ticks in which nothing began are closed as time goes by.
            let past = now.saturating_sub(GRACE).as_micros() / TICK.as_micros();
            self.first = self.first.max(u64::try_from(past).unwrap_or(u64::MAX));
        }
        closed
    }

    /// How many requests are missing because their beginning was noted too late.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::trial::End;

    fn begins(at_ms: u64, arm: Arm, user: Option<u32>) -> Note {
        let bucket = user.map(|number| Bucket::new(number).unwrap());
        Note { at: at_ms * 1000, arm, drawn: true, bucket, copy: false, end: None }
    }

    fn ends(beginning: Note, status: u16, took_ms: u64) -> Note {
        let end = End { status, error: None, retried: false, duration: Duration::from_millis(took_ms) };
        Note { end: Some(end), ..beginning }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_tick_counts_when_all_of_it_has_ended() {
        let mut cohorts = Cohorts::new(ms(10_000));
        let (one, two) = (begins(10, Arm::Canary, Some(7)), begins(200, Arm::Baseline, Some(8)));
        cohorts.note(&one);
        cohorts.note(&two);
        cohorts.note(&ends(one, 500, 5));
        assert_eq!(cohorts.close(ms(5000)), []);
        cohorts.note(&ends(two, 200, 4900));
        let closed = cohorts.close(ms(5101));
        assert_eq!(closed.len(), 1);
        assert_eq!((closed[0].requests, closed[0].new_users), ([1, 1], [1, 1]));
        assert_eq!(closed[0].ended.iter().map(|ended| ended.error).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_tick_counts_at_the_horizon_without_what_has_not_ended() {
        let mut cohorts = Cohorts::new(ms(2000));
        let (slow, quick) = (begins(0, Arm::Canary, None), begins(300, Arm::Canary, None));
        cohorts.note(&slow);
        cohorts.note(&quick);
        cohorts.note(&ends(quick, 200, 1));
        // The second tick is complete, and waits for the first all the same.
        assert_eq!(cohorts.close(ms(2249)), []);
        let closed = cohorts.close(ms(2250));
        assert_eq!(closed.len(), 2);
        assert_eq!((closed[0].requests, closed[0].ended.len()), ([0, 1], 0));
        // What ends afterwards changes nothing any more.
        cohorts.note(&ends(slow, 500, 2300));
        assert_eq!(cohorts.close(ms(9000)), []);
    }

    #[test]
    fn users_are_new_once_and_lost_notes_are_counted() {
        let mut cohorts = Cohorts::new(ms(1000));
        for at in [0, 10, 20] {
            let begun = begins(at, Arm::Canary, Some(1));
            cohorts.note(&begun);
            cohorts.note(&ends(begun, 200, 1));
        }
        let closed = cohorts.close(ms(1000));
        assert_eq!((closed[0].requests, closed[0].new_users), ([0, 3], [0, 1]));
        cohorts.note(&begins(30, Arm::Canary, Some(1)));
        assert_eq!((cohorts.close(ms(5000)), cohorts.late()), (vec![], 1));
    }

    #[test]
    fn what_was_not_drawn_is_not_compared() {
        let mut cohorts = Cohorts::new(ms(1000));
        cohorts.note(&Note { drawn: false, ..begins(0, Arm::Canary, None) });
        assert_eq!(cohorts.close(ms(5000)), []);
    }
}
