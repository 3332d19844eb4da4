//! `weir diff`: what would change if a control file were loaded, or if the API had set nothing on top of the one that is.
//!
//! The server compares, because its control file may have secrets, which it tells administrators only. Two files are compared here.

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
    admin::api::types::{
        Status,
        diff::{ChangeKind, ConfigChange, ConfigDiff},
    },
    config::{self, Diagnostics, Loaded},
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
    changes: Vec<ConfigChange>,
    /// What covers a value of the file, so that a change of it has no effect before it is dropped.
    overlay: Vec<String>,
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
        let file = self.file.as_ref().map(read).transpose()?;
        let (changes, overlay) = match (file, &self.against) {
            (Some(file), Some(against)) => {
                let changes = config::compare(&read(against)?.config.to_json(), &file.config.to_json());
                (changes.into_iter().map(ConfigChange::from).collect(), Vec::new())
            }
            (file, _) => self.remote.run(async |client| told(client, file).await)?,
        };
        let differences = Differences { different: !changes.is_empty(), changes, overlay };
        self.remote.output.print(&differences)?;
        Ok(if differences.different { Exit::Error } else { Exit::Done })
    }
}

/// What a server says would change, and what covers its control file.
async fn told(client: &Client, file: Option<Loaded>) -> Result<(Vec<ConfigChange>, Vec<String>), Failure> {
    let path = "/v1/config/diff";
    let call = match file {
        Some(file) => Call::new(Method::POST, path).yaml(file.source.text()),
        None => Call::new(Method::GET, path),
    };
    let found: ConfigDiff = client.send(call).await?;
    Ok((found.changes, covered(&client.get("/v1/status").await?)))
}

/// Reads a control file, and shows what is odd about it.
fn read(path: &PathBuf) -> Result<Loaded, Failure> {
    let loaded = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let limit = config::MAX_FILE_BYTES as u64 + 1;
        std::io::stdin().take(limit).read_to_end(&mut bytes).map_err(anyhow::Error::from)?;
        config::parse_bytes(&bytes, "(standard input)")
    } else {
        config::load(path)
    };
    loaded.map_err(|found| bad(&found))
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
                ChangeKind::Added => Cell::verdict(true, "+"),
                ChangeKind::Removed => Cell::verdict(false, "-"),
                ChangeKind::Changed => Cell::from("~"),
            };
            let whole = change.path.is_empty();
            let value = |value: &Value| if whole { Cell::default() } else { change::value(value).into() };
            table.row([
                sign,
                change.item.as_str().into(),
                if whole { word(change.kind).into() } else { change.path.as_str().into() },
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

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "(added)",
        ChangeKind::Removed => "(removed)",
        ChangeKind::Changed => "(changed)",
    }
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

    fn parsed(text: &str) -> config::Config {
        config::parse(text, "test").unwrap().config
    }

    fn shown(new: &str) -> String {
        let changes = config::compare(&parsed(OLD).to_json(), &parsed(new).to_json());
        let changes: Vec<_> = changes.into_iter().map(ConfigChange::from).collect();
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
