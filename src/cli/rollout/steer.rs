//! What people want of a rollout: `weir rollout pause` and the like.

use clap::Args;
use hyper::Method;

use super::{
    super::{
        Exit, Failure,
        change::{Change, Conditional},
        client::Call,
        output,
        remote::Remote,
    },
    find, path,
};
use crate::admin::api::types::rollout::SteeredRollout;

const EXAMPLES: &str = "\
Examples:
  weir rollout resume shop
  weir rollout approve shop --reason 'numbers are fine'
  weir rollout reject shop --reason 'not on a Friday'
  weir rollout retry r-7f3a2c
  weir rollout undo shop --reason 'support has calls'";

const NOW_EXAMPLES: &str = "\
It is done at once, whatever else has changed meanwhile.

Examples:
  weir rollout pause shop --reason 'looking at the logs'
  weir rollout abort shop --reason 'wrong build'";

const PROMOTE_EXAMPLES: &str = "\
Where somebody has to agree before the next step, it takes one of their roles.

Examples:
  weir rollout promote shop
  weir rollout promote shop --full --reason 'hotfix'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Steer {
    /// Its id, or a route
    id: String,
    #[command(flatten)]
    conditional: Conditional,
    #[command(flatten)]
    remote: Remote,
}

/// What does not wait until somebody has looked again.
#[derive(Debug, Args)]
#[command(after_help = NOW_EXAMPLES)]
pub(super) struct SteerNow {
    /// Its id, or a route
    id: String,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = PROMOTE_EXAMPLES)]
pub(super) struct Promote {
    /// Its id, or a route
    id: String,
    /// Give the canary everything
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    conditional: Conditional,
    #[command(flatten)]
    remote: Remote,
}

// === impl Steer ===

impl Steer {
    pub(super) fn run(&self, command: &str) -> Result<Exit, Failure> {
        send(&self.remote, &self.id, |path| {
            self.conditional.call(Method::POST, format!("{path}/{command}"), &[])
        })
    }
}

// === impl SteerNow ===

impl SteerNow {
    pub(super) fn run(self, command: &str) -> Result<Exit, Failure> {
        let conditional = Conditional { change: self.change, if_rev: None };
        send(&self.remote, &self.id, |path| conditional.call(Method::POST, format!("{path}/{command}"), &[]))
    }
}

// === impl Promote ===

impl Promote {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let full = if self.full { "?full=true" } else { "" };
        send(&self.remote, &self.id, |path| {
            self.conditional.call(Method::POST, format!("{path}/promote{full}"), &[])
        })
    }
}

fn send(remote: &Remote, id: &str, call: impl FnOnce(&str) -> Call) -> Result<Exit, Failure> {
    let steered: SteeredRollout = remote.run(async move |client| {
        let id = find(client, Some(id)).await?.summary.id;
        client.send(call(&path(&id))).await
    })?;
    output::warn(&steered.warnings);
    if steered.dry_run {
        output::note("weir: dry run, nothing was done");
    }
    remote.output.print(&steered.rollout)
}
