//! `weir check`: whether a control file is good.

use std::{io::Read as _, path::PathBuf};

use clap::Args;

use super::{
    Exit, Failure,
    format::Format,
    output::{self, Look},
};
use crate::config::{self, Diagnostics};

const EXAMPLES: &str = "\
Examples:
  weir check weir.yaml
  weir check - < weir.yaml
  weir check weir.yaml --output sarif > weir.sarif";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// The control file; `-` reads standard input
    file: PathBuf,
    /// How to print what was found: with the lines of the file to standard error, or for programs to standard output
    #[arg(long, short, value_parser = Format::parser(Format::CHECK), default_value = "table")]
    output: Format,
}

// === impl Check ===

impl Check {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let checked = if self.file.as_os_str() == "-" {
            let mut bytes = Vec::new();
            let limit = config::MAX_FILE_BYTES as u64 + 1;
            std::io::stdin().take(limit).read_to_end(&mut bytes).map_err(anyhow::Error::from)?;
            config::parse_bytes(&bytes, "(standard input)")
        } else {
            config::load(&self.file)
        };
        let (exit, found) = match checked {
            Ok(loaded) => (Exit::Done, loaded.warnings),
            Err(errors) => (Exit::BadConfig, errors),
        };
        self.report(&found)?;
        if exit == Exit::Done && self.output == Format::Table {
            output::print(&format!("{} is good\n", self.file.display()))?;
        }
        Ok(exit)
    }

    fn report(&self, found: &Diagnostics) -> Result<(), Failure> {
        match self.output {
            Format::Table => {
                let look = Look::of_stderr();
                let text = found.render(config::Look { colour: look.colour, ascii: !look.unicode });
                if !text.is_empty() {
                    output::note(text.trim_end());
                }
                Ok(())
            }
            Format::Sarif => Ok(output::print_json(&found.to_sarif())?),
            format => format.print_document(&found.to_json()),
        }
    }
}
