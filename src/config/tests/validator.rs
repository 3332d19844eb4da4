//! As much of JSON Schema as ours uses, to hold decoder and schema against each other.

use serde_json::{Map, Value, json};

use crate::config::yaml::{Node, Plain, Value as NodeValue, classify};

/// A tree as JSON, scalars by YAML's core schema.
pub(super) fn json(node: &Node) -> Value {
    match &node.value {
        NodeValue::Scalar { text, plain } => match if *plain { classify(text) } else { Plain::Text } {
            Plain::Null => Value::Null,
            Plain::Bool(value) => json!(value),
            Plain::Integer | Plain::Float => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            Plain::Text => json!(text),
        },
        NodeValue::List(items) => Value::Array(items.iter().map(json).collect()),
        NodeValue::Map(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.text.clone(), json(value))).collect())
        }
    }
}

/// Why `value` does not fit `schema`; empty when it does.
pub(super) fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "", &mut found);
    found
}

fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut found = Vec::new();
    check(root, schema, value, "", &mut found);
    found.is_empty()
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        let forms = || rule.as_array().unwrap().iter().filter(|form| fits(root, form, value)).count();
        let ok = match keyword.as_str() {
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                check(root, &root["$defs"][name], value, at, found);
                true
            }
            "type" => is_type(rule.as_str().unwrap(), value),
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "pattern" => value
                .as_str()
                .is_none_or(|text| regex::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
            "maxLength" => {
                value.as_str().is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().unwrap())
            }
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "minProperties" => value.as_object().is_none_or(|map| map.len() as u64 >= rule.as_u64().unwrap()),
            "required" => {
                let needed = rule.as_array().unwrap().iter().map(|key| key.as_str().unwrap());
                value.as_object().is_none_or(|map| needed.clone().all(|key| map.contains_key(key)))
            }
            "anyOf" => forms() >= 1,
            "oneOf" => forms() == 1,
            "not" => !fits(root, rule, value),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{at}/{index}"), found);
                }
                true
            }
            "properties" | "additionalProperties" | "propertyNames" => true,
            "$schema" | "$defs" | "title" | "description" | "default" | "examples" => true,
            unknown => panic!("the schema has `{unknown}`, which this validator does not know"),
        };
        if !ok {
            found.push(format!("{at}: {keyword}"));
        }
    }
    if let Some(map) = value.as_object() {
        properties(root, schema, map, at, found);
    }
}

fn properties(root: &Value, schema: &Value, map: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
    for (key, value) in map {
        let at = format!("{at}/{key}");
        if let Some(names) = schema.get("propertyNames") {
            check(root, names, &json!(key), &at, found);
        }
        match (schema.get("properties").and_then(|of| of.get(key)), schema.get("additionalProperties")) {
            (Some(rule), _) => check(root, rule, value, &at, found),
            (None, Some(Value::Bool(false))) => found.push(format!("{at}: unknown key")),
            (None, Some(rule)) => check(root, rule, value, &at, found),
            (None, None) => {}
        }
    }
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        other => panic!("the schema has type {other}"),
    }
}
