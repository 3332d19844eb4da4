//! From weights to buckets: how the 100,000 buckets of a split are allocated to its backends.
//!
//! # What is promised
//! - **Exact**: each backend owns its quota of buckets, rounded by largest remainder (Hamilton); no share is a matter
//!   of luck, and a weight of 0 owns none.
//! - **The same everywhere**: the allocation depends on the names, their order and the weights, not on history.
//! - **Two backends**: the second owns the buckets `[0, w)` and the first the rest, so that raising w only moves users
//!   from the first to the second, and nobody ever moves twice.
//! - **Three and more**: when one weight changes, users move to or from that backend. Exact shares make a small
//!   exception necessary; see below.
//!
//! # How
//! Each bucket b runs an exponential race (weighted rendezvous hashing): backend i arrives at `E_i(b) / w_i`, and the
//! first to arrive owns the bucket. With independent `E_i ~ Exp(1)`, i wins with probability `w_i / Σw`, and a change of
//! `w_i` alone cannot change which of the others comes first. That is the property wanted, but for two things:
//!
//! 1. *The layout of two backends.* With x = (b + 0.5) / 100,000 and S(b) the sum of two exponentials, `E_1 = (1-x) S`
//!    and `E_2 = x S` are again independent exponentials, and `E_2 / w_2 < E_1 / w_1` exactly when `x < w_2 / (w_1 + w_2)`.
//!    So a third backend at weight 0 that gets a little takes only that little out of the two-backend layout.
//! 2. *Exactness.* The race gives each backend its quota but for some dozens of buckets. Those are corrected: from
//!    backends with too many to backends with too few, the buckets where the race was closest first. The correction
//!    depends on all weights, so a change of one weight can move a few users between two others: over random weights and
//!    large steps on average 0.02 % of users with 3 backends, 0.08 % with 8, 0.3 % with 64 (docs/splitting.md, measured).
//!
//! Every `E_i` is read from one table of -ln((k + 0.5) / 100,000), at a place k that a permutation keyed by the
//! backend's name gives, so that a backend keeps its buckets when others are listed before it (but for the first two,
//! whose place is their role). The logarithm is crate `libm`'s, in software: every platform computes the same table.

use std::{cmp::Reverse, sync::LazyLock};

use super::shuffle::{HIGH, LOW, Shuffle};
use crate::types::{BUCKETS, Bucket, Name, Weight};

/// The most backends that a split may have.
pub const MAX_BACKENDS: usize = 64;

const N: usize = BUCKETS as usize;

/// Which backend owns which bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    layout: Layout,
    counts: Box<[u32]>,
}

/// Why weights are no allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// More backends than [`MAX_BACKENDS`].
    #[error("a split has at most {MAX_BACKENDS} backends")]
    TooMany,
    /// No weight above zero.
    #[error("all weights are zero: no backend would take the traffic")]
    AllZero,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Layout {
    /// `second` owns the buckets below the boundary, `first` the others.
    Boundary { first: u8, second: u8, boundary: u32 },
    /// The owner of each bucket.
    Table(Box<[u8]>),
}

// === impl Allocation ===

impl Allocation {
    /// Allocates the buckets to backends, given in the order of the control file.
    ///
    /// # Errors
    /// When there are too many backends, or none has a weight above zero.
    pub fn new(backends: &[(Name, Weight)]) -> Result<Self, AllocationError> {
        if backends.len() > MAX_BACKENDS {
            return Err(AllocationError::TooMany);
        }
        let weights: Vec<u64> = backends.iter().map(|(_, weight)| weight.micros()).collect();
        let counts = quotas(&weights).ok_or(AllocationError::AllZero)?;
        let mut owners = (0_u8..).zip(&counts).filter(|(_, count)| **count > 0).map(|(index, _)| index);
        let layout = match (owners.next(), owners.next(), owners.next()) {
            (Some(only), None, _) => Layout::Boundary { first: only, second: only, boundary: 0 },
            (Some(0), Some(1), None) => Layout::Boundary { first: 0, second: 1, boundary: counts[1] },
            _ => Layout::Table(race(backends, &counts)),
        };
        Ok(Self { layout, counts: counts.into() })
    }

