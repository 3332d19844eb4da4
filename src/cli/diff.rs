//! `weir diff`: what would change if a control file were loaded, or if the API had set nothing on top of the one that is.
//!
//! Both files are brought into the canonical form, in which every default is written out, and compared there: a key that is
//! spelled differently but says the same is no change. Lists whose items have names (routes, listeners, the backends of a
//! split) are compared by name, so that a new route in the middle is one line.

use std::{io::Read as _, path::PathBuf};

use clap::Args;
use hyper::Method;
use serde::Serialize;
use serde_json::Value;

use super::{
    Exit, Failure, change,
    client::{Call, Client},
    format::{Answer, Screen},
    output::{self, Look, View},
    remote::Remote,
    table::{Cell, Column, Table},
};
use crate::{
    admin::api::types::Status,
    config::{self, Config, Diagnostics},
};

const EXAMPLES: &str = "\
Exit code 0: nothing would change; 1: something would; 78: a file has errors.

Examples:
  weir diff weir.yaml                                  against the file that the server runs
  weir diff                                            what runs, against that file
  weir diff new.yaml --against old.yaml                without a server
  weir diff weir.yaml --output name                    what is touched, one a line";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Diff {
    /// The control file, `-` for standard input; without it, the server's own: what would change if the API had set nothing on top
    file: Option<PathBuf>,
    /// Compare with this file instead of the one that the server runs
    #[arg(long, value_name = "FILE", requires = "file")]
    against: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// What is different.
#[derive(Debug, PartialEq, Serialize)]
struct Differences {
    /// Whether anything is.
    different: bool,
    /// The differences, in the order of the file.
    changes: Vec<Change>,
    /// What covers a value of the file, so that a change of it has no effect before it is dropped.
    overlay: Vec<String>,
}

/// One difference.
#[derive(Debug, PartialEq, Serialize)]
struct Change {
    /// What it is about, e.g. `route shop` or `listener web`.
    item: String,
    kind: Kind,
    /// Where in the item; empty when the whole item is added or removed.
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    /// What is in force.
    #[serde(skip_serializing_if = "Value::is_null")]
    from: Value,
    /// What the file says.
    #[serde(skip_serializing_if = "Value::is_null")]
    to: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Added,
    Removed,
    Changed,
}

const COLUMNS: [Column; 5] = [
    Column::left(" "),
    Column::left("WHAT").grouped().shrinks(),
    Column::left("WHERE").shrinks(),
    Column::left("NOW").shrinks(),
    Column::left("THEN").shrinks(),
];

// === impl Diff ===

impl Diff {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let (running, wanted, overlay) = match (&self.file, &self.against) {
            (Some(file), Some(against)) => (read(against)?.to_json(), read(file)?.to_json(), Vec::new()),
            (Some(file), None) => {
                let wanted = read(file)?.to_json();
                let (loaded, overlay) = self.remote.run(async |client| {
                    Ok((loaded(client).await?, covered(&client.get("/v1/status").await?)))
                })?;
                (loaded, wanted, overlay)
            }
            (None, _) => self.remote.run(async |client| {
                let running = client.get("/v1/config/effective").await?;
                Ok((running, loaded(client).await?, covered(&client.get("/v1/status").await?)))
            })?,
        };
        let changes = compare(&running, &wanted);
        let differences = Differences { different: !changes.is_empty(), changes, overlay };
        self.remote.output.print(&differences)?;
        Ok(if differences.different { Exit::Error } else { Exit::Done })
    }
}

/// The control file that a server runs.
async fn loaded(client: &Client) -> Result<Value, Failure> {
    let (status, body) = client.exchange(Call::new(Method::GET, "/v1/config")).await?;
    if !status.is_success() {
        return Err(client.refused(status, &body));
    }
    config::parse_bytes(&body, "(server)").map(|loaded| loaded.config.to_json()).map_err(|found| bad(&found))
}

/// Reads a control file, and shows what is odd about it.
fn read(path: &PathBuf) -> Result<Config, Failure> {
    let loaded = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let limit = config::MAX_FILE_BYTES as u64 + 1;
        std::io::stdin().take(limit).read_to_end(&mut bytes).map_err(anyhow::Error::from)?;
        config::parse_bytes(&bytes, "(standard input)")
    } else {
        config::load(path)
    };
    loaded.map(|loaded| loaded.config).map_err(|found| bad(&found))
}

