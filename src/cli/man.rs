//! `weir man`: the manual pages.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_mangen::Man as Page;

use super::{Exit, Failure, help, output};

const EXAMPLES: &str = "\
Examples:
  weir man | man -l -
  weir man --dir /usr/local/share/man/man1";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Man {
    /// Write a page for every command into this directory, instead of the first page to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

// === impl Man ===

impl Man {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut command = help::command();
        command.build();
        let Some(dir) = self.dir else {
            output::print(&String::from_utf8_lossy(&page(command)?))?;
            return Ok(Exit::Done);
        };
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mut pages = Vec::new();
        collect(&command, "weir", &mut pages);
        for (name, command) in pages {
            let path = dir.join(format!("{name}.1"));
            fs::write(&path, page(command)?).with_context(|| format!("cannot write {}", path.display()))?;
            output::print(&format!("{}\n", path.display()))?;
        }
        Ok(Exit::Done)
    }
}

/// Every command with the name of its page: `weir`, `weir-status`, `weir-revisions-list`.
fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Command)>) {
    pages.push((name.to_owned(), command.clone()));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}

fn page(command: Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    Page::new(command).render(&mut page).context("cannot write the page")?;
    Ok(page)
}
