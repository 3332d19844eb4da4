//! What a verified token says of its user.
//!
//! Only whoever has verified a token makes [`Claims`]; splitting never sees the token itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The claims of a verified token, by name. Texts, numbers and booleans count as their text; a list counts as each of those
/// in it; anything deeper is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims(BTreeMap<Box<str>, Claim>);

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A text, a number or a boolean.
    One(Box<str>),
    /// Those in a list, in order.
    Several(Box<[Box<str>]>),
}

// === impl Claims ===

impl Claims {
    /// The claims in a token's payload (RFC 7519, section 4).
    #[must_use]
    pub fn new(payload: Map<String, Value>) -> Self {
        let claims = payload.into_iter().filter_map(|(name, value)| {
            let claim = match value {
                Value::Array(items) => Claim::Several(items.into_iter().filter_map(text).collect()),
                single => Claim::One(text(single)?),
            };
            Some((name.into_boxed_str(), claim))
        });
        Self(claims.collect())
    }

    /// The claim of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Claim> {
        self.0.get(name)
    }

    /// The claim's only text, for an identity; `None` for a list, and where it is missing or empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Claim::One(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// All texts of the claim, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = match self.0.get(name) {
            Some(Claim::One(text)) => std::slice::from_ref(text),
            Some(Claim::Several(texts)) => texts,
            None => &[],
        };
        values.iter().map(|text| &**text)
    }
}

fn text(value: Value) -> Option<Box<str>> {
    match value {
        Value::String(text) => Some(text.into_boxed_str()),
        Value::Number(number) => Some(number.to_string().into_boxed_str()),
        Value::Bool(value) => Some(value.to_string().into_boxed_str()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_and_lists_are_texts() {
        let Value::Object(payload) = json!({
            "sub": "anna", "age": 41, "staff": true, "groups": ["beta", 7, null, {"a": 1}], "empty": "",
            "nothing": null, "deep": {"a": "b"},
        }) else {
            panic!("a map in braces is an object")
        };
        let claims = Claims::new(payload);
        for (name, only, all) in [
            ("sub", Some("anna"), vec!["anna"]),
            ("age", Some("41"), vec!["41"]),
            ("staff", Some("true"), vec!["true"]),
            ("groups", None, vec!["beta", "7"]),
            ("empty", None, vec![""]),
            ("nothing", None, vec![]),
            ("deep", None, vec![]),
            ("absent", None, vec![]),
        ] {
            assert_eq!(claims.text(name), only, "{name}");
            assert_eq!(claims.values(name).collect::<Vec<_>>(), all, "{name}");
        }
    }
}
