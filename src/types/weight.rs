//! Weights: relative, non-negative decimals held as fixed-point numbers, so that equal texts are equal weights.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Parts of one: a weight has six decimal places.
const SCALE: u64 = 1_000_000;

/// A backend's weight relative to the others of its split; 0 takes no traffic. 0 to 1,000,000 in steps of 0.000001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Weight(u64);

/// Why a number is not a [`Weight`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeightError {
    /// Not a finite number.
    #[error("a weight is a number such as 5 or 0.5")]
    NotANumber,
    /// Below zero.
    #[error("a weight must not be negative")]
    Negative,
    /// Above one million.
    #[error("a weight is at most 1000000")]
    TooLarge,
    /// Above zero, but smaller than a weight can tell from zero.
    #[error("a weight above 0 is at least 0.000001")]
    TooSmall,
}

// === impl Weight ===

impl Weight {
    /// No traffic.
    pub const ZERO: Self = Self(0);

    /// The weight `n`, cut to one million.
    #[must_use]
    pub fn of(n: u32) -> Self {
        Self(u64::from(n.min(1_000_000)) * SCALE)
    }

    /// Takes a decimal, rounded to six places.
    ///
    /// # Errors
    /// When it is negative, not finite, too large, or so small that it would round to zero.
    pub fn from_f64(value: f64) -> Result<Self, WeightError> {
        if !value.is_finite() {
            return Err(WeightError::NotANumber);
        }
        if value < 0.0 {
            return Err(WeightError::Negative);
        }
        if value > 1_000_000.0 {
            return Err(WeightError::TooLarge);
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "0 to 10^12, which an f64 holds exactly"
        )]
        let micros = (value * SCALE as f64).round() as u64;
        if micros == 0 && value > 0.0 {
            return Err(WeightError::TooSmall);
        }
        Ok(Self(micros))
    }

    /// The weight of so many millionths, cut to one million.
    #[must_use]
    pub fn from_micros(micros: u64) -> Self {
        Self(micros.min(1_000_000 * SCALE))
    }

    /// The weight in millionths, exact.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.0
    }

    /// The weight as a decimal.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "at most 10^12, which an f64 holds exactly")]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }

    /// Whether the backend takes no traffic.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_f64().to_string())
    }
}

impl Serialize for Weight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(SCALE) {
            serializer.serialize_u64(self.0 / SCALE)
        } else {
            serializer.serialize_f64(self.as_f64())
        }
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_f64(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_checked_and_printed_as_written() {
        for (value, expected) in [
            (0.0, Ok("0")),
            (5.0, Ok("5")),
            (99.999, Ok("99.999")),
            (0.000_001, Ok("0.000001")),
            (0.000_000_1, Err(WeightError::TooSmall)),
            (-1.0, Err(WeightError::Negative)),
            (1e7, Err(WeightError::TooLarge)),
            (f64::NAN, Err(WeightError::NotANumber)),
        ] {
            assert_eq!(
                Weight::from_f64(value).map(|w| w.to_string()),
                expected.map(str::to_owned),
                "{value}"
            );
        }
    }
}
