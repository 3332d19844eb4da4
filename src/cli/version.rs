//! `weir version`

use clap::Args;

use super::{Exit, Failure, output};

const EXAMPLES: &str = "\
Examples:
  weir version";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Version {}

// === impl Version ===

impl Version {
    #[allow(clippy::unused_self, reason = "every command is run in the same way")]
    pub(super) fn run(self) -> Result<Exit, Failure> {
        output::print(concat!("weir ", env!("CARGO_PKG_VERSION"), "\n"))?;
        Ok(Exit::Done)
    }
}
