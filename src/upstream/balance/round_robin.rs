//! Weighted round robin, smooth: an endpoint with three times the weight comes three times as often, and not three times
//! in a row.
//!
//! The order of a whole round is laid out once, by stride scheduling (Waldspurger and Weihl 1995, "Stride Scheduling:
//! Deterministic Proportional-Share Resource Management"): an endpoint of weight w has its turns at (k + p)/w of the round,
//! for k from 0 to w − 1. The phase p goes on by the golden ratio from endpoint to endpoint, so that many light ones do not
//! come one after the other either. A request then costs a step of a cursor, of which each worker has its own.

use super::p2c::gcd;

/// The longest round that weights are kept exact in; above it they are scaled down, by less than 0.1 % of all requests.
const MAX_ROUND: u64 = 4096;
/// The golden ratio's fraction of 2^32.
const GOLDEN: u32 = 0x9e37_79b9;

/// A chooser over weighted endpoints.
#[derive(Debug, Clone)]
pub struct RoundRobin {
    round: Box<[u16]>,
}

// === impl RoundRobin ===

impl RoundRobin {
    /// A chooser over endpoints with these weights (1 to 1000 each); at most 65,535 of them count.
    #[must_use]
    pub fn new(weights: &[u32]) -> Self {
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        let total: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
        let turns = |weight: u32| {
            let exact = u64::from(weight / divisor);
            if total > MAX_ROUND { exact * MAX_ROUND / total } else { exact }.max(1)
        };
        let all = (0_u16..=u16::MAX).zip(weights).flat_map(|(place, weight)| {
            let turns = turns(*weight);
            let phase = u64::from((1_u32 << 31).wrapping_add(u32::from(place).wrapping_mul(GOLDEN)));
            (0..turns).map(move |turn| Turn { numerator: (turn << 32) + phase, denominator: turns, place })
        });
        let mut all: Vec<Turn> = all.collect();
        all.sort_unstable_by(|a, b| {
            (a.numerator * b.denominator, a.place).cmp(&(b.numerator * a.denominator, b.place))
        });
        Self { round: all.into_iter().map(|turn| turn.place).collect() }
    }

    /// The next endpoint that may take a request; `None` when none may. `cursor` is where the round stands, any number to
    /// begin with.
    pub fn pick(&self, cursor: &mut usize, may: impl Fn(usize) -> bool) -> Option<usize> {
        let length = self.round.len();
        for step in 0..length {
            let at = cursor.wrapping_add(step) % length;
            let place = usize::from(self.round[at]);
            if may(place) {
                *cursor = at + 1;
                return Some(place);
            }
        }
        None
    }
}

/// A time in the round, as a fraction of 2^32 rounds, at which an endpoint has its turn.
struct Turn {
    numerator: u64,
    denominator: u64,
    place: u16,
}
