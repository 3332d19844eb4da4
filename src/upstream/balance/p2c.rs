//! Power of two choices (Mitzenmacher 2001, "The Power of Two Choices in Randomized Load Balancing").
//!
//! Two endpoints are drawn by weight, and the one with fewer requests in flight for its weight takes the request. The
//! counts are those of this worker: exact, free to read, and enough, since every worker sees the same mix.

/// What is drawn from: each endpoint's place as often as its weight says.
#[derive(Debug, Clone)]
pub struct P2c {
    weights: Box<[u32]>,
    lottery: Box<[u16]>,
}

// === impl P2c ===

impl P2c {
    /// A chooser over endpoints with these weights (1 to 1000 each); at most 65,535 of them count.
    #[must_use]
    pub fn new(weights: &[u32]) -> Self {
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        let lottery = (0_u16..=u16::MAX)
            .zip(weights)
            .flat_map(|(place, weight)| std::iter::repeat_n(place, (weight / divisor).max(1) as usize))
            .collect();
        Self { weights: weights.into(), lottery }
    }

    /// The weight of the endpoint at `place`.
    #[must_use]
    pub fn weight(&self, place: usize) -> u32 {
        self.weights.get(place).copied().unwrap_or_default()
    }

    /// The place of the endpoint that takes the request; `None` when none may.
    ///
    /// `bits` is entropy, `load` the requests in flight, `may` whether an endpoint can take it at all.
    pub fn pick(&self, bits: u64, load: impl Fn(usize) -> u64, may: impl Fn(usize) -> bool) -> Option<usize> {
        let heavier = |a: usize, b: usize| {
            (load(a) + 1) * u64::from(self.weights[b]) > (load(b) + 1) * u64::from(self.weights[a])
        };
        self.pick_by(bits, heavier, may)
    }

    /// The same, where `worse(a, b)` is whether the request is better off at `b`.
    pub(super) fn pick_by(
        &self,
        bits: u64,
        worse: impl Fn(usize, usize) -> bool,
        may: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match *self.lottery {
            [] => return None,
            [0] => return may(0).then_some(0),
            _ => {}
        }
        let first = self.draw(bits & 0xffff_ffff);
        let second = self.draw(bits >> 32);
        let candidate = match (may(first), may(second)) {
            (true, true) => {
                if worse(first, second) {
                    second
                } else {
                    first
                }
            }
            (true, false) => first,
            (false, true) => second,
            (false, false) => return self.scan(first, &may),
        };
        Some(candidate)
    }

    /// The first endpoint from `start` on that may take the request.
    fn scan(&self, start: usize, may: impl Fn(usize) -> bool) -> Option<usize> {
        let count = self.weights.len();
        (0..count).map(|step| (start + step) % count).find(|place| may(*place))
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the product's high half is below the lottery's length"
    )]
    fn draw(&self, bits32: u64) -> usize {
        let at = (bits32 * self.lottery.len() as u64) >> 32;
        usize::from(self.lottery[at as usize])
    }
}

pub(super) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixed sequence of well-mixed bits (SplitMix64, Steele et al. 2014).
    fn bits(n: u64) -> u64 {
        let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn the_less_loaded_of_two_is_taken() {
        let chooser = P2c::new(&[1, 1]);
        let picked =
            (1..1000).filter(|n| chooser.pick(bits(*n), |at| [9, 0][at], |_| true) == Some(1)).count();
        assert!(
            (700..800).contains(&picked),
            "both draws fall on the loaded one in a quarter of cases: {picked}"
        );
    }

    #[test]
    fn an_endpoint_that_may_not_is_never_taken() {
        let chooser = P2c::new(&[1, 5, 1]);
        for n in 1..1000 {
            assert_eq!(chooser.pick(bits(n), |_| 0, |at| at == 2), Some(2));
            assert_eq!(chooser.pick(bits(n), |_| 0, |_| false), None);
        }
        assert_eq!(P2c::new(&[]).pick(1, |_| 0, |_| true), None);
    }

    #[test]
    fn weights_are_shares_when_all_are_idle() {
        let chooser = P2c::new(&[100, 200]);
        let heavy = (1..=9000).filter(|n| chooser.pick(bits(*n), |_| 0, |_| true) == Some(1)).count();
        assert!(heavy > 5500, "the endpoint with twice the weight takes most: {heavy}");
    }
}
