//! Tokens that were verified lately, so that a user's next request costs no signature.
//!
//! A token is known by a keyed 128-bit hash over itself and over whose it is: keys that have changed, or another audience, find
//! nothing. The key is random and secret, so nobody can make two tokens of one hash. Two generations bound the memory: when the
//! younger is full the older is dropped, and what is used moves to the younger. Only tokens that were good are kept, so bad ones
//! push nobody out.

use std::{collections::HashMap, hash::Hasher as _, rc::Rc};

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::split::Claims;

/// Tokens in one generation.
const GENERATION: usize = 1024;
/// Bytes of all tokens in one generation, as they came. What they say takes more, but not many times as much.
const GENERATION_BYTES: usize = 2 << 20;

/// One worker's cache.
#[derive(Debug)]
pub struct TokenCache {
    key: [u64; 2],
    /// Of the younger generation's tokens.
    bytes: usize,
    young: HashMap<u128, Entry>,
    old: HashMap<u128, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    claims: Rc<Claims>,
    /// Not trusted from then on, seconds since 1970.
    expires: u64,
    /// Length of the token, in bytes.
    len: usize,
}

/// A token's place in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u128);

// === impl TokenCache ===

impl TokenCache {
    /// An empty cache; `key` is random.
    #[must_use]
    pub fn new(key: [u64; 2]) -> Self {
        Self { key, bytes: 0, young: HashMap::new(), old: HashMap::new() }
    }

    /// Where a token of this provider would be.
    pub(super) fn place(&self, provider: u128, token: &[u8]) -> Place {
        let mut hasher = SipHasher24::new_with_keys(self.key[0], self.key[1]);
        hasher.write(&provider.to_le_bytes());
        hasher.write(token);
        Place(hasher.finish128().as_u128())
    }

    /// The claims of a token that is known and has not expired.
    pub(super) fn get(&mut self, place: Place, now_unix_secs: u64) -> Option<Rc<Claims>> {
        let fresh = |entry: &Entry| now_unix_secs < entry.expires;
        if let Some(entry) = self.young.get(&place.0) {
            return fresh(entry).then(|| Rc::clone(&entry.claims));
        }
        let entry = self.old.remove(&place.0).filter(fresh)?;
        let claims = Rc::clone(&entry.claims);
        self.keep(place, entry);
        Some(claims)
    }

    /// Remembers a token of `len` bytes that was verified.
    pub(super) fn put(&mut self, place: Place, len: usize, claims: Rc<Claims>, expires: u64) {
        self.keep(place, Entry { claims, expires, len });
    }

    fn keep(&mut self, place: Place, entry: Entry) {
        if self.young.len() >= GENERATION || self.bytes + entry.len > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += entry.len;
        self.young.insert(place.0, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_by_provider_and_until_they_expire() {
        let mut cache = TokenCache::new([1, 2]);
        let claims = Rc::new(Claims::default());
        let place = cache.place(7, b"token");
        assert_ne!(place, cache.place(8, b"token"));
        assert_ne!(place, cache.place(7, b"tokem"));
        assert_ne!(place, TokenCache::new([1, 3]).place(7, b"token"));
        cache.put(place, 5, claims, 100);
        assert!(cache.get(place, 99).is_some());
        assert!(cache.get(place, 100).is_none());
        assert!(cache.get(cache.place(8, b"token"), 0).is_none());
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut cache = TokenCache::new([1, 2]);
        let claims = Rc::new(Claims::default());
        let used = cache.place(0, b"used");
        cache.put(used, 4, Rc::clone(&claims), u64::MAX);
        for number in 0..10_000_u32 {
            let place = cache.place(1, &number.to_le_bytes());
            cache.put(place, 4, Rc::clone(&claims), u64::MAX);
            assert!(cache.get(used, 0).is_some(), "after {number}");
            assert!(cache.young.len() + cache.old.len() <= 2 * GENERATION);
        }
        assert!(cache.get(cache.place(1, &0_u32.to_le_bytes()), 0).is_none());
    }

    #[test]
    fn long_tokens_are_fewer() {
        let mut cache = TokenCache::new([1, 2]);
        for number in 0..2000_u32 {
            let place = cache.place(1, &number.to_le_bytes());
            cache.put(place, 8 << 10, Rc::default(), u64::MAX);
            assert!(cache.young.len() + cache.old.len() <= 512, "after {number}");
            assert!(cache.get(place, 0).is_some());
        }
    }
}
