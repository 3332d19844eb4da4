//! `weir override`: single users who get one backend, whatever rules and weights say.

use clap::{Args, Subcommand};
use hyper::Method;
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::json;

use super::{
    Exit, Failure,
    change::{self, Conditional},
    client::{Call, Client, segment},
    format::{Answer, Screen},
    output::{self, View},
    remote::Remote,
    table::{Column, Table},
};
use crate::admin::api::types::{
    self,
    history::{OverrideChanged, Overrides, SignedOverride},
};

const EXAMPLES: &str = "\
KEY is the value of the split's key: the user's id, as the header, cookie or claim has it.

Without a command it lists the users who have one. A signed one is for whoever sends it as a header, and is in no list.

Examples:
  weir override set shop 42 canary --reason 'tester'
  weir override
  weir override rm shop 42
  curl -H \"$(weir override sign shop canary)\" http://shop.example/";

const SIGN_EXAMPLES: &str = "\
Whoever sends the header gets the backend on this route until it ends; nothing changes for anybody else. Nobody can take it back: a kill
switch and a backend that is off overrule it, and so it does not last long.

Examples:
  weir override sign shop canary --for 10m --reason 'bug 7'
  curl -H \"$(weir override sign shop canary)\" http://shop.example/";

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
    /// Sign a header that gives whoever sends it a backend, for a while
    Sign(Sign),
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

#[derive(Debug, Args)]
#[command(after_help = SIGN_EXAMPLES)]
struct Sign {
    /// The route
    route: String,
    /// The backend
    backend: String,
    /// How long it counts, up to 7d
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = super::token::lifetime)]
    lifetime: SignedDuration,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
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
            Command::Sign(sign) => {
                let body = json!({
                    "backend": sign.backend,
                    "lifetime_seconds": sign.lifetime.as_secs(),
                    "reason": sign.reason,
                });
                let path = format!("/v1/routes/{}/signed-overrides", segment(&sign.route));
                let signed: SignedOverride = sign.remote.send(Call::new(Method::POST, path).json(&body))?;
                sign.remote.output.print(&signed)?;
                output::note(&format!("ends at {}", signed.expires));
                Ok(Exit::Done)
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

impl Answer for SignedOverride {
    fn screen(&self, _: &View) -> Screen {
        Screen::of([format!("{}: {}", self.header, self.value)])
    }

    fn names(&self) -> Vec<String> {
        vec![self.value.clone()]
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
