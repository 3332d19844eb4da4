//! What differs between two states: the control files, and what was in force.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::state;
use crate::{config::Config, types::Overlay};

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Where: `file` or `in_force`, then the keys on the way, with `/` between them. Items of a list that have a name go by it.
    pub path: String,
    /// What is there in the first; nothing when it is only in the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What is there in the second; nothing when it is only in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// A state as a document: the control file with every default, and for each route what is in force.
#[must_use]
pub fn document(config: &Config, overlay: &Overlay) -> Value {
    let (effective, _) = state::resolve(config, overlay);
    let routes = config.routes.iter().map(|route| {
        let overrides = effective.routes.get(&route.name);
        let weights = state::weights(route, overrides).into_iter();
        let weights: Map<String, Value> = weights.map(|(name, w)| (name.to_string(), json!(w))).collect();
        let mut said = json!({ "weights": weights });
        if let Some(to) = overrides.and_then(|overlay| overlay.kill_switch.as_ref()) {
            said["kill_switch"] = json!(to);
        }
        if let Some(overlay) = overrides.filter(|overlay| !overlay.overrides.is_empty()) {
            said["overrides"] = json!(overlay.overrides);
        }
        if let Some(stage) = overrides.and_then(|overlay| overlay.stage.as_ref()) {
            said["stage"] = json!(stage);
        }
        (route.name.to_string(), said)
    });
    let routes: Map<String, Value> = routes.collect();
    let drains: Map<String, Value> =
        effective.drains.iter().map(|name| (name.to_string(), json!("drain"))).collect();
    json!({ "file": config.to_json(), "in_force": { "routes": routes, "drains": drains } })
}

/// Everything that differs between two documents, in the order of the first.
#[must_use]
pub fn differences(from: &Value, to: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", (Some(from), Some(to)), &mut found);
    found
}

fn compare(path: &str, (from, to): (Option<&Value>, Option<&Value>), found: &mut Vec<Difference>) {
    if from == to {
        return;
    }
    match (from.and_then(members), to.and_then(members)) {
        (Some(before), Some(after)) => {
            let only_after = after.iter().filter(|(key, _)| !before.iter().any(|(old, _)| old == key));
            for (key, _) in before.iter().chain(only_after) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}/{key}") };
                compare(&path, (member(&before, key), member(&after, key)), found);
            }
        }
        _ => found.push(Difference { path: path.to_owned(), from: from.cloned(), to: to.cloned() }),
    }
}

fn member<'v>(members: &[(String, &'v Value)], key: &str) -> Option<&'v Value> {
    members.iter().find(|(known, _)| known == key).map(|(_, value)| *value)
}

/// The members of an object, or the items of a list whose items all have names of their own.
fn members(value: &Value) -> Option<Vec<(String, &Value)>> {
    match value {
        Value::Object(members) => Some(members.iter().map(|(key, value)| (key.clone(), value)).collect()),
        Value::Array(items) if !items.is_empty() => {
            let name = |item: &Value| Some(item.get("name").or(item.get("backend"))?.as_str()?.to_owned());
            let named: Option<Vec<(String, &Value)>> =
                items.iter().map(|item| Some((name(item)?, item))).collect();
            let named = named?;
            let mut names: Vec<&String> = named.iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            names.dedup();
            (names.len() == named.len()).then_some(named)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::fixtures::{config, name},
        types::{RouteOverlay, Weight},
    };

    #[test]
    fn differences_name_their_places() {
        let before = config(&[("shop", &[("stable", 95), ("canary", 5)]), ("old", &[("stable", 1)])]);
        let after = config(&[("shop", &[("stable", 90), ("canary", 5)])]);
        let mut overlay = Overlay::default();
        let weights = [(name("canary"), Weight::of(20))].into();
        let kill_switch = Some(name("stable"));
        let shop = RouteOverlay { weights, kill_switch, ..RouteOverlay::default() };
        overlay.routes.insert(name("shop"), shop);
        let found = differences(&document(&before, &Overlay::default()), &document(&after, &overlay));
        let lines: Vec<String> = found
            .iter()
            .map(|one| {
                let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
                let to = text(&one.to);
                let from = text(&one.from);
                format!("{} {} {}", one.path, &from[..from.len().min(12)], to)
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn equal_documents_do_not_differ_and_lists_without_names_are_compared_whole() {
        let value = json!({ "a": [1, 2], "b": { "c": 1 } });
        assert_eq!(differences(&value, &value), []);
        let other = json!({ "a": [1, 3], "b": { "c": 1 } });
        let expected =
            Difference { path: "a".to_owned(), from: Some(json!([1, 2])), to: Some(json!([1, 3])) };
        assert_eq!(differences(&value, &other), [expected]);
    }
}
