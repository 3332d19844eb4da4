//! `weir token`: the file of tokens that `admin.tokens` names. Works on the file alone; a running Weir follows it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    Exit, Failure,
    format::{Answer, Format, Screen},
    output::{self, View},
    table::{Column, Table},
};
use crate::{
    admin::auth::{
        file::{self, FileError},
        token::{Secret, TokenEntry, TokenHash},
    },
    types::{Name, Role, clock},
};

const EXAMPLES: &str = "\
Examples:
  weir token create alice --role operator --expires 90d --file tokens
  weir token create ci --role operator --routes checkout,cart --file tokens
  weir token list --file tokens
  weir token list --file tokens --output json
  weir token revoke ci --file tokens";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Token {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token and print it, this once; the file keeps its hash
    Create(Create),
    /// List who has a token
    List(List),
    /// Remove a token; it ends at once, and so do its sessions
    Revoke(Revoke),
}

/// Which file.
#[derive(Debug, Args)]
struct At {
    /// The file of tokens, as `admin.tokens` names it
    #[arg(long, env = "WEIR_TOKENS", value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Create {
    /// Who gets it: the actor of what is done with it
    name: Name,
    /// What it may do
    #[arg(long, value_enum)]
    role: RoleName,
    /// The only routes that it may change, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "ROUTES")]
    routes: Option<Vec<Name>>,
    /// When it ends, such as 12h or 30d; never by default
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires: Option<SignedDuration>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    at: At,
    /// How to print the list
    #[arg(long, short, value_parser = Format::parser(Format::CLIENT), default_value = "table", global = true)]
    output: Format,
}

/// Who has a token.
#[derive(Debug, Serialize)]
struct Listed {
    tokens: Vec<Entry>,
}

/// One of them, without the hash.
#[derive(Debug, Serialize)]
struct Entry {
    name: Name,
    role: Role,
    /// The only routes that it may change; nothing for all.
    routes: Option<Vec<Name>>,
    created: Option<Timestamp>,
    expires: Option<Timestamp>,
    expired: bool,
}

#[derive(Debug, Args)]
struct Revoke {
    /// Whose
    name: Name,
    #[command(flatten)]
    at: At,
}

/// A role, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Sees what runs
    Viewer,
    /// Moves traffic
    Operator,
    /// Everything
    Admin,
}

// === impl Token ===

impl Token {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let now = Timestamp::from_millisecond(i64::try_from(clock::unix_now().as_millis()).unwrap_or(0));
        let now = now.unwrap_or(Timestamp::UNIX_EPOCH);
        match self.command {
            Command::Create(command) => command.run(now),
            Command::List(command) => command.run(now),
            Command::Revoke(command) => command.run(),
        }
    }
}

// === impl Create ===

impl Create {
    fn run(self, now: Timestamp) -> Result<Exit, Failure> {
        let secret =
            Secret::random().map_err(|_| Failure::text(Exit::Error, "the system has no randomness"))?;
        let created = now.round(jiff::Unit::Second).unwrap_or(now);
        let expires = self.expires.map(|lifetime| created.saturating_add(lifetime)).transpose();
        let entry = TokenEntry {
            name: self.name,
            hash: TokenHash::of(secret.expose()),
            role: self.role.into(),
            routes: self.routes,
            expires: expires.map_err(|error| Failure::text(Exit::Usage, error))?,
            created: Some(created),
        };
        file::add(&self.at.file, &entry).map_err(|error| self.at.failed(error))?;
        output::print(&format!("{}\n", secret.expose()))?;
        let end = entry.expires.map_or_else(String::new, |end| format!(", ends on {end}"));
        output::note(&format!(
            "{} is {} now{end}. This is the only time that the token is shown.",
            entry.name,
            match entry.role {
                Role::Viewer => "a viewer",
                Role::Operator => "an operator",
                Role::Admin => "an admin",
            }
        ));
        Ok(Exit::Done)
    }
}

// === impl List ===

impl List {
    fn run(self, now: Timestamp) -> Result<Exit, Failure> {
        let (tokens, warning) = file::read(&self.at.file).map_err(|error| self.at.failed(error))?;
        self.output.print(&Listed::of(tokens.entries(), now))?;
        if let Some(warning) = warning {
            output::note(&format!("warning: {}: {warning}", self.at.file.display()));
        }
        Ok(Exit::Done)
    }
}

const COLUMNS: [Column; 5] = [
    Column::left("NAME").shrinks(),
    Column::left("ROLE"),
    Column::left("ROUTES").shrinks(),
    Column::left("CREATED").rank(1),
    Column::left("EXPIRES"),
];

// === impl Listed ===

