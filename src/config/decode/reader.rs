//! Reading by the key tables: types, defaults and complaints come from there.

use super::{Context, Referent, scalar, value::FromValue};
use crate::{
    config::{
        code::Code,
        diagnostic::Diagnostic,
        keys::{self, Choice, Key, Kind, Need, Shape, listed},
        source::{Span, join},
        suggest,
        yaml::{MapKey, Node, Plain, VARIABLE, Value as NodeValue, classify, shorten},
    },
    types::Name,
};

/// A node and its pointer in canonical form.
#[derive(Debug, Clone)]
pub(super) struct Place<'n> {
    pub(super) node: &'n Node,
    pub(super) pointer: String,
}

/// A map that is read by a shape. A blank one stands for a map that is not there, or is no map: it has all defaults and
/// misses nothing.
#[derive(Debug)]
pub(super) struct Object<'n> {
    shape: &'static Shape,
    entries: &'n [(MapKey, Node)],
    pub(super) pointer: String,
    pub(super) span: Span,
    blank: bool,
    #[cfg(debug_assertions)]
    asked: std::collections::BTreeSet<&'static str>,
}

// === impl Object ===

impl<'n> Object<'n> {
    /// Opens `place` as `shape`: complains about another type, unknown keys and wrong choices.
    pub(super) fn open(cx: &mut Context, place: &Place<'n>, shape: &'static Shape) -> Self {
        let NodeValue::Map(entries) = &place.node.value else {
            wrong_type(cx, place, &Kind::Object(shape));
            return Self::blank(shape, &place.pointer, place.node.span);
        };
        let mut object = Self::blank(shape, &place.pointer, place.node.span);
        object.entries = entries;
        object.blank = false;
        for (key, _) in entries {
            if shape.key(&key.text).is_none() {
                object.unknown(cx, key);
            }
        }
        object.check_choice(cx);
        object
    }

    /// A map that is not there.
    pub(super) fn blank(shape: &'static Shape, pointer: &str, span: Span) -> Self {
        Self {
            shape,
            entries: &[],
            pointer: pointer.to_owned(),
            span,
            blank: true,
            #[cfg(debug_assertions)]
            asked: std::collections::BTreeSet::new(),
        }
    }

