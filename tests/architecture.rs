//! Holds the rules that no compiler checks: who may import whom, how long a file may be, what every file begins with.
//!
//! The table is the one of docs/architecture.md. A row names only rows above it, which is what keeps imports acyclic.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// A module and what it may import, beside itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("http", &["types"]),
    ("net", &["types"]),
    ("config", &["types", "http"]),
    ("telemetry", &["types", "http"]),
    ("analysis", &["types", "http", "telemetry"]),
    ("routing", &["types", "http"]),
    ("split", &["types", "http", "routing"]),
    ("upstream", &["types", "http", "net", "telemetry"]),
    ("policy", &["types", "http", "net", "telemetry", "routing", "split"]),
    ("experiment", &["types", "http", "split", "analysis"]),
    (
        "snapshot",
        &[
            "types",
            "http",
            "net",
            "config",
            "telemetry",
            "routing",
            "split",
            "upstream",
            "policy",
            "experiment",
        ],
    ),
    (
        "proxy",
        &[
            "types",
            "http",
            "net",
            "telemetry",
            "routing",
            "split",
            "upstream",
            "policy",
            "experiment",
            "snapshot",
        ],
    ),
    ("control", &["types", "http", "config", "telemetry", "upstream", "snapshot"]),
    // `net` for the TLS with which hooks, gates and sinks are called.
    ("rollout", &["types", "http", "net", "config", "telemetry", "analysis", "control"]),
    ("admin", &ADMIN),
    ("server", &SERVER),
    ("demo", &["types", "http", "config", "telemetry", "split", "server", "admin"]),
    ("cli", &["types", "http", "net", "config", "snapshot", "server", "admin", "demo"]),
];

const ADMIN: [&str; 14] = [
    "types",
    "http",
    "net",
    "config",
    "telemetry",
    "analysis",
    "routing",
    "split",
    "upstream",
    "policy",
    "experiment",
    "snapshot",
    "control",
    "rollout",
];

const SERVER: [&str; 16] = [
    "types",
    "http",
    "net",
    "config",
    "telemetry",
    "analysis",
    "routing",
    "split",
    "upstream",
    "policy",
    "experiment",
    "snapshot",
    "proxy",
    "control",
    "rollout",
    "admin",
];

/// Lines that a file may have; tests are exempt.
const MAX_LINES: usize = 500;

/// What no file may mention: paths of somebody's machine.
const FORBIDDEN: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// What is not ours to check.
const SKIPPED: [&str; 5] = [".git", ".tools", "target", "proptest-regressions", "node_modules"];

#[test]
fn a_row_names_only_rows_above_it() {
    for (at, (module, may)) in LAYERS.iter().enumerate() {
        for imported in *may {
            let above = LAYERS[..at].iter().any(|(name, _)| name == imported);
            assert!(above, "the row of `{module}` names `{imported}`, which is not above it");
        }
    }
}

#[test]
fn modules_import_only_what_their_row_allows() {
    let mut breaches = String::new();
    for file in rust_files("src").into_iter().filter(|file| !is_test(file)) {
        let Some(module) = module_of(&file) else { continue };
        let Some((_, may)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            writeln!(breaches, "  {}: `{module}` has no row in the table", file.display()).unwrap();
            continue;
        };
        for (line, imported) in imports(&read(&file)) {
            if imported != module && !may.contains(&imported.as_str()) {
                let allowed = if may.is_empty() { "nothing".to_owned() } else { may.join(", ") };
                writeln!(
                    breaches,
                    "  {}:{line}: `{module}` imports `{imported}`; it may import {allowed}",
                    file.display()
                )
                .unwrap();
            }
        }
    }
    assert!(breaches.is_empty(), "imports against docs/architecture.md:\n{breaches}");
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut breaches = String::new();
    for folder in ["src", "tests", "benches"] {
        for file in rust_files(folder) {
            let text = read(&file);
            if !text.starts_with("//!") {
                writeln!(breaches, "  {}: does not begin with `//!` and its purpose", file.display())
                    .unwrap();
            }
            let lines = text.lines().count();
            if folder == "src" && !is_test(&file) && lines > MAX_LINES {
                writeln!(breaches, "  {}: {lines} lines, {MAX_LINES} are allowed", file.display()).unwrap();
            }
        }
    }
    assert!(breaches.is_empty(), "files against the style:\n{breaches}");
}

#[test]
fn no_file_mentions_a_path_of_somebodys_machine() {
    let mut breaches = String::new();
    for file in files(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (at, line) in text.lines().enumerate() {
            if let Some(path) = FORBIDDEN.iter().find(|path| line.contains(*path)) {
                writeln!(breaches, "  {}:{}: mentions {path}", file.display(), at + 1).unwrap();
            }
        }
    }
    assert!(breaches.is_empty(), "paths of a machine:\n{breaches}");
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "use crate::types::Name;\nuse crate::{\n    http::{Headers, view},\n    split,\n};\n// crate::cli\n\
                pub(in crate::config) fn f() -> crate::proxy::X {}\n";
    let found: BTreeSet<String> = imports(text).into_iter().map(|(_, name)| name).collect();
    assert_eq!(found, ["config", "http", "proxy", "split", "types"].map(str::to_owned).into());
}

/// The modules of this crate that a text names, with the lines where it does.
fn imports(text: &str) -> Vec<(usize, String)> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(heads_of_list(list).into_iter().map(|name| (line, name))),
            None => found.push((line, identifier(rest))),
        }
    }
    // A macro or type at the crate's root is no module.
    found.retain(|(_, name)| name.starts_with(|first: char| first.is_lowercase()));
    found
}

/// The first identifier of each entry of `a::b, c::{d, e}, f}`.
fn heads_of_list(list: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut expecting = true;
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expecting = true,
            _ if letter.is_whitespace() => {}
            _ if expecting => {
                heads.push(identifier(&list[at..]));
                expecting = false;
            }
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// The module that a file of src/ belongs to; none for lib.rs and main.rs.
fn module_of(file: &Path) -> Option<String> {
    let below = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).ok()?;
    let first = below.components().next()?.as_os_str().to_str()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&module)).then(|| module.to_owned())
}

fn is_test(file: &Path) -> bool {
    let text = file.to_string_lossy();
    text.ends_with("tests.rs") || text.contains("/tests/")
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    found.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a folder of the checkout can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("a source file can be read")
}
