//! `weir kill` and `weir unkill`: the kill switch of a route. Neither asks whether you are sure.

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{
    Exit, Failure,
    change::Change,
    client::{Call, segment},
    format::{Answer, Screen},
    output::{self, View},
    remote::Remote,
};
use crate::{admin::api::types::KillSwitch, types::Revision};

const EXAMPLES: &str = "\
It does not ask whether you are sure. Who was pinned to another backend moves at once.

Examples:
  weir kill shop                       everything to the baseline, now
  weir kill shop --to canary --reason 'stable is broken'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Kill {
    /// The route
    route: String,
    /// The backend that takes everything; the baseline, the first of the split, by default
    #[arg(long, value_name = "BACKEND")]
    to: Option<String>,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    remote: Remote,
}

const UNKILL_EXAMPLES: &str = "\
Examples:
  weir unkill shop
  weir unkill shop --if-rev r42";

#[derive(Debug, Args)]
#[command(after_help = UNKILL_EXAMPLES)]
pub(super) struct Unkill {
    /// The route
    route: String,
    /// Only when this revision is in force
    #[arg(long, value_name = "N", value_parser = super::revision)]
    if_rev: Option<Revision>,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    remote: Remote,
}

// === impl Kill ===

impl Kill {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let body = json!({"backend": self.to, "reason": self.change.reason});
        let call = Call::new(Method::PUT, path(&self.route)).json(&body).dry_run(self.change.dry_run);
        send(&self.remote, call)
    }
}

// === impl Unkill ===

impl Unkill {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let body = json!({"reason": self.change.reason});
        let call = Call::new(Method::DELETE, path(&self.route)).json(&body).dry_run(self.change.dry_run);
        send(&self.remote, call.expecting(self.if_rev))
    }
}

fn path(route: &str) -> String {
    format!("/v1/routes/{}/kill-switch", segment(route))
}

fn send(remote: &Remote, call: Call) -> Result<Exit, Failure> {
    let switch: KillSwitch = remote.send(call)?;
    output::warn(&switch.warnings);
    remote.output.print(&switch)
}

impl Answer for KillSwitch {
    fn screen(&self, _: &View) -> Screen {
        let state = match &self.backend {
            Some(backend) => format!("everything goes to {backend}"),
            None => "the weights decide".to_owned(),
        };
        Screen::of([format!("{}: {state}   {}", self.route, outcome(self))])
    }

    fn names(&self) -> Vec<String> {
        vec![self.route.to_string()]
    }
}

fn outcome(switch: &KillSwitch) -> String {
    match (switch.dry_run, switch.changed) {
        (true, Some(true)) => "(dry run: nothing was changed)".to_owned(),
        (_, Some(false)) => format!("(as before, rev {})", switch.revision.0),
        _ => format!("(rev {})", switch.revision.0),
    }
}
