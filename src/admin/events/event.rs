//! One event: what it is about, and its text as it goes over the wire.

use hyper::body::Bytes;
use serde::Serialize;

use super::filter::Kind;
use crate::types::Name;

/// Something that happened.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) scope: Scope,
    /// The event as text: id, kind, data, and an empty line.
    pub(super) text: Bytes,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything.
    All,
    /// These routes.
    Routes(Vec<Name>),
}

// === impl Event ===

impl Event {
    pub(super) fn new(id: u64, kind: Kind, scope: Scope, data: &impl Serialize) -> Self {
        Self { id, kind, scope, text: encode(id, kind.as_str(), data) }
    }
}

/// The text of an event (HTML standard, "Server-sent events"). JSON without white space has no line breaks.
pub(super) fn encode(id: u64, name: &str, data: &impl Serialize) -> Bytes {
    encode_with(id, name, data, "")
}

/// The same with a further line before the data.
pub(super) fn encode_with(id: u64, name: &str, data: &impl Serialize, line: &str) -> Bytes {
    let data = serde_json::to_string(data).expect("payloads have text keys only");
    format!("id: {id}\nevent: {name}\n{line}data: {data}\n\n").into()
}
