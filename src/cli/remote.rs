//! What every client of the admin API takes: which server, and how to print its answer.

use clap::Args;
use serde::de::DeserializeOwned;

use super::{
    Exit, Failure,
    client::{Call, Client, Credentials, block_on},
    discovery::Server,
    format::{Answer, Format},
};

/// Where the options of every client stand in a help text.
pub(super) const HEADING: &str = "Server and output";

/// Which server. May stand before the command too, by [`Anywhere`].
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = HEADING)]
pub(super) struct At {
    /// The admin API; by default a socket of this machine, else http://127.0.0.1:9900
    #[arg(long, env = "WEIR_SERVER", value_name = "URL", global = true)]
    server: Option<String>,
    #[command(flatten)]
    credentials: Credentials,
}

/// Which server, and how to print its answer.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = HEADING)]
pub(super) struct Remote {
    #[command(flatten)]
    pub(super) at: At,
    /// How to print the answer
    #[arg(long, short, value_parser = Format::parser(Format::CLIENT), default_value = "table", global = true)]
    pub(super) output: Format,
}

/// The same options before the command: `weir --server URL status`. The command has them under the same names, and what
/// stands at either place counts for both. Commands that talk to no server have no use for them and do not show them.
#[derive(Debug, Args)]
pub(super) struct Anywhere {
    #[arg(long, env = "WEIR_SERVER", value_name = "URL", global = true, hide = true)]
    server: Option<String>,
    #[command(flatten)]
    credentials: Credentials,
    #[arg(long, short, value_enum, default_value = "table", global = true, hide = true)]
    pub(super) output: Format,
}

// === impl At ===

impl At {
    /// A client of the server.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.find().url)?.with_credentials(&self.credentials)
    }

    /// Where nobody answers: what to do about it.
    pub(super) fn hinted<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        answer.map_err(|failure| match failure.exit {
            Exit::Unreachable => failure.hint(self.find().hint()),
            _ => failure,
        })
    }

    fn find(&self) -> Server {
        Server::find(self.server.as_deref())
    }
}

// === impl Remote ===

impl Remote {
    /// Asks for `path` and prints the answer.
    pub(super) fn show<T: DeserializeOwned + Answer>(&self, path: &str) -> Result<Exit, Failure> {
        let client = self.at.client()?;
        let answer: T = self.at.hinted(block_on(client.get(path)))?;
        self.output.print(&answer)
    }

    /// Sends a call and gives its answer.
    pub(super) fn send<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        self.run(async move |client| client.send(call).await)
    }

    /// Runs what talks to the server, and says what to do where nobody answers.
    pub(super) fn run<T>(&self, talk: impl AsyncFnOnce(&Client) -> Result<T, Failure>) -> Result<T, Failure> {
        let client = self.at.client()?;
        self.at.hinted(block_on(talk(&client)))
    }
}
