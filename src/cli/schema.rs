//! `weir schema`: the JSON schema of control files, for editors.

use clap::Args;

use super::{Exit, Failure, output};
use crate::config;

const EXAMPLES: &str = "\
Examples:
  weir schema > weir.schema.json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Schema {}

// === impl Schema ===

impl Schema {
    #[allow(clippy::unused_self, reason = "every command is run in the same way")]
    pub(super) fn run(self) -> Result<Exit, Failure> {
        output::print_json(&config::schema())?;
        Ok(Exit::Done)
    }
}
