//! What differs between two control files in canonical form, where every default is written out: a key that is spelled differently but says
//! the same is no difference. Lists whose items have names (routes, listeners, the backends of a split) are compared by name, so that a new
//! route in the middle is one difference.

use serde_json::Value;

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it is about, e.g. `route shop` or `listener web`.
    pub item: String,
    /// What became of it.
    pub kind: ChangeKind,
    /// Where in the item; empty when the whole item is added or removed.
    pub path: String,
    /// What the first says; null where it says nothing.
    pub from: Value,
    /// What the second says; null where it says nothing.
    pub to: Value,
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Both have it, and say something else.
    Changed,
}

/// What `wanted` says that `running` does not, and the other way round.
#[must_use]
pub fn compare(running: &Value, wanted: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    for (key, noun) in [
        ("listeners", "listener"),
        ("backends", "backend"),
        ("segments", "segment"),
        ("jwt", "jwt"),
        ("routes", "route"),
    ] {
        let (old, new) = (items(&running[key]), items(&wanted[key]));
        changes.extend(pairs(&old, &new).into_iter().flat_map(|(name, old, new)| {
            let item = format!("{noun} {name}");
            differences(&item, "", old, new)
        }));
    }
    let rest = |value: &Value| -> Vec<(String, Value)> {
        let known = ["listeners", "backends", "segments", "jwt", "routes"];
        let entries = value.as_object().into_iter().flatten();
        entries
            .filter(|(key, _)| !known.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let (old, new) = (rest(running), rest(wanted));
    for (key, old, new) in pairs(&old, &new) {
        changes.extend(differences("settings", &key, old, new));
    }
    changes
}

/// The items of a list by their names, or the entries of an object.
fn items(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        Value::Array(list) => {
            let name = |(at, item): (usize, &Value)| match item["name"].as_str() {
                Some(name) => name.to_owned(),
                None => at.to_string(),
            };
            list.iter().enumerate().map(|item| (name(item), item.1.clone())).collect()
        }
        _ => Vec::new(),
    }
}

type Pair<'a> = (String, Option<&'a Value>, Option<&'a Value>);

/// What has the same name on both sides; what is gone first stands where it stood.
fn pairs<'a>(old: &'a [(String, Value)], new: &'a [(String, Value)]) -> Vec<Pair<'a>> {
    let find = |list: &'a [(String, Value)], name: &str| {
        list.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    };
    let kept = old.iter().map(|(name, value)| (name.clone(), Some(value), find(new, name)));
    let added = new.iter().filter(|(name, _)| find(old, name).is_none());
    kept.chain(added.map(|(name, value)| (name.clone(), None, Some(value)))).collect()
}

/// The differences of two values, each where it is.
fn differences(item: &str, path: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<Change> {
    let kind = match (old, new) {
        (Some(old), Some(new)) if old == new => return Vec::new(),
        (Some(old), Some(new)) if descends(old, new) => {
            let (old, new) = (items(old), items(new));
            let step = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let inner = pairs(&old, &new).into_iter();
            return inner.flat_map(|(name, old, new)| differences(item, &step(&name), old, new)).collect();
        }
        (Some(_), Some(_)) => ChangeKind::Changed,
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
    };
    let value = |value: Option<&Value>| value.cloned().unwrap_or_default();
    vec![Change { item: item.to_owned(), kind, path: path.to_owned(), from: value(old), to: value(new) }]
}

/// Whether two values are compared part by part: objects, and lists whose items all have names.
fn descends(old: &Value, new: &Value) -> bool {
    let named = |value: &Value| {
        value
            .as_array()
            .is_some_and(|list| !list.is_empty() && list.iter().all(|item| item["name"].is_string()))
    };
    (old.is_object() && new.is_object()) || (named(old) && named(new))
}