    fn key(&mut self, name: &str) -> &'static Key {
        let key = self.shape.key(name).expect("decoders read keys of the tables only");
        #[cfg(debug_assertions)]
        self.asked.insert(key.name);
        key
    }

    /// Whether the file has this key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.text == name)
    }

    /// The keys that the file has, and where.
    pub(super) fn written(&self) -> impl Iterator<Item = (&'n str, Span)> + use<'n> {
        self.entries.iter().map(|(key, _)| (key.text.as_str(), key.span))
    }

    /// The value of a key, if the file has it.
    pub(super) fn child(&mut self, cx: &mut Context, name: &str) -> Option<Place<'n>> {
        let key = self.key(name);
        let pointer = join(&self.pointer, name);
        match self.entries.iter().find(|(key, _)| key.text == name) {
            Some((key, node)) => {
                cx.places.note(&pointer, Some(key.span), node.span);
                Some(Place { node, pointer })
            }
            None => {
                if key.need == Need::Required && self.is_meant(name) {
                    cx.mark_wrong(&pointer);
                } else if key.need == Need::Required && !self.blank {
                    let expected = key.kind.expected();
                    let message = format!("the {} has no `{name}`", self.shape.name.replace('_', " "));
                    let missing = Diagnostic::new(Code::MissingKey, &pointer, message);
                    cx.report(missing.help(format!("add `{name}`: {expected}")), self.span);
                }
                None
            }
        }
    }

    /// A required scalar, or one with a default.
    pub(super) fn get<T: FromValue>(&mut self, cx: &mut Context, name: &str) -> T {
        if let Some(value) = self.opt(cx, name) {
            return value;
        }
        match self.key(name).need {
            Need::Default(text) => self.default(name, text),
            Need::Required | Need::Optional => T::fallback(self.span.start),
        }
    }

    fn default<T: FromValue>(&mut self, name: &str, text: &str) -> T {
        let node = Node { span: self.span, value: NodeValue::Scalar { text: text.to_owned(), plain: true } };
        let kind = match &self.key(name).kind {
            Kind::OneOrMore(of) => of,
            kind => kind,
        };
        let Kind::Scalar(kind) = kind else { return T::fallback(self.span.start) };
        let value = scalar::read(*kind, &node).ok().and_then(T::from_value);
        debug_assert!(value.is_some(), "the default of {}.{name} is a value of its type", self.shape.name);
        value.unwrap_or_else(|| T::fallback(self.span.start))
    }

    /// A scalar that may be absent.
    pub(super) fn opt<T: FromValue>(&mut self, cx: &mut Context, name: &str) -> Option<T> {
        let place = self.child(cx, name)?;
        let kind = self.key(name).kind;
        Some(scalar(cx, &place, &kind))
    }

    /// The name of a backend or segment, noted as a reference.
    pub(super) fn opt_reference(&mut self, cx: &mut Context, name: &str, to: Referent) -> Option<Name> {
        let place = self.child(cx, name)?;
        let kind = self.key(name).kind;
        let found: Name = scalar(cx, &place, &kind);
        cx.refer(to, &found, &place.pointer, place.node.span);
        Some(found)
    }

    /// Like [`opt_reference`](Self::opt_reference), of a required key.
    pub(super) fn reference(&mut self, cx: &mut Context, name: &str, to: Referent) -> Name {
        self.opt_reference(cx, name, to).unwrap_or_else(|| Name::fallback(self.span.start))
    }

    /// One of the words that the table lists, or the default.
    pub(super) fn word(&mut self, cx: &mut Context, name: &str) -> &'static str {
        let key = self.key(name);
        let Kind::Word(words) = &key.kind else { return "" };
        let fallback = match key.need {
            Need::Default(word) => word,
            Need::Required | Need::Optional => "",
        };
        let place = self.child(cx, name);
        place.and_then(|place| word(cx, &place, words, (self.shape.name, name))).unwrap_or(fallback)
    }

    /// The items of a list, or of a single value where the table allows one.
    pub(super) fn items(&mut self, cx: &mut Context, name: &str) -> Vec<Place<'n>> {
        let kind = self.key(name).kind;
        let place = self.child(cx, name);
        place.map(|place| items(cx, &place, &kind)).unwrap_or_default()
    }

    /// A list of scalars.
    pub(super) fn list<T: FromValue>(&mut self, cx: &mut Context, name: &str) -> Vec<T> {
        let (Kind::List(of, _) | Kind::OneOrMore(of)) = self.key(name).kind else { return Vec::new() };
        self.items(cx, name).iter().map(|place| scalar(cx, place, of)).collect()
    }

    /// A map that may be absent.
    pub(super) fn object(&mut self, cx: &mut Context, name: &str) -> Option<Object<'n>> {
        let Kind::Object(shape) = self.key(name).kind else { return None };
        let place = self.child(cx, name)?;
        Some(Object::open(cx, &place, shape))
    }

    /// A map that has defaults for everything; blank when it is absent.
    pub(super) fn object_or_default(
        &mut self,
        cx: &mut Context,
        name: &str,
        of: &'static Shape,
    ) -> Object<'n> {
        let pointer = join(&self.pointer, name);
        self.object(cx, name).unwrap_or_else(|| Object::blank(of, &pointer, self.span))
    }

    /// The maps of a list, or a single map where the table allows one.
    pub(super) fn objects(&mut self, cx: &mut Context, name: &str) -> Vec<Object<'n>> {
        let (Kind::List(Kind::Object(shape), _) | Kind::OneOrMore(Kind::Object(shape))) = self.key(name).kind
        else {
            return Vec::new();
        };
        self.items(cx, name).iter().map(|place| Object::open(cx, place, shape)).collect()
    }

    /// The entries of a map from names.
    pub(super) fn entries(&mut self, cx: &mut Context, name: &str) -> Vec<(Name, Place<'n>)> {
        let kind = self.key(name).kind;
        let place = self.child(cx, name);
        place.map(|place| entries(cx, &place, &kind)).unwrap_or_default()
    }

    fn unknown(&self, cx: &mut Context, key: &MapKey) {
        let (shape, written) = (self.shape.name, shorten(&key.text));
        let pointer = join(&self.pointer, &key.text);
        if keys::UNAVAILABLE.contains(&(shape, key.text.as_str())) {
            let message = format!("`{written}` is not available in this version of Weir");
            cx.report(
                Diagnostic::new(Code::NotAvailable, &pointer, message).help("remove the key"),
                key.span,
            );
            return;
        }
        if let Some((_, _, now)) = keys::RENAMED.iter().find(|(of, old, _)| *of == shape && *old == key.text)
        {
            let message = format!("`{written}` is called `{now}` here");
            cx.report(
                Diagnostic::new(Code::RenamedKey, &pointer, message).help(format!("write `{now}`")),
                key.span,
            );
            return;
        }
        let names: Vec<&str> = self.shape.keys.iter().map(|key| key.name).collect();
        let mut message = format!("unknown key `{written}`");
        let near = if cx.sink.is_full() { None } else { suggest::nearest(&key.text, names.iter().copied()) };
        let help =
            match near {
                Some(near) => {
                    message += &format!("; did you mean `{near}`?");
                    None
                }
                None => Some(elsewhere(&key.text).unwrap_or_else(|| {
                    format!("the keys here are {}", listed(&names).replace(" or ", " and "))
                })),
            };
        let mut diagnostic = Diagnostic::new(Code::UnknownKey, &pointer, message);
        diagnostic.help = help;
        cx.report(diagnostic, key.span);
    }

    /// Whether an unknown key of the file was meant as `name`: what it says of itself is enough then.
    pub(super) fn is_meant(&self, name: &str) -> bool {
        let unknown = self.entries.iter().map(|(key, _)| key.text.as_str());
        unknown.filter(|key| self.shape.key(key).is_none()).any(|key| {
            let renamed = keys::RENAMED.contains(&(self.shape.name, key, name));
            let names = || self.shape.keys.iter().map(|key| key.name);
            renamed || suggest::nearest(key, names()) == Some(name)
        })
    }

    fn check_choice(&self, cx: &mut Context) {
        let among = match self.shape.choice {
            Choice::Free => return,
            Choice::Some => {
                if self.entries.is_empty() {
                    let message = format!("an empty {}", self.shape.name.replace('_', " "));
                    let empty = Diagnostic::new(Code::EmptyList, &self.pointer, message);
                    cx.report(
                        empty.help(format!("expected {}", Kind::Object(self.shape).expected())),
                        self.span,
                    );
                }
                return;
            }
            Choice::One(among) | Choice::AtMostOne(among) => among,
        };
        let given: Vec<&MapKey> = self
            .entries
            .iter()
            .map(|(key, _)| key)
            .filter(|key| among.contains(&key.text.as_str()))
            .collect();
        let what = self.shape.name.replace('_', " ");
        match given.as_slice() {
            [] if matches!(self.shape.choice, Choice::One(_)) => {
                let message = format!("the {what} has neither of {}", listed(among).replace(" or ", " and "));
                let pointer = join(&self.pointer, among.first().copied().unwrap_or_default());
                if among.iter().any(|name| self.is_meant(name)) {
                    cx.mark_wrong(&pointer);
                    return;
                }
                cx.report(
                    Diagnostic::new(Code::Choice, &pointer, message).help("add one of them"),
                    self.span,
                );
            }
            [first, second, ..] => {
                let message = format!("the {what} has both `{}` and `{}`", first.text, second.text);
                let pointer = join(&self.pointer, &second.text);
                let both = Diagnostic::new(Code::Choice, &pointer, message).and(first.span, "one here");
                cx.report(both.help("keep one of them"), second.span);
            }
            _ => {}
        }
    }
}

