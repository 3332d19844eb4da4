//! The command line: one file per command. Data goes to standard output, messages go to standard error.
//!
//! All commands but `run`, `check`, `schema`, `demo`, `token` and `version` are clients of the admin API and know nothing that the
//! API does not say. docs/cli.md has examples of each.

mod backends;
mod check;
mod client;
mod demo;
mod explain;
mod failure;
mod healthcheck;
mod kill;
mod output;
mod routes;
mod run;
mod schema;
mod set_weight;
mod status;
#[cfg(test)]
mod tests;
mod token;
mod version;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use failure::{Exit, Failure};

use self::client::{Client, Credentials};
use crate::types::Revision;

/// An edge traffic-splitting reverse proxy.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
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
    /// Change the weights of a route, at once and without touching the control file
    SetWeight(set_weight::SetWeight),
    /// Explain which backend a request would get, and why
    Explain(explain::Explain),
    /// Send everything on a route to one backend, now
    Kill(kill::Kill),
    /// Let the weights decide again
    Unkill(kill::Unkill),
    /// Ask whether Weir is alive; exit code 0 or 1
    Healthcheck(healthcheck::Healthcheck),
    /// Make, list and revoke tokens of the admin API
    Token(token::Token),
    /// Print the version
    Version(version::Version),
}

/// What every client of the admin API takes.
#[derive(Debug, Args)]
struct Remote {
    /// The admin API
    #[arg(long, env = "WEIR_SERVER", default_value = "http://127.0.0.1:9900", value_name = "URL")]
    server: String,
    #[command(flatten)]
    credentials: Credentials,
    /// How to print the answer
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
}

// === impl Remote ===

impl Remote {
    /// A client of the server.
    fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.server)?.with_credentials(&self.credentials)
    }
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs: what the API answered
    Json,
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
        Command::SetWeight(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Kill(command) => command.run(),
        Command::Unkill(command) => command.run(),
        Command::Healthcheck(command) => command.run(),
        Command::Token(command) => command.run(),
        Command::Version(command) => command.run(),
    }
}

/// A revision as people copy it: `12`, `r12`, or an ETag, `"r12"`.
fn revision(text: &str) -> Result<Revision, String> {
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let number = tag.strip_prefix('r').unwrap_or(tag).parse();
    number.map(Revision).map_err(|_| format!("`{text}` is no revision: write it as 12 or r12"))
}
