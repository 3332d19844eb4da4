//! `weir override`: single users who get one backend, whatever rules and weights say.

use clap::{Args, Subcommand};
use hyper::Method;
use serde::Serialize;

use super::{
    Exit, Failure,
    change::{self, Conditional},
    client::{Client, segment},
    format::{Answer, Screen},
    output::{self, View},
    remote::Remote,
    table::{Column, Table},
};
use crate::admin::api::types::{
    self,
    history::{OverrideChanged, Overrides},
};

const EXAMPLES: &str = "\
KEY is the value of the split's key: the user's id, as the header, cookie or claim has it.

Without a command it lists the users who have one.

Examples:
  weir override set shop 42 canary --reason 'tester'
  weir override
  weir override rm shop 42";

const SET_EXAMPLES: &str = "\
Examples:
  weir override set shop 42 canary --reason 'tester'";

const RM_EXAMPLES: &str = "\
Examples:
  weir override rm shop 42";

const LIST_EXAMPLES: &str = "\
Examples:
  weir override list
  weir override list shop --output json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Override {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give a user a backend
    Set(Set),
    /// Let rules and weights decide about a user again
    Rm(Rm),
    /// List the users who have one
    List(List),
}

#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
struct Set {
    /// The route
    route: String,
    /// The user: the value of the split's key
    key: String,
    /// The backend
    backend: String,
    #[command(flatten)]
    conditional: Conditional,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = RM_EXAMPLES)]
struct Rm {
    /// The route
    route: String,
    /// The user: the value of the split's key
    key: String,
    #[command(flatten)]
    conditional: Conditional,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
struct List {
    /// Only this route
    route: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// The overrides of one route or of all.
#[derive(Debug, Serialize)]
struct Listed {
    routes: Vec<Overrides>,
}

const COLUMNS: [Column; 3] = [
    Column::left("ROUTE").grouped().shrinks(),
    Column::left("KEY").shrinks(),
    Column::left("BACKEND").shrinks(),
];

// === impl Override ===

impl Override {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.command.unwrap_or(Command::List(List { route: None, remote: self.remote })) {
            Command::Set(set) => {
                let members = [("backend", set.backend.as_str())];
                let call = set.conditional.call(Method::PUT, path(&set.route, &set.key), &members);
                shown(&set.remote, &set.remote.send(call)?)
            }
            Command::Rm(rm) => {
                let call = rm.conditional.call(Method::DELETE, path(&rm.route, &rm.key), &[]);
                shown(&rm.remote, &rm.remote.send(call)?)
            }
            Command::List(list) => {
                let found = list.remote.run(async |client| listed(client, list.route.as_deref()).await)?;
                list.remote.output.print(&found)
            }
        }
    }
}

fn path(route: &str, key: &str) -> String {
    format!("/v1/routes/{}/overrides/{}", segment(route), segment(key))
}

fn shown(remote: &Remote, changed: &OverrideChanged) -> Result<Exit, Failure> {
    output::warn(&changed.outcome.warnings);
    remote.output.print(changed)
}

async fn listed(client: &Client, route: Option<&str>) -> Result<Listed, Failure> {
    let names = match route {
        Some(route) => vec![route.to_owned()],
        None => {
            let routes: types::Routes = client.get("/v1/routes").await?;
            routes.routes.iter().map(|route| route.name.to_string()).collect()
        }
    };
    let mut routes = Vec::new();
    for name in names {
        routes.push(client.get(&format!("/v1/routes/{}/overrides", segment(&name))).await?);
    }
    Ok(Listed { routes })
}

impl Answer for OverrideChanged {
    fn screen(&self, _: &View) -> Screen {
        let state = match &self.now.backend {
            Some(backend) => format!("gets {backend}"),
            None => "gets what rules and weights say".to_owned(),
        };
        let key = output::clean(&self.now.key);
        Screen::of([format!("{}: {key} {state}   ({})", self.now.route, change::outcome(&self.outcome))])
    }

    fn names(&self) -> Vec<String> {
        vec![self.now.key.clone()]
    }
}

impl Answer for Listed {
    fn screen(&self, _: &View) -> Screen {
        let mut table = Table::new(&COLUMNS);
        for route in &self.routes {
            for (key, backend) in &route.overrides {
                table.row([route.route.as_str().into(), key.as_str().into(), backend.as_str().into()]);
            }
        }
        Screen::default().table(table)
    }

    fn names(&self) -> Vec<String> {
        self.routes.iter().flat_map(|route| route.overrides.keys().cloned()).collect()
    }
}
