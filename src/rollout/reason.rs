//! Why an automatic decision was made: one object, the same in the API, the command line, the log, the audit and notifications.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::Name;

/// Why something was decided, with the numbers that decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The gate, or what else decided: `deadline`, `blast_radius`, `sample_ratio`, `health`, …
    pub gate: String,
    /// What it said.
    pub verdict: Verdict,
    /// The route whose traffic it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Name>,
    /// What the canary showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Sample>,
    /// What the baseline showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Sample>,
    /// What was allowed, as a number: a ratio of 0 to 1, or seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Which test: `max`, `min`, `max_ratio`, `hard_max`, `e_value`, …
    pub test: String,
    /// The time that the numbers cover, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<f64>,
    /// The step, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// All of it for people.
    pub words: String,
}

/// What one version showed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The value: a ratio of 0 to 1, or seconds.
    pub value: f64,
    /// How many of them were bad, where that can be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<u64>,
    /// Out of how many requests, or users.
    pub n: u64,
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Good enough to go on.
    Pass,
    /// There is not enough to say anything.
    NoData,
    /// Neither good nor bad enough.
    Inconclusive,
    /// What was to be asked could not be reached.
    Error,
    /// Bad once, but not yet often enough.
    Failing,
    /// Bad: the canary is withdrawn.
    Fail,
    /// Bad in both versions: nothing is done but telling people.
    Held,
}

// === impl Reason ===

impl Reason {
    /// A reason without numbers.
    #[must_use]
    pub fn plain(gate: &str, verdict: Verdict, words: impl Into<String>) -> Self {
        Self {
            gate: gate.to_owned(),
            verdict,
            route: None,
            canary: None,
            baseline: None,
            limit: None,
            test: gate.to_owned(),
            window_seconds: None,
            step: None,
            words: words.into(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

// === impl Verdict ===

impl Verdict {
    /// Every verdict, good ones first.
    pub const ALL: [Self; 7] =
        [Self::Pass, Self::NoData, Self::Inconclusive, Self::Error, Self::Failing, Self::Fail, Self::Held];

    /// The word in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NoData => "no_data",
            Self::Inconclusive => "inconclusive",
            Self::Error => "error",
            Self::Failing => "failing",
            Self::Fail => "fail",
            Self::Held => "held",
        }
    }
}

// === impl Sample ===

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bad {
            Some(bad) => write!(f, "{}/{}", grouped(bad), grouped(self.n)),
            None => write!(f, "n={}", grouped(self.n)),
        }
    }
}

/// A count with a comma after every three digits.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A ratio as a percentage of at most three significant places behind the point: `6.1 %`, `0.02 %`.
#[must_use]
pub fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    let places = match percent.abs() {
        size if size >= 10.0 || size == 0.0 => 1,
        size if size >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{percent:.places$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

/// Seconds as people write them: `93 ms`, `1.25 s`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    match seconds {
        size if size < 0.000_999_5 => format!("{:.0} us", size * 1e6),
        size if size < 0.009_995 => format!("{:.2} ms", size * 1e3),
        size if size < 0.099_95 => format!("{:.1} ms", size * 1e3),
        size if size < 0.999_5 => format!("{:.0} ms", size * 1e3),
        size => format!("{size:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (ratio, text) in [
            (0.061, "6.1 %"),
            (0.01, "1 %"),
            (0.000_2, "0.02 %"),
            (1.0, "100 %"),
            (0.0, "0 %"),
            (0.004_56, "0.46 %"),
        ] {
            assert_eq!(percent(ratio), text);
        }
        for (value, text) in [
            (0.5, "500 ms"),
            (0.093, "93.0 ms"),
            (1.25, "1.25 s"),
            (0.000_25, "250 us"),
            (0.001_5, "1.50 ms"),
        ] {
            assert_eq!(seconds(value), text);
        }
        for (count, text) in [(0, "0"), (508, "508"), (9812, "9,812"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
    }
}
