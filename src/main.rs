//! The `weir` binary: parses the command line, prints what went wrong, and exits with its code.

use std::process::ExitCode;

use clap::Parser as _;
use weir::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("weir: {failure}");
            failure.exit.into()
        }
    }
}
