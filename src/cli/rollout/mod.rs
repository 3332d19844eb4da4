//! `weir rollout`: starting a rollout, seeing it, and steering it.
//!
//! Wherever a rollout is named, a route may stand instead: its newest rollout is meant.

mod live;
mod report;
mod screen;
mod start;
mod steer;
mod wait;

use clap::{Args, Subcommand};

pub(super) use self::screen::short;
use self::{
    report::Report,
    start::Start,
    steer::{Promote, Steer, SteerNow},
    wait::Wait,
};
use super::{
    Exit, Failure,
    client::{Client, segment},
    pages,
    remote::Remote,
    watch::Watch,
};
use crate::admin::api::types::rollout::{Rollout as Found, Rollouts as Listed};

const EXAMPLES: &str = "\
Wherever ID stands, a route may stand too: its newest rollout is meant. Without a command it lists the newest ones.

Examples:
  weir rollout start shop --version v1.9.0 --wait     in a pipeline: exit code 0 promoted, 3 rolled back
  weir rollout get shop --watch
  weir rollout pause shop --reason 'looking at the logs'
  weir rollout abort shop";

const LIST_EXAMPLES: &str = "\
Examples:
  weir rollout list --active
  weir rollout list --route shop --output json";

const GET_EXAMPLES: &str = "\
Without an id it is the newest of all.

Examples:
  weir rollout get shop
  weir rollout get r-7f3a2c --watch 1";

/// How many are listed unless somebody says.
const LIMIT: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Rollout {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Move the traffic of a route to another version, step by step
    Start(Start),
    /// List rollouts, the newest first
    List(List),
    /// Show one: its steps, what the gates say, and why
    Get(Get),
    /// Wait for its end; exit code 0 promoted, 3 rolled back or aborted, 8 waits for approval
    Wait(Wait),
    /// Let it stay where it is; its gates are looked at on
    Pause(SteerNow),
    /// Let it go on
    Resume(Steer),
    /// Make the next step now, whatever the gates say
    Promote(Promote),
    /// End it and take the canary's traffic away, now; does not ask whether you are sure
    Abort(SteerNow),
    /// Start one that is over once more
    Retry(Steer),
    /// Agree to the next step
    Approve(Steer),
    /// Do not agree: end it and take the canary's traffic away
    Reject(Steer),
    /// Bring the old version back after a promotion
    Undo(Steer),
    /// Print everything that is known of one, as JSON
    Report(Report),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
struct List {
    /// Only those of this route
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
    /// Only those to which something still happens
    #[arg(long)]
    active: bool,
    /// Only those in this phase, such as `rolled_back`
    #[arg(long, value_name = "PHASE")]
    phase: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = LIMIT, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = GET_EXAMPLES)]
struct Get {
    /// Its id, or a route
    id: Option<String>,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    remote: Remote,
}

// === impl Rollout ===

impl Rollout {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Some(command) = self.command else {
            return self.remote.show::<Listed>(&format!("/v1/rollouts?limit={LIMIT}"));
        };
        match command {
            Command::Start(start) => start.run(),
            Command::List(list) => list.watch.show::<Listed>(&list.remote, &list.path()),
            Command::Get(get) => {
                let found = get.remote.run(async |client| find(client, get.id.as_deref()).await)?;
                get.watch.show::<Found>(&get.remote, &path(&found.summary.id))
            }
            Command::Wait(wait) => wait.run(),
            Command::Pause(steer) => steer.run("pause"),
            Command::Resume(steer) => steer.run("resume"),
            Command::Promote(promote) => promote.run(),
            Command::Abort(steer) => steer.run("abort"),
            Command::Retry(steer) => steer.run("retry"),
            Command::Approve(steer) => steer.run("approve"),
            Command::Reject(steer) => steer.run("reject"),
            Command::Undo(steer) => steer.run("undo"),
            Command::Report(report) => report.run(),
        }
    }
}

// === impl List ===

impl List {
    fn path(&self) -> String {
        let mut path = format!("/v1/rollouts?limit={}", self.limit);
        if self.active {
            path += "&active=true";
        }
        for (name, value) in [("route", &self.route), ("phase", &self.phase)] {
            path +=
                &value.as_ref().map(|value| format!("&{name}={}", pages::encode(value))).unwrap_or_default();
        }
        path
    }
}

/// Where the rollout of this id is.
fn path(id: &str) -> String {
    format!("/v1/rollouts/{}", segment(id))
}

/// The rollout of this id, or the newest of the route of this name, or of all.
async fn find(client: &Client, text: Option<&str>) -> Result<Found, Failure> {
    let newest = match text {
        None => "/v1/rollouts?limit=1".to_owned(),
        Some(text) => match client.get(&path(text)).await {
            Err(failure) if failure.is_about("unknown-rollout") => {
                let newest = format!("/v1/rollouts?limit=1&route={}", pages::encode(text));
                let of_route: Result<Listed, Failure> = client.get(&newest).await;
                // Where it is no route either, what was said of the rollout counts.
                if of_route.is_err() {
                    return Err(failure);
                }
                newest
            }
            found => return found,
        },
    };
    let listed: Listed = client.get(&newest).await?;
    match listed.rollouts.first() {
        Some(newest) => client.get(&path(&newest.id)).await,
        None => {
            let of = text.map(|route| format!(" of route `{route}`")).unwrap_or_default();
            let failure = Failure::text(Exit::Error, format!("there is no rollout{of} yet"));
            Err(failure.hint("`weir rollout start ROUTE` starts one"))
        }
    }
}