fn bad(found: &Diagnostics) -> Failure {
    let look = Look::of_stderr();
    let text = found.render(config::Look { colour: look.colour, ascii: !look.unicode });
    Failure::text(Exit::BadConfig, format!("bad control file\n{}", text.trim_end()))
}

/// Where the server's file has no say, because the API has said something else since.
fn covered(status: &Status) -> Vec<String> {
    let drift = status.file.drift.iter().map(|drift| {
        let what = drift.backend.as_ref().map_or_else(String::new, |backend| format!(" {backend}"));
        format!("{}{what}: file {}, running {}", drift.route, drift.file, drift.running)
    });
    drift.collect()
}

impl Answer for Differences {
    fn screen(&self, _: &View) -> Screen {
        if !self.different {
            return Screen::of(["nothing would change".to_owned()]).tail(self.notes());
        }
        let mut table = Table::new(&COLUMNS);
        for change in &self.changes {
            let sign = match change.kind {
                Kind::Added => Cell::verdict(true, "+"),
                Kind::Removed => Cell::verdict(false, "-"),
                Kind::Changed => Cell::from("~"),
            };
            let whole = change.path.is_empty();
            let value = |value: &Value| if whole { Cell::default() } else { change::value(value).into() };
            table.row([
                sign,
                change.item.as_str().into(),
                if whole { change.kind.word().into() } else { change.path.as_str().into() },
                value(&change.from),
                value(&change.to),
            ]);
        }
        Screen::default().table(table).tail(self.notes())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.changes.iter().map(|change| change.item.clone()).collect();
        names.dedup();
        names
    }
}

// === impl Differences ===

impl Differences {
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> =
            self.overlay.iter().map(|line| format!("set by API: {}", output::clean(line))).collect();
        if !notes.is_empty() {
            notes.push("what is set by API stays until `weir overlay drop ROUTE`".to_owned());
        }
        notes
    }
}

// === impl Kind ===

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Added => "(added)",
            Self::Removed => "(removed)",
            Self::Changed => "(changed)",
        }
    }
}

/// What `wanted` says that `running` does not, and the other way round.
fn compare(running: &Value, wanted: &Value) -> Vec<Change> {
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
        (Some(_), Some(_)) => Kind::Changed,
        (None, _) => Kind::Added,
        (_, None) => Kind::Removed,
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

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "\
version: 1
listeners: [ { name: web, bind: 127.0.0.1:8080 } ]
backends:
  stable: { endpoints: [ { address: 127.0.0.1:9001 } ] }
  canary: { endpoints: [ { address: 127.0.0.1:9002 } ] }
routes:
  - name: shop
    match: { path: { prefix: /shop } }
    split: { backends: [ { name: stable, weight: 95 }, { name: canary, weight: 5 } ] }
  - { name: all, backend: stable }
";

    fn parsed(text: &str) -> Config {
        config::parse(text, "test").unwrap().config
    }

    fn shown(new: &str) -> String {
        let changes = compare(&parsed(OLD).to_json(), &parsed(new).to_json());
        let differences = Differences { different: !changes.is_empty(), changes, overlay: Vec::new() };
        differences.screen(&View::PLAIN).render(&View::PLAIN)
    }

    #[test]
    fn the_same_said_otherwise_is_no_difference() {
        let canonical = parsed(OLD).to_yaml();
        assert!(canonical.len() > 2 * OLD.len());
        assert_eq!(shown(&canonical), "nothing would change\n");
    }

    #[test]
    fn differences_say_where_they_are() {
        let new = OLD
            .replace("weight: 95", "weight: 80")
            .replace("weight: 5 ", "weight: 20 ")
            .replace("  - { name: all, backend: stable }\n", "  - { name: rest, backend: stable }\n")
            .replace("127.0.0.1:9002", "127.0.0.1:9003")
            + "workers: 3\n";
        insta::assert_snapshot!(shown(&new), @r#"
           WHAT            WHERE                         NOW                                        THEN
        ~  backend canary  endpoints                     [{"address":"127.0.0.1:9002","weight":1}]  [{"address":"127.0.0.1:9003","weight":1}]
        ~  route shop      split.backends.stable.weight  95                                         80
        ~  route shop      split.backends.canary.weight  5                                          20
        -  route all       (removed)
        +  route rest      (added)
        ~  settings        workers                       0                                          3
        "#);
    }
}
