//! The files that are kept in the repository: examples, schema and reference.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use super::{
    super::{
        Code, MAX_DIAGNOSTICS,
        keys::{Choice, Kind, Need, RENAMED, Shape, UNAVAILABLE, UNAVAILABLE_WORDS, shapes},
        load, rollout_presets, schema, yaml,
    },
    validator::violations,
};
use crate::config::{diagnostic::Sink, model::rollout::Step, parse_bytes, source::Source};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// Compares a generated file with the one in the repository; `WEIR_UPDATE=1` writes it.
fn fresh(path: &str, generated: &str) {
    if std::env::var_os("WEIR_UPDATE").is_some() {
        fs::write(Path::new(ROOT).join(path), generated).unwrap();
    }
    assert!(text(path) == generated, "{path} is stale: run the tests once with WEIR_UPDATE=1");
}

#[test]
fn examples_are_right_and_raise_no_warning() {
    for name in ["config/minimal.yaml", "config/full.yaml"] {
        let loaded = load(Path::new(ROOT).join(name)).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        let again = super::config(&loaded.config.to_yaml());
        assert_eq!(again, loaded.config, "{name} survives the canonical form");
    }
}

#[test]
fn the_full_example_has_every_key() {
    let source = Source::new("full.yaml", &text("config/full.yaml"));
    let root = yaml::read(&source, &mut Sink::default()).unwrap();
    let mut seen = BTreeSet::new();
    keys_of(&root, &Kind::Object(shapes()[0]), &mut seen);
    for shape in shapes() {
        for key in shape.keys {
            assert!(seen.contains(&(shape.name, key.name)) || twin(shape), "{}.{}", shape.name, key.name);
        }
    }
}

/// Header, cookie, query and claim matches have the same keys; one of them shows each.
fn twin(shape: &Shape) -> bool {
    matches!(shape.name, "header_match" | "cookie_match" | "query_match" | "claim_match")
}

fn keys_of(node: &yaml::Node, kind: &Kind, seen: &mut BTreeSet<(&'static str, &'static str)>) {
    match (&node.value, kind) {
        (yaml::Value::Map(entries), Kind::Object(shape)) => {
            for (name, value) in entries {
                let key = shape.key(&name.text).unwrap();
                seen.insert((shape.name, key.name));
                keys_of(value, &key.kind, seen);
            }
        }
        (yaml::Value::List(items), Kind::List(of, _) | Kind::OneOrMore(of)) => {
            items.iter().for_each(|item| keys_of(item, of, seen));
        }
        (_, Kind::OneOrMore(of)) => keys_of(node, of, seen),
        (yaml::Value::Map(entries), Kind::Map(of)) => {
            entries.iter().for_each(|(_, value)| keys_of(value, of, seen));
        }
        (_, Kind::Either(forms)) => {
            let fitting = |form: &&Kind| {
                matches!(
                    (&node.value, form),
                    (yaml::Value::Scalar { .. }, Kind::Scalar(_) | Kind::Word(_))
                        | (yaml::Value::Map(_), Kind::Object(_) | Kind::Map(_) | Kind::OneOrMore(_))
                        | (yaml::Value::List(_), Kind::List(..) | Kind::OneOrMore(_))
                )
            };
            if let Some(form) = forms.iter().find(fitting) {
                keys_of(node, form, seen);
            }
        }
        _ => {}
    }
}

