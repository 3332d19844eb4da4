//! What copies of a route's requests came to, beside the requests themselves.

use std::{sync::OnceLock, time::Duration};

use super::{
    counter::Counter,
    histogram::{Histogram, HistogramSnapshot},
    label::CodeClass,
};

/// Classes of statuses, and one for no response at all.
const ENDS: usize = CodeClass::ALL.len() + 1;

/// How a request or its copy ended: the status, and the time to the response's head. `None` is without a response.
pub type MirrorSide = Option<(u16, Duration)>;

/// One worker's counts of a route's copies.
#[derive(Debug, Default)]
pub(super) struct MirrorShard {
    pairs: [[Counter; ENDS]; ENDS],
    /// Of requests, and of their copies.
    durations: [OnceLock<Histogram>; 2],
    pub(super) dropped: Counter,
}

/// The totals of a route's copies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorStats {
    /// Pairs by how the request ended, then by how its copy did.
    pub pairs: [[u64; ENDS]; ENDS],
    /// Times to the response's head, of requests and of their copies, where both had one.
    pub durations: [HistogramSnapshot; 2],
    /// Copies for which there was no room.
    pub dropped: u64,
}

fn place(side: MirrorSide) -> usize {
    side.map_or(ENDS - 1, |(status, _)| CodeClass::of(status).index())
}

/// The words for how a side ended, in the order of the counts.
pub(super) fn ends() -> impl Iterator<Item = &'static str> {
    CodeClass::ALL.into_iter().map(CodeClass::as_str).chain(["error"])
}

// === impl MirrorShard ===

impl MirrorShard {
    pub(super) fn record(&self, primary: MirrorSide, copy: MirrorSide) {
        self.pairs[place(primary)][place(copy)].add(1);
        if let (Some((_, primary)), Some((_, copy))) = (primary, copy) {
            for (histogram, took) in self.durations.iter().zip([primary, copy]) {
                histogram.get_or_init(Histogram::new).record(took);
            }
        }
    }

    pub(super) fn add_to(&self, total: &mut MirrorStats) {
        let counters = self.pairs.iter().flatten();
        total.pairs.iter_mut().flatten().zip(counters).for_each(|(total, counter)| *total += counter.read());
        for (total, histogram) in total.durations.iter_mut().zip(&self.durations) {
            if let Some(histogram) = histogram.get() {
                total.merge(&histogram.snapshot());
            }
        }
        total.dropped += self.dropped.read();
    }
}
