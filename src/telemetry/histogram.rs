//! Log-linear histograms of durations: 64 sub-buckets per power of two, 1 us to 68 s.
//!
//! A value's bucket is its leading bit and the six bits after it, so finding it is a count of leading zeros and a shift.
//! A bucket is at most 1/64 of its lower edge wide and is answered by its middle, so a quantile is at most 1/128
//! (0.8 %) from the exact value between the edges of the range. The sum is exact in nanoseconds, modulo 2^64.
//!
//! [`Histogram`] is the shard that one worker writes; [`HistogramSnapshot`] is a plain value read from it. Snapshots of
//! several workers are added, snapshots of two moments are subtracted, and both are exact because all histograms have
//! the same buckets. A fixed layout was chosen over a growing one (HdrHistogram, DDSketch) for that, and because a
//! worker must not allocate while it records.

use std::time::Duration;

use super::counter::Counter;

/// The leading bit of the smallest value inside the range: 2^10 ns = 1.024 us.
const LOW_BIT: u32 = 10;
/// The leading bit of the first value beyond the range: 2^36 ns = 68.7 s.
const HIGH_BIT: u32 = 36;
/// Six bits after the leading one: 64 sub-buckets.
const SUB_BITS: u32 = 6;
const SUB_BUCKETS: usize = 1 << SUB_BITS;
/// Buckets inside the range.
const INSIDE: usize = (HIGH_BIT - LOW_BIT) as usize * SUB_BUCKETS;
/// All slots: underflow, the buckets, overflow.
pub(crate) const SLOTS: usize = INSIDE + 2;
const OVERFLOW: usize = SLOTS - 1;

/// One worker's durations: written by one thread, read by any. 13 KiB, allocated when made and never after.
#[derive(Debug)]
pub struct Histogram {
    slots: Box<[Counter; SLOTS]>,
    sum_nanos: Counter,
}

/// The counts of a [`Histogram`], or of several added, or of a span of time.
///
/// Two snapshots are equal when every count and the sum are.
#[derive(Debug, Clone, Default)]
pub struct HistogramSnapshot {
    /// Empty while nothing was counted, otherwise one count per slot: an unused histogram costs nothing.
    slots: Vec<u64>,
    count: u64,
    sum_nanos: u64,
}

/// The slot of a duration.
#[inline]
fn slot_of(nanos: u64) -> usize {
    if nanos < 1 << LOW_BIT {
        return 0;
    }
    if nanos >= 1 << HIGH_BIT {
        return OVERFLOW;
    }
    let bit = 63 - nanos.leading_zeros();
    // The leading bit and the six after it: 64 to 127.
    #[allow(clippy::cast_possible_truncation, reason = "below 128")]
    let top = (nanos >> (bit - SUB_BITS)) as usize;
    // Slot 0 is the underflow, so the first bucket (bit LOW_BIT, top 64) is slot 1.
    (bit - LOW_BIT) as usize * SUB_BUCKETS + top - SUB_BUCKETS + 1
}

/// The smallest value of a slot, in nanoseconds. Slots beyond the last give the end of the range.
fn lower_edge(slot: usize) -> u64 {
    if slot == 0 {
        return 0;
    }
    let inside = (slot - 1).min(INSIDE);
    let shift = inside / SUB_BUCKETS + (LOW_BIT - SUB_BITS) as usize;
    ((SUB_BUCKETS + inside % SUB_BUCKETS) as u64) << shift
}

/// The value that stands for a slot: its middle; the end of the range for the overflow, whose values are all above.
fn middle(slot: usize) -> u64 {
    if slot == OVERFLOW {
        return 1 << HIGH_BIT;
    }
    lower_edge(slot).midpoint(lower_edge(slot + 1))
}

/// The bucket of a duration, counted from 0 for what is below 1.024 us. Grows with the duration.
#[must_use]
pub fn bucket(nanos: u64) -> usize {
    slot_of(nanos)
}

/// The largest duration of a bucket in nanoseconds; 2^64 - 1 for the last, which has no end.
#[must_use]
pub fn bucket_highest(bucket: usize) -> u64 {
    if bucket >= OVERFLOW { u64::MAX } else { lower_edge(bucket + 1) - 1 }
}

/// A duration in nanoseconds, cut at 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Histogram ===

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self { slots: Box::new([const { Counter::new() }; SLOTS]), sum_nanos: Counter::new() }
    }

    /// Counts one duration. Only the worker that owns the shard may call this.
    #[inline]
    pub fn record(&self, duration: Duration) {
        self.record_nanos(nanos(duration));
    }

    /// Counts one duration in nanoseconds. Only the worker that owns the shard may call this.
    #[inline]
    pub fn record_nanos(&self, nanos: u64) {
        self.slots[slot_of(nanos)].add(1);
        self.sum_nanos.add(nanos);
    }

    /// The counts now. A duration recorded meanwhile may be in the counts and not yet in the sum.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let slots: Vec<u64> = self.slots.iter().map(Counter::read).collect();
        HistogramSnapshot::from_slots(slots, self.sum_nanos.read())
    }
}

// === impl HistogramSnapshot ===

impl PartialEq for HistogramSnapshot {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count
            && self.sum_nanos == other.sum_nanos
            && (self.count == 0 || self.slots == other.slots)
    }
}

impl Eq for HistogramSnapshot {}

