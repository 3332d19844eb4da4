//! Least request: of all endpoints the one with the fewest requests in flight for its weight.
//!
//! The counts are those of this worker, as in `p2c`. Looking at every endpoint finds the best one and costs time for each;
//! with many endpoints, and several instances of Weir, it also sends all of them to the same one at once, which is why
//! power of two choices is the default.

/// A chooser over weighted endpoints.
#[derive(Debug, Clone)]
pub struct LeastRequest {
    weights: Box<[u32]>,
}

// === impl LeastRequest ===

impl LeastRequest {
    /// A chooser over endpoints with these weights (1 to 1000 each).
    #[must_use]
    pub fn new(weights: &[u32]) -> Self {
        Self { weights: weights.into() }
    }

    /// The place of the endpoint that takes the request; `None` when none may. Among equals `bits`, which is entropy,
    /// decides.
    pub fn pick(&self, bits: u64, load: impl Fn(usize) -> u64, may: impl Fn(usize) -> bool) -> Option<usize> {
        let count = self.weights.len();
        let start = usize::try_from(bits % (count.max(1) as u64)).unwrap_or_default();
        let mut best: Option<(usize, u64)> = None;
        for place in (start..count).chain(0..start).filter(|place| may(*place)) {
            let load = load(place) + 1;
            let lighter = best.is_none_or(|(other, least)| {
                load * u64::from(self.weights[other]) < least * u64::from(self.weights[place])
            });
            if lighter {
                best = Some((place, load));
            }
        }
        best.map(|(place, _)| place)
    }
}
