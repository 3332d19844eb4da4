//! The audit: one row for every change, and for every control file that was refused.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    control::command::Origin,
    types::{Name, Revision},
};

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// When, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// The revision in force after it.
    pub revision: Revision,
    /// Who, through what, and why.
    pub origin: Origin,
    /// What: `start`, the word of a [`Change`](super::Change), `denied`, `withdraw` or `lost_rows`.
    pub action: String,
    /// Whether it was done.
    pub result: AuditResult,
    /// The route it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Name>,
    /// What it was before.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub from: Value,
    /// What it is now; for a refused file, why.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub to: Value,
}

/// Whether a change was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditResult {
    /// It is in force, and on disk.
    Applied,
    /// It is in force, and could not be written to disk.
    NotPersisted,
    /// It was refused.
    Refused,
}

/// A time since the Unix epoch as RFC 3339 text in UTC with milliseconds, e.g. `2026-01-31T12:00:00.123Z`.
#[must_use]
pub fn rfc3339(at: Duration) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(rfc3339(Duration::from_millis(1_769_860_800_120)), "2026-01-31T12:00:00.120Z");
        assert_eq!(rfc3339(Duration::ZERO), "1970-01-01T00:00:00.000Z");
    }
}