#[test]
fn the_schema_is_fresh_and_takes_the_examples() {
    let generated = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    fresh("config/weir.schema.json", &generated);
    for name in ["config/minimal.yaml", "config/full.yaml"] {
        let source = Source::new(name, &text(name));
        let root = yaml::read(&source, &mut Sink::default()).unwrap();
        assert_eq!(violations(&schema(), &super::validator::json(&root)), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_tables_agree_with_each_other() {
    let all = shapes();
    let key = |shape: &str, key: &str| all.iter().find(|s| s.name == shape).unwrap().key(key);
    for (shape, name) in UNAVAILABLE {
        assert!(key(shape, name).is_none(), "{shape}.{name} exists and is said not to");
    }
    for (shape, old, new) in RENAMED {
        assert!(key(shape, old).is_none() && key(shape, new).is_some(), "{shape}.{old} -> {new}");
    }
    for (shape, name, word) in UNAVAILABLE_WORDS {
        let words = match key(shape, name).unwrap().kind {
            Kind::List(Kind::Word(words), _) => *words,
            Kind::Word(words) => words,
            _ => panic!("{shape}.{name} takes no words"),
        };
        assert!(!words.contains(word), "{shape}.{name}: {word}");
    }
    for shape in &all {
        let names: BTreeSet<_> = shape.keys.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), shape.keys.len(), "{} has a key twice", shape.name);
        if let Choice::One(keys) | Choice::AtMostOne(keys) = shape.choice {
            for name in keys {
                assert_eq!(
                    shape.key(name).map(|key| key.need),
                    Some(Need::Optional),
                    "{}.{name}",
                    shape.name
                );
            }
        }
    }
}

#[test]
fn the_reference_is_fresh() {
    let written = text("docs/configuration.md");
    let mut generated = written.clone();
    for (name, table) in [("keys", key_tables()), ("codes", code_table()), ("later", later_table())] {
        let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
        let start = generated.find(&open).unwrap() + open.len();
        let end = generated.find(&close).unwrap();
        generated.replace_range(start..end, &format!("\n{table}\n"));
    }
    fresh("docs/configuration.md", &generated);
}

/// The presets as a table: share or audience, and how long.
#[test]
fn the_presets_of_the_reference_are_fresh() {
    let written = text("docs/rollouts.md");
    let rows = rollout_presets::NAMES.iter().map(|name| {
        let steps = rollout_presets::preset(name).unwrap().steps;
        format!("| `{name}` | {} |\n", steps.iter().map(step).collect::<Vec<_>>().join(", then "))
    });
    let table = format!("| preset | steps |\n|---|---|\n{}", rows.collect::<String>());
    let (open, close) = ("<!-- presets -->\n", "<!-- /presets -->");
    let (start, end) = (written.find(open).unwrap() + open.len(), written.find(close).unwrap());
    let mut generated = written.clone();
    generated.replace_range(start..end, &format!("\n{table}\n"));
    fresh("docs/rollouts.md", &generated);
}

fn step(step: &Step) -> String {
    let time = |time: Duration| format!("{}m", time.as_secs() / 60);
    let mut words = vec![step.weight.unwrap().to_string()];
    words.extend(step.mirror.map(|share| format!("with copies of {share}")));
    words.extend((!step.hold.is_zero()).then(|| format!("for {}", time(step.hold))));
    words.extend((!step.bake.is_zero()).then(|| format!("baking for {}", time(step.bake))));
    words.extend(step.approval.as_ref().map(|_| "until a person agrees".to_owned()));
    words.join(" ")
}

/// Every example of docs/rollouts.md is read as it stands, and raises no warning.
#[test]
fn the_examples_of_the_reference_are_right() {
    let written = text("docs/rollouts.md");
    let blocks: Vec<&str> =
        written.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let notifications = blocks.iter().find(|block| block.starts_with("notifications:")).unwrap();
    let plans: Vec<&&str> = blocks.iter().filter(|block| block.starts_with("rollout:")).collect();
    assert!(plans.len() >= 5, "{}", plans.len());
    for plan in plans {
        let indented: String = plan.lines().map(|line| format!("    {line}\n")).collect();
        let file = format!(
            "{}{notifications}segments: {{ internal: {{ client_ip: 10.0.0.0/8 }}, beta: {{ fraction: 5% }} }}\nroutes:\n  - name: shop\n    \
             split: {{ backends: {{ stable: 100, canary: 0 }} }}\n{indented}",
            super::HEAD
        );
        let loaded = super::good(&file);
        let odd: Vec<_> = loaded.warnings.iter().filter(|warning| !unused(warning.code)).collect();
        assert!(odd.is_empty(), "{odd:?}");
        assert!(loaded.config.routes[0].rollout.is_some());
    }
}

/// Examples do not use all that stands around them.
fn unused(code: Code) -> bool {
    matches!(code, Code::UnusedSegment | Code::UnusedNotification)
}

fn key_tables() -> String {
    let mut out = String::new();
    for shape in shapes() {
        let choice = match shape.choice {
            Choice::Free => String::new(),
            Choice::Some => " At least one key.".to_owned(),
            Choice::One(keys) => format!(" Exactly one of `{}`.", keys.join("`, `")),
            Choice::AtMostOne(keys) => format!(" At most one of `{}`.", keys.join("`, `")),
        };
        out += &format!("### {}\n\n{}{choice}\n\n", shape.name, shape.doc);
        out += "| key | takes | default | meaning |\n|---|---|---|---|\n";
        for key in shape.keys {
            let need = match key.need {
                Need::Required => "required".to_owned(),
                Need::Optional => String::new(),
                Need::Default(text) => format!("`{text}`"),
            };
            out += &format!("| `{}` | {} | {need} | {} |\n", key.name, takes(&key.kind), key.doc);
        }
        out += "\n";
    }
    out.trim_end().to_owned() + "\n"
}

fn takes(kind: &Kind) -> String {
    match kind {
        Kind::Scalar(scalar) => scalar.words().0.to_owned(),
        Kind::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Object(shape) => format!("[{0}](#{0})", shape.name),
        Kind::List(of, _) => format!("list of {}", takes(of)),
        Kind::OneOrMore(of) => format!("{}, or a list", takes(of)),
        Kind::Map(of) => format!("map from name to {}", takes(of)),
        Kind::Either(forms) => forms.iter().map(takes).collect::<Vec<_>>().join("; or "),
    }
}

fn code_table() -> String {
    let rows = Code::ALL.iter().map(|code| format!("| {} | {} |\n", code.as_str(), code.meaning()));
    format!("| code | meaning |\n|---|---|\n{}", rows.collect::<String>())
}

fn later_table() -> String {
    let keys = UNAVAILABLE.iter().map(|(shape, key)| format!("`{shape}.{key}`"));
    let words = UNAVAILABLE_WORDS.iter().map(|(shape, key, word)| format!("`{shape}.{key}: {word}`"));
    keys.chain(words).collect::<Vec<_>>().join(", ") + ".\n"
}

#[test]
fn codes_are_unique_and_in_order() {
    let texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let mut sorted = texts.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(texts, sorted);
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = load(folder.path().join("none.yaml")).unwrap_err();
    assert_eq!(missing.iter().next().unwrap().code, Code::Unreadable);
    let path = folder.path().join("large.yaml");
    fs::write(&path, vec![b'#'; (4 << 20) + 1]).unwrap();
    assert_eq!(load(&path).unwrap_err().iter().next().unwrap().code, Code::FileTooLarge);
    let latin = parse_bytes(b"# caf\xe9\n", "weir.yaml").unwrap_err();
    insta::assert_snapshot!(latin.to_string(), @"weir.yaml:1:6: error[E0003]: the file is not UTF-8: byte 0xe9 (save the file as UTF-8)");
}

#[test]
fn only_so_many_errors_are_kept() {
    let text: String = (0..250).map(|n| format!("frob{n}: 1\n")).collect();
    let errors = super::bad(&text);
    assert_eq!(errors.iter().count(), MAX_DIAGNOSTICS);
    // 250 unknown keys and three that are missing.
    assert_eq!(errors.len(), 253);
    assert!(errors.to_string().ends_with("and 153 more"));
}
