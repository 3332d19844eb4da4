//! `weir check`: whether a control file is good.

use std::{io::Read as _, path::PathBuf};

use clap::{Args, ValueEnum};

use super::{
    Exit, Failure,
    output::{self, Look},
};
use crate::config::{self, Diagnostics};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The control file; `-` reads standard input
    file: PathBuf,
    /// How to print what was found
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With the lines of the file, to standard error
    Text,
    /// An array of objects, to standard output
    Json,
    /// For code scanning tools (SARIF 2.1.0), to standard output
    Sarif,
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
        if exit == Exit::Done && self.output == Format::Text {
            output::print(&format!("{} is good\n", self.file.display()))?;
        }
        Ok(exit)
    }

    fn report(&self, found: &Diagnostics) -> anyhow::Result<()> {
        match self.output {
            Format::Text => {
                let look = Look::of_stderr();
                let text = found.render(config::Look { colour: look.colour, ascii: !look.unicode });
                if !text.is_empty() {
                    output::note(text.trim_end());
                }
                Ok(())
            }
            Format::Json => output::print_json(&found.to_json()),
            Format::Sarif => output::print_json(&found.to_sarif()),
        }
    }
}