    /// Of no backends, so that nobody may ask for an owner.
    pub(super) fn of_none() -> Self {
        Self { layout: Layout::Boundary { first: 0, second: 0, boundary: 0 }, counts: Box::default() }
    }

    /// The index of the backend that owns the bucket.
    #[must_use]
    #[inline]
    pub fn owner(&self, bucket: Bucket) -> usize {
        usize::from(match &self.layout {
            Layout::Boundary { second, boundary, .. } if bucket.number() < *boundary => *second,
            Layout::Boundary { first, .. } => *first,
            Layout::Table(owners) => owners[bucket.number() as usize],
        })
    }

    /// How many buckets each backend owns; together 100,000.
    #[must_use]
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }
}

/// Each weight's share of the buckets, rounded by largest remainder; equal remainders go to the earlier backend.
/// `None` when all weights are zero.
fn quotas(weights: &[u64]) -> Option<Vec<u32>> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if total == 0 {
        return None;
    }
    let parts = weights.iter().map(|weight| u128::from(*weight) * u128::from(BUCKETS));
    let mut counts: Vec<u32> = parts
        .clone()
        .map(|part| u32::try_from(part / total).expect("a part of the total is at most all buckets"))
        .collect();
    let mut by_remainder: Vec<(Reverse<u128>, usize)> =
        parts.enumerate().map(|(index, part)| (Reverse(part % total), index)).collect();
    by_remainder.sort_unstable();
    let left = BUCKETS - counts.iter().sum::<u32>();
    for (_, index) in by_remainder.into_iter().take(left as usize) {
        counts[index] += 1;
    }
    Some(counts)
}

// --- the race ---

/// -ln((k + 0.5) / 100,000), the same on every platform.
static EXPONENTIALS: LazyLock<Box<[f64]>> =
    LazyLock::new(|| (0..BUCKETS).map(|k| -libm::log((f64::from(k) + 0.5) / f64::from(BUCKETS))).collect());

/// How a backend arrives in the race.
struct Runner {
    index: u8,
    /// 1 / w
    pace: f64,
    /// 1 / w / 100,000
    least_pace: f64,
    course: Course,
}

enum Course {
    /// `(1 - x) S(b)`
    First,
    /// `x S(b)`
    Second,
    /// By a permutation of its own.
    Other(Shuffle),
}

// === impl Runner ===

impl Runner {
    fn new(index: u8, (name, weight): &(Name, Weight)) -> Self {
        let course = match index {
            0 => Course::First,
            1 => Course::Second,
            _ => Course::Other(Shuffle::new("weight", name.as_str())),
        };
        let pace = 1.0 / weight.as_f64();
        Self { index, pace, least_pace: pace / f64::from(BUCKETS), course }
    }

    /// When it arrives at the bucket `high * 400 + low`, if that is before `limit`.
    // Six million calls for 64 backends; left to itself the compiler makes it a call, at half as much time again.
    #[inline(always)]
    fn arrival_before(&self, exponentials: &[f64], (high, low): (u16, u16), limit: f64) -> Option<f64> {
        let time = match &self.course {
            Course::First => (1.0 - position(high, low)) * shared(exponentials, high, low),
            Course::Second => position(high, low) * shared(exponentials, high, low),
            Course::Other(shuffle) => {
                let place = shuffle.place(high, low);
                // -ln u > 1 - u by more than rounding: most runners are beaten without a look at the large table.
                if (f64::from(BUCKETS - place) - 0.5) * self.least_pace >= limit {
                    return None;
                }
                exponentials[place as usize]
            }
        };
        let arrival = time * self.pace;
        (arrival < limit).then_some(arrival)
    }
}

