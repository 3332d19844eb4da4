//! `weir completion`: what a shell needs to complete command lines.

use clap::Args;
use clap_complete::Shell;

use super::{Exit, Failure, help, output};

const EXAMPLES: &str = "\
Examples:
  weir completion bash > /etc/bash_completion.d/weir
  weir completion zsh > \"${fpath[1]}/_weir\"
  weir completion fish > ~/.config/fish/completions/weir.fish";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completion {
    /// The shell
    shell: Shell,
}

// === impl Completion ===

impl Completion {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        // The names of commands stand in the template, which the scripts have no use for.
        let mut command = help::command();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "weir", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
