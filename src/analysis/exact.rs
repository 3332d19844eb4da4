//! Numbers that survive a journal to the bit.
//!
//! A resumed rollout must decide exactly as it would have without the restart. JSON readers may be off by the last bit
//! when they read a number, and cannot write infinity at all. So state is written as text in Rust's shortest form, which
//! `str::parse` reads back exactly.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A number that is never NaN and is written as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub(super) struct Exact(pub(super) f64);

// === impl Exact ===

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        match text.parse::<f64>() {
            Ok(number) if !number.is_nan() => Ok(Self(number)),
            _ => Err(D::Error::custom(format_args!("expected a number such as \"0.5\", found \"{text}\""))),
        }
    }
}
