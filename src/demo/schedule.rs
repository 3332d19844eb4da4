//! When which user sends a request: everything about the load that is random, from one seed.
//!
//! Arrivals are a Poisson process, as those of many independent users are: the schedule goes on whether or not earlier
//! requests are answered (an open loop), so a slow proxy meets more work at a time and not less.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// How many users there are: 1 to this number.
pub(super) const USERS: u32 = 500;
/// Requests per second, on average.
pub(super) const RATE: f64 = 200.0;
/// How many pages the users look at.
const PAGES: u32 = 100;

/// Requests without end, in order of time.
#[derive(Debug)]
pub(super) struct Schedule {
    rng: StdRng,
    at: Duration,
}

/// A request to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// When, after the start.
    pub(super) at: Duration,
    /// Whose it is, 1 to [`USERS`].
    pub(super) user: u32,
    /// The page that is asked for.
    pub(super) page: u32,
}

// === impl Schedule ===

impl Schedule {
    /// The schedule of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), at: Duration::ZERO }
    }
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let uniform: f64 = self.rng.random();
        // Gaps of a Poisson process are exponential. 1 - uniform is above zero, so its logarithm is finite.
        self.at += Duration::from_secs_f64(-(1.0 - uniform).ln() / RATE);
        let user = self.rng.random_range(1..=USERS);
        let page = self.rng.random_range(1..=PAGES);
        Some(Arrival { at: self.at, user, page })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_a_schedule() {
        let take = |seed| Schedule::new(seed).take(4000).collect::<Vec<_>>();
        let arrivals = take(1);
        assert_eq!(arrivals, take(1));
        assert_ne!(arrivals, take(2));
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
        let seconds = arrivals.last().unwrap().at.as_secs_f64();
        assert!((18.0..22.0).contains(&seconds), "4000 requests at {RATE} per second take {seconds} s");
        let users: BTreeSet<_> = arrivals.iter().map(|arrival| arrival.user).collect();
        assert_eq!((users.first(), users.last()), (Some(&1), Some(&USERS)));
        assert!(users.len() > 490);
    }
}
