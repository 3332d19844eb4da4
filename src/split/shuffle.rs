//! Permutations of the buckets, one for each text.
//!
//! Two things need an order of all buckets that looks random, is the same everywhere and repeats none: the race that
//! allocates buckets to three and more backends, and the step from the number in a cookie to the bucket of one split.
//!
//! A bucket is a pair (high, low) of 250 × 400. Three rounds of an unbalanced Feistel network add to one half what a
//! table says for the other half, so that each round, and with it the whole, can be undone: it is a permutation.
//! The tables are filled by SipHash-2-4, keyed from the text; two texts have independent permutations.

use siphasher::sip::SipHasher24;

use super::bucket::key_of;
use crate::types::Bucket;

pub(super) const HIGH: u16 = 250;
pub(super) const LOW: u16 = 400;

/// A permutation of the buckets, 3 KiB.
#[derive(Debug, Clone)]
pub(super) struct Shuffle {
    first: Box<Table>,
    second: Box<Table>,
    third: Box<Table>,
}

/// What to add, by the other half. 512 is the power of two above both halves: an index cut to 9 bits needs no check.
type Table = [u16; 512];

// === impl Shuffle ===

impl Shuffle {
    /// The permutation of `text`, for the use that `domain` names.
    pub(super) fn new(domain: &str, text: &str) -> Self {
        let key = SipHasher24::new_with_key(&key_of(domain, text));
        let mut counter = 0_u64;
        let mut table = |length: u16, values: u16| -> Box<Table> {
            let mut table = Box::new([0; 512]);
            for value in &mut table[..usize::from(length)] {
                counter += 1;
                *value = below(values, key.hash(&counter.to_le_bytes()));
            }
            table
        };
        Self { first: table(LOW, HIGH), second: table(HIGH, LOW), third: table(LOW, HIGH) }
    }

    /// Where the permutation takes the pair: again a number below 100,000.
    #[inline]
    pub(super) fn place(&self, high: u16, low: u16) -> u32 {
        let high = wrap(high + self.first[usize::from(low) & 511], HIGH);
        let low = wrap(low + self.second[usize::from(high) & 511], LOW);
        let high = wrap(high + self.third[usize::from(low) & 511], HIGH);
        u32::from(high) * u32::from(LOW) + u32::from(low)
    }

    /// Where the permutation takes the bucket.
    pub(super) fn apply(&self, bucket: Bucket) -> Bucket {
        let (high, low) = (bucket.number() / u32::from(LOW), bucket.number() % u32::from(LOW));
        let half = |n: u32| u16::try_from(n).expect("a half of a bucket is below 400");
        Bucket::new(self.place(half(high), half(low))).expect("a place is below 250 * 400 = BUCKETS")
    }
}

/// `n` below 2 * `limit`, brought below `limit`.
#[inline]
fn wrap(n: u16, limit: u16) -> u16 {
    if n >= limit { n - limit } else { n }
}

#[allow(clippy::cast_possible_truncation, reason = "the high word of a product with a u16 is below that u16")]
fn below(limit: u16, bits: u64) -> u16 {
    ((u128::from(bits) * u128::from(limit)) >> 64) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BUCKETS;

    #[test]
    fn every_bucket_is_taken_once_and_elsewhere() {
        assert_eq!(u32::from(HIGH) * u32::from(LOW), BUCKETS);
        let [shop, other] = ["shop", "other"].map(|text| Shuffle::new("test", text));
        let mut seen = vec![false; BUCKETS as usize];
        let (mut fixed, mut same) = (0, 0);
        for bucket in (0..BUCKETS).filter_map(Bucket::new) {
            let place = shop.apply(bucket);
            assert!(!std::mem::replace(&mut seen[place.number() as usize], true));
            fixed += u32::from(place == bucket);
            same += u32::from(place == other.apply(bucket));
        }
        // One each is expected of independent permutations.
        assert!(fixed < 20 && same < 20, "{fixed} fixed, {same} in common");
    }
}
