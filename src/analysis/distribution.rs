//! Bounds of a latency distribution, for people: an interval for each quantile, and a band around the whole curve.
//!
//! All are valid at all times together, each for itself. They decide nothing; [`latency`](super::latency) does.

use super::{
    bets::{log_e_above, log_e_below},
    latency::Latencies,
    numeric::real,
    rejection,
};

/// Between which buckets a quantile lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuantileInterval {
    /// The quantile is above this bucket; none where nothing bounds it.
    pub above: Option<usize>,
    /// The quantile is in this bucket or below; none where nothing bounds it.
    pub at_most: Option<usize>,
}

/// The interval of the `quantile` (within 0 to 1) of one version; `alpha / 2` for each side.
///
/// It is above a bucket if the part of units beyond it is proven to be more than `1 - quantile`.
#[must_use]
pub fn quantile_interval(latencies: &Latencies, quantile: f64, alpha: f64) -> QuantileInterval {
    let enough = rejection(alpha / 2.0);
    let total = real(latencies.total());
    let mut beyond = latencies.total();
    let mut interval = QuantileInterval::default();
    for (bucket, count) in latencies.buckets() {
        beyond -= count;
        if log_e_above(real(beyond), total, 1.0 - quantile) >= enough {
            interval.above = Some(bucket);
        }
        if interval.at_most.is_none() && log_e_below(real(beyond), total, 1.0 - quantile) >= enough {
            interval.at_most = Some(bucket);
        }
    }
    interval
}

/// How far the curve of `units` durations may be from the truth, anywhere on it, with probability `1 - alpha` at all times;
/// infinite without any.
///
/// `0.85 sqrt((ln(1 + ln n) + 0.8 ln(1612/alpha))/n)` (Howard and Ramdas 2022).
#[must_use]
pub fn band(units: u64, alpha: f64) -> f64 {
    if units == 0 {
        return f64::INFINITY;
    }
    let n = real(units);
    0.85 * ((n.ln().ln_1p() + 0.8 * (1612.0 / alpha).ln()) / n).sqrt()
}

/// The largest part of units by which the canary is behind: the largest distance of its curve below stable's, 0 if it is
/// nowhere below, or if one is empty.
#[must_use]
pub fn gap(canary: &Latencies, stable: &Latencies) -> f64 {
    if canary.total() == 0 || stable.total() == 0 {
        return 0.0;
    }
    let (slow, fast) = (real(canary.total()), real(stable.total()));
    let mut counts: Vec<(usize, f64)> =
        stable.buckets().map(|(at, count)| (at, real(count) / fast)).collect();
    counts.extend(canary.buckets().map(|(at, count)| (at, -real(count) / slow)));
    counts.sort_unstable_by_key(|(at, _)| *at);
    let (mut ahead, mut largest) = (0.0, 0.0_f64);
    for bucket in counts.chunk_by(|one, other| one.0 == other.0) {
        ahead += bucket.iter().map(|(_, part)| part).sum::<f64>();
        largest = largest.max(ahead);
    }
    // Parts that sum to 1 may be a rounding above it.
    largest.min(1.0)
}
