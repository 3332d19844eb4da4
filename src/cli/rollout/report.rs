//! `weir rollout report`: everything that is known of a rollout.

use clap::Args;
use serde::Serialize;

use super::{
    super::{Exit, Failure, format::Format, remote::Remote},
    find, path,
};
use crate::admin::api::types::rollout::{Rollout, RolloutEntries, RolloutEntry};

const EXAMPLES: &str = "\
Examples:
  weir rollout report shop > report.json
  weir rollout report r-7f3a2c --output yaml
  weir rollout report shop | jq -r '.entries[] | .at + \" \" + .words'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Report {
    /// Its id, or a route
    id: String,
    #[command(flatten)]
    remote: Remote,
}

/// Everything that is known of a rollout.
#[derive(Debug, Serialize)]
struct Everything {
    rollout: Rollout,
    entries: Vec<RolloutEntry>,
}

// === impl Report ===

impl Report {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let everything = self.remote.run(async |client| {
            let rollout = find(client, Some(&self.id)).await?;
            let entries: RolloutEntries =
                client.get(&format!("{}/entries", path(&rollout.summary.id))).await?;
            Ok(Everything { rollout, entries: entries.entries })
        })?;
        // A report has no form for a terminal.
        let format = if self.remote.output == Format::Yaml { Format::Yaml } else { Format::Json };
        format.print_document(&everything)?;
        Ok(Exit::Done)
    }
}
