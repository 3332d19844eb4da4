//! Rendezvous hashing: a key goes to the endpoint at which it scores highest (Thaler and Ravishankar 1998, "Using
//! Name-Based Mappings to Increase Hit Rates").
//!
//! Each endpoint's score for a key depends on nothing but the two, so an endpoint that goes takes along only the keys it
//! had, and one that comes takes from each other in proportion. Weights enter as −w / ln h, with h the hash as a number
//! between 0 and 1 (Schindelhauer and Schomaker 2005, "Weighted Distributed Hash Tables"): the shares are the weights', and
//! raising a weight only moves keys to it. Hashes have a fixed key, so all instances and all versions of Weir agree.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::{mix, unit};

/// The keys of the two hashes. Whoever changes them moves every user.
const ENDPOINT_KEY: (u64, u64) = (0x7765_6972_2d65_7000, 1);
const WHO_KEY: (u64, u64) = (0x7765_6972_2d6b_6579, 1);

/// A chooser over weighted endpoints.
#[derive(Debug, Clone)]
pub struct Rendezvous {
    endpoints: Box<[(u64, f64)]>,
}

/// The key of whoever is asking, by what identifies them.
#[must_use]
pub fn key_of(identity: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(WHO_KEY.0, WHO_KEY.1);
    hasher.write(identity);
    hasher.finish()
}

// === impl Rendezvous ===

impl Rendezvous {
    /// A chooser over endpoints with these identities and weights (1 to 1000 each).
    pub fn new<'i>(endpoints: impl IntoIterator<Item = (&'i str, u32)>) -> Self {
        let seeded = endpoints.into_iter().map(|(identity, weight)| {
            let mut hasher = SipHasher13::new_with_keys(ENDPOINT_KEY.0, ENDPOINT_KEY.1);
            hasher.write(identity.as_bytes());
            (hasher.finish(), f64::from(weight))
        });
        Self { endpoints: seeded.collect() }
    }

    /// The place of the endpoint that `key` belongs to, where each has `readiness` of its weight; `None` when all have none.
    pub fn pick(&self, key: u64, readiness: impl Fn(usize) -> f64) -> Option<usize> {
        let mut best = None;
        for (place, (seed, weight)) in self.endpoints.iter().enumerate() {
            let weight = weight * readiness(place);
            if weight <= 0.0 {
                continue;
            }
            // The crate's logarithm, because the platform's may differ in the last bit.
            let score = -weight / libm::log(unit(mix(key ^ seed)));
            if best.is_none_or(|(_, highest)| score > highest) {
                best = Some((place, score));
            }
        }
        best.map(|(place, _)| place)
    }
}
