//! `weir demo`: see [`crate::demo`].

use clap::Args;

use super::{Exit, Failure};

#[derive(Debug, Args)]
pub(super) struct Demo {}

impl Demo {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        Err(Failure::text(Exit::Error, "not yet"))
    }
}