impl HistogramSnapshot {
    fn from_slots(slots: Vec<u64>, sum_nanos: u64) -> Self {
        debug_assert_eq!(slots.len(), SLOTS);
        let count = slots.iter().sum();
        Self { slots, count, sum_nanos }
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The exact sum of all durations in nanoseconds, modulo 2^64 (584 years of requests).
    #[must_use]
    pub fn sum_nanos(&self) -> u64 {
        self.sum_nanos
    }

    /// The mean, exact; `None` when nothing was counted.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.sum_nanos.checked_div(self.count).map(Duration::from_nanos)
    }

    /// Counts one duration, where there is no worker to do so.
    pub fn record(&mut self, duration: Duration) {
        let nanos = nanos(duration);
        self.slots.resize(SLOTS, 0);
        self.slots[slot_of(nanos)] += 1;
        self.count += 1;
        self.sum_nanos = self.sum_nanos.wrapping_add(nanos);
    }

    /// Adds the counts of `other`: the same as if one histogram had recorded both.
    pub fn merge(&mut self, other: &Self) {
        self.sum_nanos = self.sum_nanos.wrapping_add(other.sum_nanos);
        self.count += other.count;
        if other.slots.is_empty() {
            return;
        }
        if self.slots.is_empty() {
            self.slots.clone_from(&other.slots);
            return;
        }
        for (mine, theirs) in self.slots.iter_mut().zip(&other.slots) {
            *mine += theirs;
        }
    }

    /// Takes away counts that were merged before.
    pub fn remove(&mut self, other: &Self) {
        self.sum_nanos = self.sum_nanos.wrapping_sub(other.sum_nanos);
        self.count = self.count.saturating_sub(other.count);
        for (mine, theirs) in self.slots.iter_mut().zip(&other.slots) {
            *mine = mine.saturating_sub(*theirs);
        }
    }

    /// What was counted since `earlier`, an older snapshot of the same histogram. Counts that went down give zero.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let sum_nanos = self.sum_nanos.wrapping_sub(earlier.sum_nanos);
        if self.slots.is_empty() || earlier.slots.is_empty() {
            return Self { sum_nanos, ..self.clone() };
        }
        let slots = self.slots.iter().zip(&earlier.slots).map(|(now, then)| now.saturating_sub(*then));
        Self::from_slots(slots.collect(), sum_nanos)
    }

    /// The `q`-quantile by nearest rank, `q` from 0 to 1: the duration that at least `q` of all are not above. `None`
    /// when nothing was counted.
    ///
    /// Within 0.8 % of the exact value from 1.024 us to 68.7 s; below it is 512 ns, above it is 68.7 s.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank is 1 to count; a count above 2^53 is out of reach"
    )]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        let slot = self.slots.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        slot.map(|slot| Duration::from_nanos(middle(slot)))
    }

    /// The smallest duration, as exact as a quantile.
    #[must_use]
    pub fn min(&self) -> Option<Duration> {
        self.quantile(0.0)
    }

    /// The largest duration, as exact as a quantile.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.quantile(1.0)
    }

    /// How many durations were at most `bound`. The bucket that holds the bound counts when its middle is not above,
    /// so the bound is in effect moved by at most 0.8 %. Grows with `bound`, and never goes down as durations are added.
    #[must_use]
    pub fn count_le(&self, bound: Duration) -> u64 {
        let bound = nanos(bound);
        let holds = slot_of(bound);
        let end = if middle(holds) <= bound { holds + 1 } else { holds };
        self.slots.iter().take(end).sum()
    }

    /// The buckets that are not empty, in rising order: the middle of each and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counts = self.slots.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(slot, count)| (Duration::from_nanos(middle(slot)), *count))
    }

    /// The buckets that are not empty, in rising order: the index of each (see [`bucket`]) and its count.
    pub fn indexed(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.slots.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    /// The counts as a short byte string: see [`add_packed`](Self::add_packed). Nothing when all are zero.
    ///
    /// Each count is a variable-length number (LEB128); a zero is followed by how many zeros there are in a row.
    /// Latencies lie close together, so this is a byte or two per used bucket instead of 13 KiB.
    pub(crate) fn packed(&self) -> Box<[u8]> {
        let mut bytes = Vec::new();
        let mut zeros: u64 = 0;
        for &count in &self.slots {
            if count == 0 {
                zeros += 1;
                continue;
            }
            if zeros > 0 {
                bytes.push(0);
                push_number(&mut bytes, zeros);
                zeros = 0;
            }
            push_number(&mut bytes, count);
        }
        bytes.into_boxed_slice()
    }

    /// Adds counts that [`packed`](Self::packed) wrote, and the sum that belongs to them.
    pub(crate) fn add_packed(&mut self, mut bytes: &[u8], sum_nanos: u64) {
        self.sum_nanos = self.sum_nanos.wrapping_add(sum_nanos);
        if bytes.is_empty() {
            return;
        }
        self.slots.resize(SLOTS, 0);
        let mut slot = 0;
        while let Some(number) = take_number(&mut bytes) {
            if number == 0 {
                let zeros = take_number(&mut bytes).unwrap_or(0);
                slot += usize::try_from(zeros).unwrap_or(SLOTS);
                continue;
            }
            if let Some(mine) = self.slots.get_mut(slot) {
                *mine += number;
                self.count += number;
            }
            slot += 1;
        }
    }
}

/// Appends a number in LEB128: seven bits per byte, the lowest first, the eighth bit says that more follow.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// Takes a number that [`push_number`] wrote from the front, `None` at the end.
fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift = (shift + 7).min(63);
    }
}

#[cfg(test)]
mod tests;