#[cfg(debug_assertions)]
impl Drop for Object<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.asked.len() != self.shape.keys.len() {
            let left = self.shape.keys.iter().map(|key| key.name).find(|name| !self.asked.contains(name));
            debug_assert!(
                false,
                "{}.{} is in the table and never read",
                self.shape.name,
                left.unwrap_or("?")
            );
        }
    }
}

/// "`sticky` is a key of `split`", when the key exists in one or two other maps.
fn elsewhere(key: &str) -> Option<String> {
    let owners: Vec<&str> =
        keys::shapes().iter().filter(|shape| shape.key(key).is_some()).map(|shape| shape.name).collect();
    match owners.as_slice() {
        [] | [_, _, _, ..] => None,
        ["file"] => Some(format!("`{key}` belongs to the top of the file")),
        owners => Some(format!("`{key}` is a key of {}", listed(owners))),
    }
}

// === values ===

/// Complains that `place` is not what `kind` takes.
pub(super) fn wrong_type(cx: &mut Context, place: &Place<'_>, kind: &Kind) {
    let message = format!("expected {}, found {}", kind.expected(), place.node.describe());
    let mut diagnostic = Diagnostic::new(Code::WrongType, &place.pointer, message);
    if place.node.is_nothing() {
        diagnostic = diagnostic.help("remove the key, or give it a value");
    }
    cx.report(diagnostic, place.node.span);
}

