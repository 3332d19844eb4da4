//! The command line: one file per command. Data goes to standard output, messages go to standard error.
//!
//! All commands but `run`, `check`, `schema`, `demo`, `token`, `completion`, `man` and `version` are clients of the admin API and
//! know nothing that the API does not say. docs/cli.md has all of them; it is written from what stands here.

mod audit;
mod backends;
mod change;
mod check;
mod client;
mod completion;
mod demo;
mod diff;
mod discovery;
mod drain;
mod events;
mod explain;
mod failure;
mod format;
mod healthcheck;
mod help;
mod kill;
mod man;
mod output;
mod overlay;
mod overrides;
mod pages;
#[cfg(test)]
mod reference;
mod remote;
mod revisions;
mod rollout;
mod routes;
mod run;
mod schema;
mod set_weight;
mod stats;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod token;
mod top;
mod version;
mod watch;

use std::{ffi::OsString, process::ExitCode};

use clap::{FromArgMatches as _, Parser, Subcommand, error::ErrorKind};

pub use failure::{Exit, Failure};

use self::{format::Format, remote::Anywhere};
use crate::types::Revision;

/// An edge traffic-splitting reverse proxy.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about)]
pub struct Cli {
    #[command(flatten)]
    anywhere: Anywhere,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    Run(run::Run),
    /// See Weir shift traffic between two versions, with nothing but this binary
    Demo(demo::Demo),
    /// Check a control file; exit code 78 when it has errors
    Check(check::Check),
    /// Print the JSON schema of control files
    Schema(schema::Schema),
    /// Show what runs: routes, weights, observed shares, health, latency
    Status(status::Status),
    /// List routes and their splits
    Routes(routes::Routes),
    /// List backends, their endpoints and their health
    Backends(backends::Backends),
    /// Show what each route and backend did in the last seconds: requests, errors, latency
    Stats(stats::Stats),
    /// Watch routes and backends live in the terminal, and change weights by key
    Top(top::Top),
    /// Show what would change if a control file were loaded; exit code 1 when something would
    Diff(diff::Diff),
    /// Change the weights of a route, at once and without touching the control file
    SetWeight(set_weight::SetWeight),
    /// Explain which backend a request would get, and why
    Explain(explain::Explain),
    /// Send everything on a route to one backend, now
    Kill(kill::Kill),
    /// Let the weights decide again
    Unkill(kill::Unkill),
    /// Send no new users to a backend, on any route
    Drain(drain::Drain),
    /// Let a drained backend take users again
    Undrain(drain::Undrain),
    /// Give single users a backend, whatever rules and weights say
    Override(overrides::Override),
    /// Show or drop what was set on top of the control file
    Overlay(overlay::Overlay),
    /// Move a route to another version step by step: start, see and steer rollouts
    Rollout(rollout::Rollout),
    /// List, show, compare and restore what was in force
    Revisions(revisions::Revisions),
    /// Show who changed what; check that the record is whole
    Audit(audit::Audit),
    /// Follow what happens, as it happens
    Events(events::Events),
    /// Ask whether Weir is alive; exit code 0 or 1
    Healthcheck(healthcheck::Healthcheck),
    /// Print what a shell needs to complete command lines
    Completion(completion::Completion),
    /// Print the manual page, or write one for every command
    Man(man::Man),
    /// Make, list and revoke tokens of the admin API
    Token(token::Token),
    /// Print the version
    Version(version::Version),
}

/// Does what a command line says, and says what went wrong.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed =
        help::command().try_get_matches_from(&arguments).and_then(|found| Cli::from_arg_matches(&found));
    match parsed {
        Ok(cli) => {
            let format = cli.anywhere.output;
            run(cli).unwrap_or_else(|failure| complain(&failure, format)).into()
        }
        Err(error) => refuse(&error, wanted(&arguments)).into(),
    }
}

/// Carries out a command.
///
/// # Errors
/// What went wrong, with the exit code that says so.
pub fn run(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Run(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Routes(command) => command.run(),
        Command::Backends(command) => command.run(),
        Command::Stats(command) => command.run(),
        Command::Top(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::SetWeight(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Kill(command) => command.run(),
        Command::Unkill(command) => command.run(),
        Command::Drain(command) => command.run(),
        Command::Undrain(command) => command.run(),
        Command::Override(command) => command.run(),
        Command::Overlay(command) => command.run(),
        Command::Rollout(command) => command.run(),
        Command::Revisions(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::Events(command) => command.run(),
        Command::Healthcheck(command) => command.run(),
        Command::Completion(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::Token(command) => command.run(),
        Command::Version(command) => command.run(),
    }
}

/// What clap says instead of a command: a help text, a version, or what is wrong with the command line.
fn refuse(error: &clap::Error, format: Format) -> Exit {
    let document = matches!(format, Format::Json | Format::Yaml);
    let help = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !error.use_stderr() || (error.kind() == help) || !document {
        // Where the stream is closed, nobody reads it.
        let _ = error.print();
        return if error.use_stderr() { Exit::Usage } else { Exit::Done };
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    complain(&Failure::text(Exit::Usage, text), format)
}

/// Says what went wrong on standard error, as an object where the answer would have been one.
fn complain(failure: &Failure, format: Format) -> Exit {
    let text = match format {
        Format::Json => Some(failure.to_json().to_string()),
        Format::Yaml => format::yaml(&failure.to_json()).ok(),
        _ => None,
    };
    output::note(text.unwrap_or_else(|| format!("weir: {failure}")).trim_end());
    failure.exit
}

/// What a command line that cannot be read asks for by `--output`.
fn wanted(arguments: &[OsString]) -> Format {
    let texts: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let joined = texts.iter().filter_map(|text| text.strip_prefix("--output=").or(text.strip_prefix("-o")));
    let apart = texts.windows(2).filter(|pair| ["-o", "--output"].contains(&pair[0])).map(|pair| pair[1]);
    match joined.chain(apart).find(|text| !text.is_empty()) {
        Some("json") => Format::Json,
        Some("yaml") => Format::Yaml,
        _ => Format::Table,
    }
}

/// A revision as people copy it: `12`, `r12`, or an ETag, `"r12"`.
fn revision(text: &str) -> Result<Revision, String> {
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let number = tag.strip_prefix('r').unwrap_or(tag).parse();
    number.map(Revision).map_err(|_| format!("`{text}` is no revision: write it as 12 or r12"))
}
