//! The JSON schema (draft 2020-12) of the file format, written from the key tables.

use serde_json::{Map, Value, json};

use super::keys::{Choice, Key, Kind, Need, ROOT, Scalar, Shape, shapes};

/// The JSON schema of a control file: every key, shorthand, default and example. What a schema cannot say (names that
/// exist, weights that are not all zero) only reading the file says.
#[must_use]
pub fn schema() -> Value {
    let mut root = object(&ROOT);
    let defs: Map<String, Value> =
        shapes().into_iter().skip(1).map(|shape| (shape.name.to_owned(), object(shape))).collect();
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Weir control file");
    root["$defs"] = Value::Object(defs);
    root
}

fn object(shape: &Shape) -> Value {
    let properties: Map<String, Value> =
        shape.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let mut out = json!({
        "type": "object",
        "description": shape.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    let required: Vec<&str> =
        shape.keys.iter().filter(|key| key.need == Need::Required).map(|key| key.name).collect();
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    let each = |keys: &[&str]| keys.iter().map(|key| json!({"required": [key]})).collect::<Vec<_>>();
    match shape.choice {
        Choice::Free => {}
        Choice::Some => out["minProperties"] = json!(1),
        Choice::One(keys) => out["oneOf"] = Value::Array(each(keys)),
        Choice::AtMostOne(keys) => {
            let mut forms = each(keys);
            forms.push(json!({"not": {"anyOf": each(keys)}}));
            out["oneOf"] = Value::Array(forms);
        }
    }
    out
}

fn property(key: &Key) -> Value {
    let mut out = kind(&key.kind);
    out["description"] = json!(key.doc);
    if let Need::Default(text) = key.need {
        out["default"] = default(&key.kind, text);
    }
    out
}

fn default(kind: &Kind, text: &str) -> Value {
    match kind {
        Kind::List(of, _) => {
            let items = text.trim_matches(['[', ']']).split(", ");
            Value::Array(items.map(|item| default(of, item)).collect())
        }
        Kind::OneOrMore(of) => default(of, text),
        Kind::Scalar(Scalar::Bool | Scalar::Integer { .. } | Scalar::Weight) => {
            serde_json::from_str(text).unwrap_or_else(|_| json!(text))
        }
        _ => json!(text),
    }
}

fn kind(of: &Kind) -> Value {
    match of {
        Kind::Scalar(of) => scalar(*of),
        Kind::Word(words) => json!({"enum": words}),
        Kind::Object(shape) => json!({"$ref": format!("#/$defs/{}", shape.name)}),
        Kind::List(of, min) => {
            let mut out = json!({"type": "array", "items": kind(of)});
            if *min > 0 {
                out["minItems"] = json!(min);
            }
            out
        }
        Kind::OneOrMore(of) => {
            json!({"anyOf": [kind(of), {"type": "array", "items": kind(of), "minItems": 1}]})
        }
        Kind::Map(of) => json!({
            "type": "object",
            "additionalProperties": kind(of),
            "propertyNames": {"pattern": Scalar::Name.pattern()},
            "minProperties": 1,
        }),
        Kind::Either(forms) => json!({"anyOf": forms.iter().map(kind).collect::<Vec<_>>()}),
    }
}

fn scalar(of: Scalar) -> Value {
    let example = of.words().1;
    match of {
        Scalar::Bool => json!({"type": "boolean"}),
        Scalar::True => json!({"const": true}),
        Scalar::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Scalar::Weight => {
            json!({"type": "number", "minimum": 0, "maximum": 1_000_000, "examples": [95, 0.5]})
        }
        Scalar::Quantile => json!({"type": "number", "minimum": 0, "maximum": 1, "examples": [0.99, 0.5]}),
        Scalar::Share => json!({"anyOf": [
            {"type": "number", "minimum": 0, "maximum": 100, "examples": [5, 0.5]},
            {"type": "string", "pattern": of.pattern(), "examples": ["5%"]},
        ]}),
        Scalar::Multiple => json!({"anyOf": [
            {"type": "number", "minimum": 1, "maximum": 1000, "examples": [1.5, 2]},
            {"type": "string", "pattern": of.pattern(), "examples": ["1.5x"]},
        ]}),
        Scalar::Limit => json!({"anyOf": [
            {"type": "number", "examples": [3]},
            {"type": "string", "pattern": of.pattern(), "examples": [example, "500ms", "10/s"]},
        ]}),
        Scalar::Size { min, max } => json!({"anyOf": [
            {"type": "string", "pattern": of.pattern(), "examples": [example]},
            {"type": "integer", "minimum": min, "maximum": max},
        ]}),
        Scalar::Status => json!({"anyOf": [
            {"type": "string", "pattern": of.pattern(), "examples": [example]},
            {"type": "integer", "minimum": 100, "maximum": 599},
        ]}),
        _ => json!({"type": "string", "pattern": of.pattern(), "maxLength": 4096, "examples": [example]}),
    }
}
