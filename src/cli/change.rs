//! What every change takes, and how its outcome is told.

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value};

use super::{client::Call, output};
use crate::{admin::api::types::history::Outcome, types::Revision};

/// What every change takes.
#[derive(Debug, Clone, Args)]
pub(super) struct Change {
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// What changes take that can wait until somebody has looked again; a kill switch cannot.
#[derive(Debug, Clone, Args)]
pub(super) struct Conditional {
    #[command(flatten)]
    pub(super) change: Change,
    /// Only when this revision is in force; exit code 4 otherwise
    #[arg(long, value_name = "N", value_parser = super::revision)]
    pub(super) if_rev: Option<Revision>,
}

// === impl Conditional ===

impl Conditional {
    /// The call that makes this change, with `members` beside the reason.
    pub(super) fn call(&self, method: Method, path: impl Into<String>, members: &[(&str, &str)]) -> Call {
        let members = members.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value)));
        let mut body: Map<String, Value> = members.collect();
        if let Some(reason) = &self.change.reason {
            body.insert("reason".to_owned(), reason.as_str().into());
        }
        Call::new(method, path).json(&body).dry_run(self.change.dry_run).expecting(self.if_rev)
    }
}

/// What became of a change: `rev 43, 5 % of users of shop move`.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let mut text = match (outcome.dry_run, outcome.changed) {
        (true, true) => "dry run: nothing was changed".to_owned(),
        (true, false) => "dry run: nothing would change".to_owned(),
        (false, true) => format!("rev {}", outcome.revision.0),
        (false, false) => format!("as before, rev {}", outcome.revision.0),
    };
    for (route, moved) in &outcome.moved_ratio {
        text += &format!(", {} of users of {route} move", output::percent(*moved));
    }
    text
}

/// A value of the API for people: texts as they are, nothing as a dash, `canary=20 stable=80`, the rest as JSON.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(entries) if entries.values().all(|inner| !inner.is_object() && !inner.is_array()) => {
            let entries = entries.iter().map(|(key, inner)| format!("{key}={}", self::value(inner)));
            entries.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// A point in time as lists show it: `2026-01-31 12:00:00`, in UTC.
pub(super) fn time(rfc3339: &str) -> String {
    match rfc3339.get(..19) {
        Some(seconds) => seconds.replace('T', " "),
        None => rfc3339.to_owned(),
    }
}
