//! From a user to a bucket.
//!
//! # The formula
//! So that a bucket can be computed elsewhere (a test, an analysis, another proxy), it depends on the salt and the
//! identity alone, both as UTF-8 bytes:
//! ```text
//! key    = SipHash-2-4-128(key = 16 zero bytes, "bucket" 0x00 salt), its 16 bytes
//! bucket = floor(SipHash-2-4(key, identity) * 100000 / 2^64)
//! ```
//! The salt is no secret: whoever knows it can find the bucket of an identity. Nothing is gained by that, because the
//! application knows the identity anyway, and instances agree without sharing anything but the control file.

use std::net::IpAddr;

use siphasher::{sip::SipHasher24, sip128};

use super::shuffle::Shuffle;
use crate::types::Bucket;

/// What the identities of one split are hashed with.
#[derive(Debug, Clone)]
pub struct Salt {
    text: Box<str>,
    hasher: SipHasher24,
    shuffle: Shuffle,
}

// === impl Salt ===

impl Salt {
    /// The salt `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            hasher: SipHasher24::new_with_key(&key_of("bucket", text)),
            shuffle: Shuffle::new("cookie bucket", text),
        }
    }

    /// The salt's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The bucket of an identity.
    #[must_use]
    pub fn bucket(&self, identity: &[u8]) -> Bucket {
        Bucket::from_bits(self.hasher.hash(identity))
    }

    /// The bucket of a client address: of the 4 bytes of an IPv4 address, or of the first 8 bytes of an IPv6 address,
    /// because a host changes the other half as it likes (RFC 8981).
    #[must_use]
    pub fn address_bucket(&self, address: IpAddr) -> Bucket {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.bucket(&v4.octets()),
            IpAddr::V6(v6) => self.bucket(&v6.octets()[..8]),
        }
    }

    /// The bucket that this salt makes of the number in an assignment cookie.
    ///
    /// The number is shared by all splits with the same cookie name. Each salt permutes it in its own way, so that the
    /// users in the canary of one split are no more likely than others to be in the canary of another, while every
    /// bucket still belongs to exactly one number: shares stay exact.
    #[must_use]
    pub fn cookie_bucket(&self, number: Bucket) -> Bucket {
        self.shuffle.apply(number)
    }
}

/// A SipHash key from a text; `domain` (without a zero byte) keeps uses apart.
pub(super) fn key_of(domain: &str, text: &str) -> [u8; 16] {
    let mut bytes = Vec::with_capacity(domain.len() + 1 + text.len());
    bytes.extend_from_slice(domain.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(text.as_bytes());
    sip128::SipHasher24::new().hash(&bytes).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by a second implementation of the formula above, tests/fixtures/bucket_vectors.py.
    #[test]
    fn buckets_are_those_of_the_reference() {
        for (salt, identity, expected) in [
            ("shop", "42", 63352),
            ("shop", "alice@example.com", 31499),
            ("shop", "", 88945),
            ("checkout-2026", "42", 71006),
            ("", "42", 2028),
            ("größe", "ü", 29298),
        ] {
            assert_eq!(
                Salt::new(salt).bucket(identity.as_bytes()).number(),
                expected,
                "{salt:?} {identity:?}"
            );
        }
    }

    #[test]
    fn addresses_count_by_host_or_by_network() {
        let bucket = |ip: &str| Salt::new("shop").address_bucket(ip.parse().unwrap());
        assert_eq!(bucket("192.0.2.1"), bucket("::ffff:192.0.2.1"));
        assert_ne!(bucket("192.0.2.1"), bucket("192.0.2.2"));
        assert_eq!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:2:ffff::9"));
        assert_ne!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:3::1"));
    }
}
