//! A value with its keys in order, as JSON and as YAML.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::Value as Json;

use crate::config::yaml::{Plain, classify};

/// A value of the file with its keys in order.
#[derive(Debug, Clone)]
pub(super) enum Out {
    Scalar(Json),
    List(Vec<Out>),
    Map(Vec<(String, Out)>),
}

impl Serialize for Out {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scalar(value) => value.serialize(serializer),
            Self::List(items) => items.serialize(serializer),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Out {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// Reads whatever comes.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Out;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Out, E> {
        Ok(Out::Scalar(Json::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Out, E> {
        Ok(Out::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Out, E> {
        Ok(Out::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Out, E> {
        Ok(Out::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Out, E> {
        Ok(Out::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Out, E> {
        Ok(Out::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Out, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Out::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Out, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            all.push(entry);
        }
        Ok(Out::Map(all))
    }
}

/// JSON text as YAML, its keys in their order.
///
/// # Errors
/// When it is not JSON.
pub fn json_to_yaml(json: &str) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    yaml(&serde_json::from_str(json)?, 0, &mut text);
    Ok(text)
}

pub(super) fn json(out: &Out) -> Json {
    match out {
        Out::Scalar(value) => value.clone(),
        Out::List(items) => Json::Array(items.iter().map(json).collect()),
        Out::Map(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.clone(), json(value))).collect())
        }
    }
}

// === YAML ===

pub(super) fn yaml(out: &Out, indent: usize, text: &mut String) {
    match out {
        Out::Scalar(value) => text.push_str(&yaml_scalar(value)),
        Out::List(items) if items.is_empty() => text.push_str("[]"),
        Out::Map(entries) if entries.is_empty() => text.push_str("{}"),
        Out::List(items) => {
            for (index, item) in items.iter().enumerate() {
                pad(text, indent, index > 0);
                text.push_str("- ");
                yaml(item, indent + 2, text);
            }
        }
        Out::Map(entries) => {
            for (index, (key, value)) in entries.iter().enumerate() {
                pad(text, indent, index > 0);
                text.push_str(&yaml_scalar(&Json::String(key.clone())));
                text.push(':');
                match value {
                    Out::Map(inner) if !inner.is_empty() => nested(value, indent, text),
                    Out::List(inner) if !inner.is_empty() => nested(value, indent, text),
                    _ => {
                        text.push(' ');
                        yaml(value, indent + 2, text);
                    }
                }
            }
        }
    }
    if indent == 0 && !text.ends_with('\n') {
        text.push('\n');
    }
}

fn nested(value: &Out, indent: usize, text: &mut String) {
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', indent + 2));
    yaml(value, indent + 2, text);
}

fn pad(text: &mut String, indent: usize, newline: bool) {
    if newline {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', indent));
    }
}

/// Texts that readers of YAML 1.1 take for booleans.
const OLD_BOOLEANS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];

/// Plain where nobody can take it for anything but a text, else in double quotes, whose escapes JSON shares.
fn yaml_scalar(value: &Json) -> String {
    match value {
        Json::String(text) => {
            let harmless = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./%-".contains(&b))
                && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
                && classify(text) == Plain::Text
                && !OLD_BOOLEANS.iter().any(|word| text.eq_ignore_ascii_case(word));
            if harmless { text.clone() } else { value.to_string() }
        }
        other => other.to_string(),
    }
}
