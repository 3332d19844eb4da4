//! `weir overlay`: what was set on top of the control file, and giving the file its say again.

use clap::{Args, Subcommand};
use hyper::Method;

use super::{
    Exit, Failure,
    change::{self, Conditional},
    client::segment,
    format::{Answer, Screen},
    output::{self, View},
    remote::Remote,
};
use crate::admin::api::types::history::{OverlayDropped, RouteOverlay};

const EXAMPLES: &str = "\
Examples:
  weir overlay show shop
  weir overlay drop shop --dry-run             who would move?
  weir overlay drop shop";

const SHOW_EXAMPLES: &str = "\
Examples:
  weir overlay show shop";

const DROP_EXAMPLES: &str = "\
A kill switch stays on: `weir unkill` turns it off.

Examples:
  weir overlay drop shop --dry-run             who would move?
  weir overlay drop shop --reason 'the file is right again'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Overlay {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what was set on top of the control file for a route
    Show(Show),
    /// Give the control file its say again: its weights hold, and no user has an override
    Drop(Drop),
}

#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
struct Show {
    /// The route
    route: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = DROP_EXAMPLES)]
struct Drop {
    /// The route
    route: String,
    #[command(flatten)]
    conditional: Conditional,
    #[command(flatten)]
    remote: Remote,
}

// === impl Overlay ===

impl Overlay {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Show(show) => show.remote.show::<RouteOverlay>(&path(&show.route)),
            Command::Drop(drop) => {
                let call = drop.conditional.call(Method::DELETE, path(&drop.route), &[]);
                let dropped: OverlayDropped = drop.remote.send(call)?;
                output::warn(&dropped.outcome.warnings);
                drop.remote.output.print(&dropped)
            }
        }
    }
}

fn path(route: &str) -> String {
    format!("/v1/routes/{}/overlay", segment(route))
}

impl Answer for RouteOverlay {
    fn screen(&self, _: &View) -> Screen {
        let mut lines = Vec::new();
        for (backend, weight) in self.weights.as_object().into_iter().flatten() {
            lines.push(format!("weight    {backend} {weight}"));
        }
        lines.extend(self.kill_switch.iter().map(|backend| format!("kill      everything to {backend}")));
        let overrides = self.overrides.iter();
        lines.extend(
            overrides.map(|(key, backend)| format!("override  {} gets {backend}", output::clean(key))),
        );
        if lines.is_empty() {
            lines.push("nothing: the control file has its say".to_owned());
        }
        lines.insert(0, format!("{}   rev {}", output::clean(&self.route), self.revision.0));
        Screen::of(lines)
    }

    fn names(&self) -> Vec<String> {
        vec![self.route.clone()]
    }
}

impl Answer for OverlayDropped {
    fn screen(&self, _: &View) -> Screen {
        let route = output::clean(&self.route);
        Screen::of([format!("{route}: the control file has its say   ({})", change::outcome(&self.outcome))])
    }

    fn names(&self) -> Vec<String> {
        vec![self.route.clone()]
    }
}
