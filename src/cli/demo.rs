//! `weir demo`: see [`crate::demo`].

use std::{
    env,
    io::{self, IsTerminal as _, Write},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;

use super::{Exit, Failure, format::Format, output::Look};
use crate::demo::{self, DemoError, Options, Output, Style};

/// How long each weight is held.
const HOLD: Duration = Duration::from_secs(4);
/// The same with `--exit`: for a smoke test, which should not take longer than it must.
const HOLD_EXIT: Duration = Duration::from_secs(3);

const EXAMPLES: &str = "\
Examples:
  weir demo                                        two versions, users, a walk from 5 to 100 %; then it keeps serving
  weir demo --exit --seed 1 --output json          a smoke test of twelve seconds: exit code 1 unless all went well";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Demo {
    /// End after the walk: exit code 0 when no request failed and everything held, else 1
    #[arg(long)]
    exit: bool,
    /// What load and latencies are drawn from
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// The proxy's port; the next free one when it is taken
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    proxy_port: u16,
    /// The admin API's port; the next free one when it is taken
    #[arg(long, default_value_t = 9900, value_name = "PORT")]
    admin_port: u16,
    /// How to print the report; with json, progress goes to standard error
    #[arg(long, short, value_parser = Format::parser(&[Format::Table, Format::Json]), default_value = "table")]
    output: Format,
}

// === impl Demo ===

impl Demo {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start the control runtime")?;
        let options = Options {
            seed: self.seed,
            exit: self.exit,
            hold: if self.exit { HOLD_EXIT } else { HOLD },
            proxy_port: self.proxy_port,
            admin_port: self.admin_port,
            program: program(env::args().next().unwrap_or_default(), &env::current_dir().unwrap_or_default()),
        };
        let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
        let output = match self.output {
            Format::Table => {
                let style = style(Look::of_stdout(), stdout.is_terminal());
                Output { text: &mut stdout, style, json: None }
            }
            _ => {
                let style = style(Look::of_stderr(), stderr.is_terminal());
                let json: &mut (dyn Write + Send) = &mut stdout;
                Output { text: &mut stderr, style, json: Some(json) }
            }
        };
        match runtime.block_on(demo::run(&options, output)) {
            Ok(report) if report.ok => Ok(Exit::Done),
            Ok(_) => Err(Failure::text(Exit::Error, "the demo did not go as it should")),
            Err(DemoError::Start(error)) => Err(super::run::start_failure(error)),
            Err(error) => Err(Failure::new(Exit::Error, error)),
        }
    }
}

/// What a stream can show.
fn style(look: Look, terminal: bool) -> Style {
    let dumb = env::var("TERM").is_ok_and(|term| term == "dumb" || term.is_empty());
    Style { redraw: terminal && !dumb, colour: look.colour, unicode: look.unicode && !dumb }
}

/// How to call this binary again: as it was called, and without the way to where the user is already.
fn program(called: String, here: &Path) -> String {
    match Path::new(&called).strip_prefix(here) {
        Ok(below) if !here.as_os_str().is_empty() => below.display().to_string(),
        _ if called.is_empty() => "weir".to_owned(),
        _ => called,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_called_as_it_was() {
        for (called, here, expected) in [
            ("weir", "/srv/me", "weir"),
            ("target/demo/weir", "/srv/me/weir", "target/demo/weir"),
            ("/srv/me/weir/target/demo/weir", "/srv/me/weir", "target/demo/weir"),
            ("/usr/bin/weir", "/srv/me", "/usr/bin/weir"),
            ("", "/srv/me", "weir"),
        ] {
            assert_eq!(program(called.to_owned(), Path::new(here)), expected);
        }
    }
}