/// S(b): two exponentials from a rank-1 lattice, whose generators are the fractions of the golden ratio and of √2 (both
/// without a factor in common with 100,000; usize holds the product on 64-bit platforms). A lattice spreads more evenly than chance, so less has to be corrected.
#[inline]
fn shared(exponentials: &[f64], high: u16, low: u16) -> f64 {
    let place = |generator: usize| number(high, low) as usize * generator % N;
    exponentials[place(61_803)] + exponentials[place(41_421)]
}

/// x of the bucket, between 0 and 1.
fn position(high: u16, low: u16) -> f64 {
    (f64::from(number(high, low)) + 0.5) / f64::from(BUCKETS)
}

fn number(high: u16, low: u16) -> u32 {
    u32::from(high) * u32::from(LOW) + u32::from(low)
}

/// The owner of every bucket by the race, corrected to exactly `counts`.
fn race(backends: &[(Name, Weight)], counts: &[u32]) -> Box<[u8]> {
    let exponentials = &EXPONENTIALS[..];
    let runners: Vec<Runner> = (0_u8..)
        .zip(backends)
        .filter(|(index, _)| counts[usize::from(*index)] > 0)
        .map(|(index, backend)| Runner::new(index, backend))
        .collect();
    let mut best = vec![f64::INFINITY; N];
    let mut owners = vec![0_u8; N].into_boxed_slice();
    for runner in &runners {
        places().zip(best.iter_mut().zip(&mut owners)).for_each(|(place, (best, owner))| {
            if let Some(arrival) = runner.arrival_before(exponentials, place, *best) {
                *best = arrival;
                *owner = runner.index;
            }
        });
    }
    // Positive: more buckets than the quota.
    let mut excess: Vec<i64> = counts.iter().map(|count| -i64::from(*count)).collect();
    owners.iter().for_each(|owner| excess[usize::from(*owner)] += 1);
    // In bands of the margin, from the closest races: nearly always the first band is enough, and far
    // from all pairs are in it. The bands follow each other, so together they are one sorted list.
    let mut band = (1.0, 1.25);
    while excess.iter().any(|excess| *excess != 0) {
        correct(&runners, (&mut owners, &best), &mut excess, band);
        band = (band.1, if band.1 > 1e6 { f64::INFINITY } else { 1.0 + (band.1 - 1.0) * 4.0 });
    }
    owners
}

/// Moves buckets from backends in excess to backends short of some, where the second came in later than the owner by a
/// factor within `band` (at least, below), the closest first.
fn correct(runners: &[Runner], (owners, best): (&mut [u8], &[f64]), excess: &mut [i64], band: (f64, f64)) {
    let exponentials = &EXPONENTIALS[..];
    let spare: Vec<((u16, u16), usize)> =
        places().zip(0..).filter(|(_, bucket)| excess[usize::from(owners[*bucket])] > 0).collect();
    let mut candidates: Vec<(f64, usize, u8)> = Vec::new();
    for runner in runners.iter().filter(|runner| excess[usize::from(runner.index)] < 0) {
        for (place, bucket) in &spare {
            let arrival = runner.arrival_before(exponentials, *place, best[*bucket] * band.1);
            let margin = arrival.map(|arrival| arrival / best[*bucket]).filter(|margin| *margin >= band.0);
            candidates.extend(margin.map(|margin| (margin, *bucket, runner.index)));
        }
    }
    candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    for (_, bucket, to) in candidates {
        let from = owners[bucket];
        if excess[usize::from(from)] > 0 && excess[usize::from(to)] < 0 {
            excess[usize::from(from)] -= 1;
            excess[usize::from(to)] += 1;
            owners[bucket] = to;
        }
    }
}

/// All buckets in order, as pairs (see [`Shuffle`]).
fn places() -> impl Iterator<Item = (u16, u16)> {
    (0..HIGH).flat_map(|high| (0..LOW).map(move |low| (high, low)))
}