/// A scalar of the table's kind.
pub(super) fn scalar<T: FromValue>(cx: &mut Context, place: &Place<'_>, kind: &Kind) -> T {
    let offset = place.node.span.start;
    let Kind::Scalar(kind) = kind else { return T::fallback(offset) };
    match scalar::read(*kind, place.node) {
        Ok(value) => {
            let value = T::from_value(value);
            debug_assert!(value.is_some(), "table and decoder disagree on {}", place.pointer);
            value.unwrap_or_else(|| T::fallback(offset))
        }
        Err(problem) => {
            let mut diagnostic = Diagnostic::new(problem.code, &place.pointer, problem.message);
            diagnostic.help = variable(place.node).or(problem.help);
            cx.report(diagnostic, place.node.span);
            T::fallback(offset)
        }
    }
}

/// What to say of a value that looks as if a variable should stand there.
fn variable(node: &Node) -> Option<String> {
    let NodeValue::Scalar { text, .. } = &node.value else { return None };
    text.contains("${").then(|| VARIABLE.to_owned())
}

/// One of `words`; `owner` is the shape and key, for words that a later version has.
pub(super) fn word(
    cx: &mut Context,
    place: &Place<'_>,
    words: &'static [&'static str],
    (shape, key): (&str, &str),
) -> Option<&'static str> {
    let NodeValue::Scalar { text, plain } = &place.node.value else {
        wrong_type(cx, place, &Kind::Word(words));
        return None;
    };
    if let Some(found) = words.iter().find(|word| *word == text) {
        return Some(found);
    }
    if *plain && classify(text) != Plain::Text {
        wrong_type(cx, place, &Kind::Word(words));
        return None;
    }
    let written = shorten(text);
    let diagnostic = if keys::UNAVAILABLE_WORDS.contains(&(shape, key, text.as_str())) {
        let message = format!("`{key}: {written}` is not available in this version of Weir");
        Diagnostic::new(Code::NotAvailable, &place.pointer, message).help(format!("use {}", listed(words)))
    } else {
        let mut message = format!("`{key}` does not know `{written}`");
        if let Some(near) = suggest::nearest(text, words.iter().copied()) {
            message += &format!("; did you mean `{near}`?");
        }
        let help = variable(place.node).unwrap_or_else(|| format!("it takes {}", listed(words)));
        Diagnostic::new(Code::Word, &place.pointer, message).help(help)
    };
    cx.report(diagnostic, place.node.span);
    None
}

/// The items of a list of `kind`, or of a single value where `kind` allows one.
pub(super) fn items<'n>(cx: &mut Context, place: &Place<'n>, kind: &Kind) -> Vec<Place<'n>> {
    let min = match kind {
        Kind::List(_, min) => *min,
        _ => 1,
    };
    match (&place.node.value, kind) {
        (NodeValue::List(nodes), _) => {
            if nodes.len() < min {
                let empty = Diagnostic::new(Code::EmptyList, &place.pointer, "an empty list");
                cx.report(empty.help(format!("expected {}", kind.expected())), place.node.span);
            }
            let numbered = nodes.iter().enumerate();
            numbered.map(|(index, node)| item(cx, node, &place.pointer, index)).collect()
        }
        (_, Kind::OneOrMore(_)) if !place.node.is_nothing() => vec![item(cx, place.node, &place.pointer, 0)],
        _ => {
            wrong_type(cx, place, kind);
            Vec::new()
        }
    }
}

fn item<'n>(cx: &mut Context, node: &'n Node, pointer: &str, index: usize) -> Place<'n> {
    let pointer = format!("{pointer}/{index}");
    cx.places.note(&pointer, None, node.span);
    Place { node, pointer }
}

/// The entries of a map from names.
pub(super) fn entries<'n>(cx: &mut Context, place: &Place<'n>, kind: &Kind) -> Vec<(Name, Place<'n>)> {
    let NodeValue::Map(entries) = &place.node.value else {
        wrong_type(cx, place, kind);
        return Vec::new();
    };
    if entries.is_empty() {
        let empty = Diagnostic::new(Code::EmptyList, &place.pointer, "an empty map");
        cx.report(empty.help(format!("expected {}", kind.expected())), place.node.span);
    }
    let named = entries.iter().map(|(key, node)| {
        let pointer = join(&place.pointer, &key.text);
        cx.places.note(&pointer, Some(key.span), node.span);
        let name = Name::new(&key.text).unwrap_or_else(|error| {
            cx.report(Diagnostic::new(Code::Name, &pointer, error.to_string()), key.span);
            Name::fallback(key.span.start)
        });
        (name, Place { node, pointer })
    });
    named.collect()
}

impl Node {
    /// Whether nothing is written, or `null`.
    fn is_nothing(&self) -> bool {
        matches!(&self.value, NodeValue::Scalar { text, plain: true } if classify(text) == Plain::Null)
    }
}
