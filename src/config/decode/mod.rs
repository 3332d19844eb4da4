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
mod gates;
mod jwt;
mod measure;
mod notify;
mod policy;
mod reader;
mod resilience;
mod rollout;
mod routes;
mod scalar;
mod tls;
mod top;
mod value;

use std::collections::BTreeSet;

use crate::types::Name;

use super::{
    diagnostic::{Diagnostic, Sink},
    keys::ROLLOUT,
    model::{Config, rollout::RolloutPlan},
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
    pub(super) notifications: BTreeSet<String>,
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
    Notification,
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
            notifications: BTreeSet::new(),
            references: Vec::new(),
        }
    }

    /// Takes the names of `config` for those that may be used.
    pub(super) fn know(&mut self, config: &Config) {
        self.backends = config.backends.keys().map(ToString::to_string).collect();
        self.segments = config.segments.keys().map(ToString::to_string).collect();
        self.jwt_providers = config.jwt.keys().map(ToString::to_string).collect();
        self.notifications = config.notifications.keys().map(ToString::to_string).collect();
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

    /// Whether something was reported inside of `pointer`.
    pub(super) fn is_wrong_within(&self, pointer: &str) -> bool {
        let inside = format!("{pointer}/");
        self.wrong.range(inside.clone()..).next().is_some_and(|first| first.starts_with(&inside))
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
    settle(root, context);
    config
}

/// Decodes a plan that stands alone; the names that it may use are in `context`.
pub(super) fn plan(root: &Node, context: &mut Context) -> RolloutPlan {
    let place = reader::Place { node: root, pointer: String::new() };
    let plan = rollout::plan(reader::Object::open(context, &place, &ROLLOUT), context);
    settle(root, context);
    plan
}

fn settle(root: &Node, context: &mut Context) {
    note_written(root, String::new(), context);
    let places = std::mem::take(&mut context.places);
    context.source.set_places(places);
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
