//! Every key of the control file: what it takes, whether it must be there, its default and what it means.
//!
//! These tables are the only list of keys. The decoder reads through them (a key that is not here cannot be read, and a
//! key that is here and never read fails a debug assertion), the JSON schema and docs/configuration.md are written from
//! them. So none of the four can say something else than the others.

mod admin;
mod edge;
mod gate;
mod gone;
mod jwt;
mod notify;
mod policy;
mod resilience;
mod rollout;
mod routing;
mod scalar;
mod tls;
mod top;

pub(super) use admin::*;
pub(super) use edge::*;
pub(super) use gate::*;
pub(super) use gone::{RENAMED, UNAVAILABLE, UNAVAILABLE_WORDS};
pub(super) use jwt::*;
pub(super) use notify::*;
pub(super) use policy::*;
pub(super) use resilience::*;
pub(super) use rollout::*;
pub(super) use routing::*;
pub(super) use scalar::Scalar;
pub(super) use tls::*;
pub(super) use top::*;

/// A map with fixed keys.
#[derive(Debug)]
pub(super) struct Shape {
    /// What it is called in messages, the schema and the reference.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) doc: &'static str,
    pub(super) keys: &'static [Key],
    /// Keys that stand for each other.
    pub(super) choice: Choice,
}

/// How many of a shape's keys there must be, beside the required ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// As many as one likes.
    Free,
    /// At least one of all.
    Some,
    /// Exactly one of these.
    One(&'static [&'static str]),
    /// At most one of these.
    AtMostOne(&'static [&'static str]),
}

/// A key of a shape.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) need: Need,
    /// What it means, one or two sentences in Markdown.
    pub(super) doc: &'static str,
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
    /// May be left out; this is what it is then, as it would be written.
    Default(&'static str),
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Scalar(Scalar),
    /// One of these words.
    Word(&'static [&'static str]),
    Object(&'static Shape),
    /// A list of at least so many.
    List(&'static Kind, usize),
    /// One, or a list of at least one.
    OneOrMore(&'static Kind),
    /// A map from names, at least one.
    Map(&'static Kind),
    /// One of several forms.
    Either(&'static [Kind]),
}

// === impl Shape ===

impl Shape {
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

// === impl Kind ===

impl Kind {
    /// What is expected, for a message.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Scalar(scalar) => scalar.expected(),
            Self::Word([word]) => format!("`{word}`"),
            Self::Word(words) => format!("one of {}", listed(words)),
            Self::Object(shape) => format!("a map, {}", shape.example()),
            Self::List(Self::Scalar(of), _) => format!("a list such as `[{}]`", of.words().1),
            Self::List(of, _) => format!("a list of {}", of.plural()),
            Self::OneOrMore(of) => format!("{}, or a list of such", of.expected()),
            Self::Map(of) => format!("a map from names to {}", of.plural()),
            Self::Either(forms) => forms.iter().map(Self::expected).collect::<Vec<_>>().join(", or "),
        }
    }

    fn plural(&self) -> String {
        match self {
            Self::Object(shape) => format!("maps, {} each", shape.example()),
            Self::Scalar(scalar) => format!("values such as {}", scalar.example()),
            other => other.expected(),
        }
    }
}

impl Shape {
    /// The keys one would write first, e.g. "such as `{ name: …, weight: … }`".
    fn example(&self) -> String {
        let required = self.keys.iter().filter(|key| key.need == Need::Required);
        let mut names: Vec<_> = required.map(|key| key.name).collect();
        if let Choice::One(keys) | Choice::AtMostOne(keys) = self.choice {
            names.extend(keys.first());
        }
        if names.is_empty() {
            names.extend(self.keys.first().map(|key| key.name));
        }
        let pairs: Vec<_> = names.iter().map(|name| format!("{name}: …")).collect();
        format!("such as `{{ {} }}`", pairs.join(", "))
    }
}

/// "`a`, `b` or `c`".
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, need: Need::Required, doc }
}

const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, need: Need::Optional, doc }
}

const fn default(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, need: Need::Default(default), doc }
}

/// Every shape, the file itself first, each once, in reading order.
pub(super) fn shapes() -> Vec<&'static Shape> {
    let mut found: Vec<&'static Shape> = vec![&ROOT];
    let mut at = 0;
    while let Some(shape) = found.get(at).copied() {
        for key in shape.keys {
            inner(&key.kind, &mut found);
        }
        at += 1;
    }
    found
}

fn inner(kind: &Kind, found: &mut Vec<&'static Shape>) {
    match kind {
        Kind::Scalar(_) | Kind::Word(_) => {}
        Kind::Object(shape) => {
            if !found.iter().any(|other| other.name == shape.name) {
                found.push(shape);
            }
        }
        Kind::List(of, _) | Kind::OneOrMore(of) | Kind::Map(of) => inner(of, found),
        Kind::Either(forms) => forms.iter().for_each(|form| inner(form, found)),
    }
}
