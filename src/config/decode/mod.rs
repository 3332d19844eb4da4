//! From the tree to a [`Config`]: hand-written, so that every error has its place and its example.
//!
//! Decoding never stops at an error. What cannot be read is reported and replaced by something harmless, so that one
//! run finds everything and list positions stay what they are in the file; the [`Config`] is thrown away when anything
//! was reported. Later checks ask [`Context::is_wrong`] before they complain about a replacement.

mod address;
mod admin;
mod backends;
mod conditions;
mod edge;
mod jwt;
mod policy;
mod reader;
mod resilience;
mod routes;
mod scalar;
mod tls;
mod top;

use std::collections::BTreeSet;

use crate::types::Name;

use super::{
    diagnostic::{Diagnostic, Sink},
    model::Config,
    source::{Places, Source, Span},
    yaml::{Node, Value},
};

/// What decoding and validation share: where things stand, what was reported, who names whom.
pub(super) struct Context {
    pub(super) source: Source,
    pub(super) sink: Sink,
    places: Places,
    /// Pointers at which something was reported.
    wrong: BTreeSet<String>,
    /// Names of every backend, segment and provider in the file, those included that could not be read.
    pub(super) backends: BTreeSet<String>,
    pub(super) segments: BTreeSet<String>,
    pub(super) jwt_providers: BTreeSet<String>,
    /// Every place that names a backend or segment, in file order.
    pub(super) references: Vec<Reference>,
}

/// A place that names a backend or segment.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub(super) to: Referent,
    pub(super) name: Name,
    pub(super) pointer: String,
    pub(super) span: Span,
}

/// What can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Referent {
    Backend,
    Segment,
    JwtProvider,
}

impl Context {
    pub(super) fn new(source: Source, sink: Sink) -> Self {
        Self {
            source,
            sink,
            places: Places::default(),
            wrong: BTreeSet::new(),
            backends: BTreeSet::new(),
            segments: BTreeSet::new(),
            jwt_providers: BTreeSet::new(),
            references: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> (Source, Sink) {
        (self.source, self.sink)
    }

    fn refer(&mut self, to: Referent, name: &Name, pointer: &str, span: Span) {
        self.references.push(Reference { to, name: name.clone(), pointer: pointer.to_owned(), span });
    }

    /// Reports at a place in the text.
    pub(super) fn report(&mut self, diagnostic: Diagnostic, span: Span) {
        self.wrong.insert(diagnostic.pointer.clone());
        self.sink.push(diagnostic.at(self.source.first_line(span)));
    }

    /// Counts `pointer` as reported, because another name of the same place was.
    pub(super) fn mark_wrong(&mut self, pointer: &str) {
        self.wrong.insert(pointer.to_owned());
    }

    /// Whether something was reported at `pointer` or around it.
    pub(super) fn is_wrong(&self, pointer: &str) -> bool {
        let mut at = pointer;
        loop {
            if self.wrong.contains(at) {
                return true;
            }
            let Some(cut) = at.rfind('/') else { return false };
            at = &at[..cut];
        }
    }
}

/// Decodes a whole file.
pub(super) fn config(root: &Node, context: &mut Context) -> Config {
    let config = top::config(root, context);
    note_written(root, String::new(), context);
    let places = std::mem::take(&mut context.places);
    context.source.set_places(places);
    config
}

/// Notes the places of pointers as they are written, beside those of the canonical form.
fn note_written(node: &Node, pointer: String, context: &mut Context) {
    context.places.note(&pointer, None, node.span);
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                note_written(item, format!("{pointer}/{index}"), context);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                let pointer = super::source::join(&pointer, &key.text);
                context.places.note(&pointer, Some(key.span), value.span);
                note_written(value, pointer, context);
            }
        }
    }
}
