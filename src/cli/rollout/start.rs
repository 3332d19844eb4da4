//! `weir rollout start`.

use std::{
    fs,
    io::{self, Read as _},
};

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value};

use super::{
    super::{
        Exit, Failure,
        change::Conditional,
        client::Call,
        format::{Answer, Screen, yaml},
        output::{self, View},
        remote::Remote,
    },
    wait::Patience,
};
use crate::admin::api::types::rollout::{PlannedRollout, SteeredRollout};

const EXAMPLES: &str = "\
Without --plan it is the plan that the route has in the control file.

Examples:
  weir rollout start shop --version v1.9.0
  weir rollout start shop --plan plan.yaml --dry-run     the plan with every default, and what is odd about it
  weir rollout start shop --version v1.9.0 --wait --timeout 2h
  weir rollout start shop cart --plan - < plan.yaml      two routes that move in step";

/// The largest plan, in bytes; the API takes no larger body.
const PLAN_LIMIT: u64 = 256 << 10;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Start {
    /// The route; several move in step
    #[arg(required = true, value_name = "ROUTE")]
    routes: Vec<String>,
    /// A file with the plan, as YAML or JSON with the keys of `rollout` in the control file; - is standard input
    #[arg(long, value_name = "FILE")]
    plan: Option<String>,
    /// What the canary runs
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,
    /// End rollouts that are under way on the routes, and take their place
    #[arg(long)]
    supersede: bool,
    /// Wait for its end; exit code 0 promoted, 3 rolled back or aborted, 8 waits for approval
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    conditional: Conditional,
    #[command(flatten)]
    remote: Remote,
}

// === impl Start ===

impl Start {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let call = self.call()?;
        if self.conditional.change.dry_run {
            let planned: PlannedRollout = self.remote.send(call)?;
            output::warn(&planned.warnings);
            return self.remote.output.print(&planned);
        }
        let started: SteeredRollout = self.remote.send(call)?;
        output::warn(&started.warnings);
        if !self.wait {
            return self.remote.output.print(&started.rollout);
        }
        output::note(&format!("weir: rollout {} has begun", started.rollout.summary.id));
        self.patience.wait(&self.remote, &started.rollout.summary.id)
    }

    fn call(&self) -> Result<Call, Failure> {
        let mut body = Map::new();
        match self.routes.as_slice() {
            [route] => body.insert("route".to_owned(), route.as_str().into()),
            routes => body.insert("routes".to_owned(), routes.to_vec().into()),
        };
        if let Some(file) = &self.plan {
            body.insert("plan".to_owned(), read(file)?.into());
        }
        for (member, text) in [("version", &self.version), ("reason", &self.conditional.change.reason)] {
            if let Some(text) = text {
                body.insert(member.to_owned(), text.as_str().into());
            }
        }
        if self.supersede {
            body.insert("supersede".to_owned(), Value::Bool(true));
        }
        let call = Call::new(Method::POST, "/v1/rollouts").json(&body);
        Ok(call.dry_run(self.conditional.change.dry_run).expecting(self.conditional.if_rev))
    }
}

fn read(file: &str) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::text(Exit::Usage, format!("--plan {file}: {error}"));
    let mut text = String::new();
    if file == "-" {
        io::stdin().take(PLAN_LIMIT).read_to_string(&mut text).map_err(failed)?;
    } else {
        fs::File::open(file).map_err(failed)?.take(PLAN_LIMIT).read_to_string(&mut text).map_err(failed)?;
    }
    Ok(text)
}

impl Answer for PlannedRollout {
    fn screen(&self, _: &View) -> Screen {
        let routes: Vec<&str> = self.routes.iter().map(|route| route.as_str()).collect();
        let head =
            format!("{}: dry run, nothing was started. The plan with every default:", routes.join(", "));
        let plan = yaml(&self.plan).unwrap_or_default();
        Screen::of([head]).tail(plan.lines().map(|line| format!("  {}", output::clean(line))).collect())
    }

    fn names(&self) -> Vec<String> {
        self.routes.iter().map(ToString::to_string).collect()
    }
}
