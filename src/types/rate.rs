//! Rates: so many in a unit of time.

use std::{fmt, num::NonZeroU32, time::Duration};

/// A rate such as `100/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    number: NonZeroU32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

// === impl Rate ===

impl Rate {
    /// The highest number in a unit.
    pub const MAX: u32 = 1_000_000;
    /// The slowest of a kind that is not nothing; what stands in for one that could not be read.
    pub const SLOWEST: Self = Self { number: NonZeroU32::MIN, unit: Unit::Day };

    /// The rate in a text: a number from 1 to [`MAX`](Self::MAX), `/`, and `s`, `m`, `h` or `d`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = text.split_once('/')?;
        let unit = [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day]
            .into_iter()
            .find(|known| known.as_str() == unit)?;
        if number.starts_with('0') || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = number.parse().ok().filter(|number: &NonZeroU32| number.get() <= Self::MAX)?;
        Some(Self { number, unit })
    }

    /// How many in a unit.
    #[must_use]
    pub fn number(self) -> NonZeroU32 {
        self.number
    }

    /// How many in a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.number.get()) / self.unit.duration().as_secs_f64()
    }

    /// The time between one and the next.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.unit.duration() / self.number.get()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.unit.as_str())
    }
}

// === impl Unit ===

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
            Self::Day => "d",
        }
    }

    fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, interval) in [
            ("100/s", Some(Duration::from_millis(10))),
            ("6/m", Some(Duration::from_secs(10))),
            ("1/h", Some(Duration::from_secs(3600))),
            ("2/d", Some(Duration::from_secs(43_200))),
            ("1000000/s", Some(Duration::from_micros(1))),
            ("1000001/s", None),
            ("0/s", None),
            ("01/s", None),
            ("+1/s", None),
            ("/s", None),
            ("100", None),
            ("1/10s", None),
            ("1/ms", None),
        ] {
            let rate = Rate::parse(text);
            assert_eq!(rate.map(Rate::interval), interval, "{text}");
            assert!(rate.is_none_or(|rate| rate.to_string() == text));
        }
    }
}
