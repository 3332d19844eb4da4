//! What goes over the wire about a control file that is not in force.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::config;

/// `GET` and `POST /v1/config/diff`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigDiff {
    /// Whether anything would change.
    pub different: bool,
    /// What would, in the order of the file.
    pub changes: Vec<ConfigChange>,
}

/// One thing that would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// What it is about, such as `route shop`, `listener web` or `settings`.
    pub item: String,
    /// What would become of it.
    pub kind: ChangeKind,
    /// Where in the item; absent when the whole item is added or removed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What is in force.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub from: Value,
    /// What would be.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub to: Value,
}

/// What would become of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It would be new.
    Added,
    /// It would be gone.
    Removed,
    /// It would be another.
    Changed,
}

// === impl ConfigChange ===

impl From<config::Change> for ConfigChange {
    fn from(change: config::Change) -> Self {
        let kind = match change.kind {
            config::ChangeKind::Added => ChangeKind::Added,
            config::ChangeKind::Removed => ChangeKind::Removed,
            config::ChangeKind::Changed => ChangeKind::Changed,
        };
        Self { item: change.item, kind, path: change.path, from: change.from, to: change.to }
    }
}
