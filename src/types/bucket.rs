//! Buckets: the 100,000 groups that users fall into, and fractions of them.

use std::fmt;

use serde::{Deserialize, Serialize, de::Error as _};

/// How many buckets a split has; one bucket is 0.001 % of users.
pub const BUCKETS: u32 = 100_000;

/// A user's place in a split: 0 to 99,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Bucket(u32);

/// A share of users in whole buckets: 0 to 100,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fraction(u32);

// === impl Bucket ===

impl Bucket {
    /// The bucket with this number, or `None` when there is none.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (number < BUCKETS).then_some(Self(number))
    }

    /// Spreads 64 uniform bits evenly over the buckets (multiply-shift, Lemire 2019, "Fast Random Integer Generation in
    /// an Interval"; the bias is below 2^-47).
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the high word of a product with BUCKETS is below BUCKETS"
    )]
    pub fn from_bits(bits: u64) -> Self {
        Self(((u128::from(bits) * u128::from(BUCKETS)) >> 64) as u32)
    }

    /// The bucket's number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Fraction ===

impl Fraction {
    /// A share from a percentage, 0 to 100, rounded to 0.001 %. `None` outside that range.
    #[must_use]
    pub fn from_percent(percent: f64) -> Option<Self> {
        if !(0.0..=100.0).contains(&percent) {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100,000")]
        let buckets = (percent * 1000.0).round() as u32;
        Some(Self(buckets))
    }

    /// The share of so many buckets. `None` above all of them.
    #[must_use]
    pub fn from_buckets(buckets: u32) -> Option<Self> {
        (buckets <= BUCKETS).then_some(Self(buckets))
    }

    /// Everybody.
    pub const ALL: Self = Self(BUCKETS);
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// The share as a number, 0 to 1.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(BUCKETS)
    }

    /// How many buckets the share has.
    #[must_use]
    pub fn buckets(self) -> u32 {
        self.0
    }

    /// Whether `bucket` is inside: the first buckets are, so that a growing fraction only adds users.
    #[must_use]
    pub fn contains(self, bucket: Bucket) -> bool {
        bucket.0 < self.0
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 1000.0)
    }
}

impl Serialize for Fraction {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let percent = text.strip_suffix('%').and_then(|number| number.parse().ok());
        percent
            .and_then(Self::from_percent)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is no percentage")))
    }
}
