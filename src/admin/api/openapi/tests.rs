//! The description is kept in the repository, and is whole.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::*;

/// The description as it is served, for people and tools that have no server at hand.
const FILE: &str = "config/openapi.json";

fn document() -> Value {
    serde_json::from_slice(&DOCUMENT.text).unwrap()
}

#[test]
fn the_file_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("WEIR_UPDATE").is_some() {
        fs::write(&path, &DOCUMENT.text).unwrap();
    }
    let kept = fs::read(&path).unwrap_or_default();
    assert!(kept == DOCUMENT.text, "{FILE} is stale: run the tests once with WEIR_UPDATE=1");
}

#[test]
fn every_operation_says_what_it_is() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 5), "{at}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{at}");
            assert!(operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&tag)), "{at}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            for parameter in &parameters {
                assert!(parameter["description"].is_string() && parameter["schema"].is_object(), "{at}");
            }
            let of_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(of_path, path.matches('{').count(), "{at}");
            for status in ["200", "400", "403"] {
                assert!(operation["responses"][status].is_object(), "{at} {status}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    visit(&document, &mut used);
    for reference in &used {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(used.contains(&format!("#/components/schemas/{name}")), "{name} is not used");
    }
}

fn visit(value: &Value, used: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(reference) if name == "$ref" => drop(used.insert(reference.to_owned())),
                    _ => visit(member, used),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, used)),
        _ => {}
    }
}

/// `routes!` ties a route to its description; `route`, `nest` and the like would not.
#[test]
fn no_route_goes_past_the_description() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin");
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("openapi/tests.rs") {
                let text: String = fs::read_to_string(&path).unwrap().split_whitespace().collect();
                for past in [".route(\"", ".route_service(", ".nest(", ".nest_service(", ".fallback_service("]
                {
                    assert!(!text.contains(past), "{}: `{past}` has no description", path.display());
                }
            }
        }
    }
}