impl Listed {
    fn of(entries: &[TokenEntry], now: Timestamp) -> Self {
        let entries = entries.iter().map(|entry| Entry {
            name: entry.name.clone(),
            role: entry.role,
            routes: entry.routes.clone(),
            created: entry.created,
            expires: entry.expires,
            expired: entry.is_expired(now),
        });
        Self { tokens: entries.collect() }
    }
}

impl Answer for Listed {
    fn screen(&self, _: &View) -> Screen {
        let mut table = Table::new(&COLUMNS);
        for entry in &self.tokens {
            let routes = entry.routes.as_ref().map_or_else(
                || "all".to_owned(),
                |routes| routes.iter().map(Name::as_str).collect::<Vec<_>>().join(","),
            );
            let ended = if entry.expired { " (ended)" } else { "" };
            let expires = entry.expires.map_or_else(|| "never".to_owned(), |end| format!("{end}{ended}"));
            let created = entry.created.map_or_else(|| "-".to_owned(), |at| at.to_string());
            table.row([
                entry.name.as_str().into(),
                entry.role.as_str().into(),
                routes.into(),
                created.into(),
                expires.into(),
            ]);
        }
        Screen::default().table(table)
    }

    fn names(&self) -> Vec<String> {
        self.tokens.iter().map(|entry| entry.name.to_string()).collect()
    }
}

// === impl Revoke ===

impl Revoke {
    fn run(self) -> Result<Exit, Failure> {
        file::remove(&self.at.file, self.name.as_str()).map_err(|error| self.at.failed(error))?;
        output::note(&format!("the token of {} is gone; a running Weir sees it within moments", self.name));
        Ok(Exit::Done)
    }
}

// === impl At ===

impl At {
    fn failed(&self, error: FileError) -> Failure {
        Failure::new(Exit::Error, anyhow::Error::new(error).context(self.file.display().to_string()))
    }
}

// === impl RoleName ===

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Operator => Self::Operator,
            RoleName::Admin => Self::Admin,
        }
    }
}

/// A lifetime as the control file writes durations: `12h`, `30d`.
fn lifetime(text: &str) -> Result<SignedDuration, String> {
    let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let unit: i64 = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("write a whole number and a unit: 90m, 12h, 30d".to_owned()),
    };
    let seconds = digits.parse::<i64>().ok().and_then(|number| number.checked_mul(unit));
    let seconds = seconds.filter(|seconds| (1..=3650 * 86_400).contains(seconds));
    seconds.map(SignedDuration::from_secs).ok_or_else(|| "it is from 1m to 3650d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_checked() {
        for (text, seconds) in [
            ("90m", Some(5400)),
            ("12h", Some(43_200)),
            ("30d", Some(2_592_000)),
            ("3650d", Some(315_360_000)),
            ("3651d", None),
            ("0d", None),
            ("30", None),
            ("d", None),
            ("-1d", None),
            ("99999999999999999999d", None),
        ] {
            let read = lifetime(text).ok().map(|lifetime| lifetime.as_secs());
            assert_eq!(read, seconds, "{text}");
        }
    }

    #[test]
    fn a_list_shows_who_has_what_and_no_hash() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let entry = |name: &str, role, expires: Option<&str>| TokenEntry {
            name: Name::new(name).unwrap(),
            hash: TokenHash::of(name),
            role,
            routes: (role == Role::Operator)
                .then(|| vec![Name::new("cart").unwrap(), Name::new("shop").unwrap()]),
            expires: expires.map(at),
            created: Some(at("2026-01-01T00:00:00Z")),
        };
        let entries = [
            entry("alice", Role::Admin, None),
            entry("ci", Role::Operator, Some("2026-03-01T00:00:00Z")),
            entry("old", Role::Viewer, Some("2026-01-02T00:00:00Z")),
        ];
        let listed = Listed::of(&entries, at("2026-02-01T00:00:00Z"));
        insta::assert_snapshot!(listed.screen(&View::PLAIN).render(&View::PLAIN), @r"
        NAME   ROLE      ROUTES     CREATED               EXPIRES
        alice  admin     all        2026-01-01T00:00:00Z  never
        ci     operator  cart,shop  2026-01-01T00:00:00Z  2026-03-01T00:00:00Z
        old    viewer    all        2026-01-01T00:00:00Z  2026-01-02T00:00:00Z (ended)
        ");
        assert_eq!(
            serde_json::to_value(&listed).unwrap()["tokens"][2],
            serde_json::json!({
                "name": "old", "role": "viewer", "routes": null, "created": "2026-01-01T00:00:00Z",
                "expires": "2026-01-02T00:00:00Z", "expired": true,
            })
        );
        assert_eq!(listed.names(), ["alice", "ci", "old"]);
    }
}
