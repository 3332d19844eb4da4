//! `weir drain` and `weir undrain`: a backend takes no new users, on any route.

use clap::Args;
use hyper::Method;

use super::{
    Exit, Failure,
    change::{self, Conditional},
    client::segment,
    format::{Answer, Screen},
    output::{self, View},
    remote::Remote,
};
use crate::admin::api::types::history::DrainChanged;

const EXAMPLES: &str = "\
Who is on the backend already stays until the session ends; nobody new comes.

Examples:
  weir drain canary --reason 'new machines'
  weir drain canary --dry-run                  who would move?";

const UNDRAIN_EXAMPLES: &str = "\
Examples:
  weir undrain canary";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Drain {
    #[command(flatten)]
    of: OfBackend,
}

#[derive(Debug, Args)]
#[command(after_help = UNDRAIN_EXAMPLES)]
pub(super) struct Undrain {
    #[command(flatten)]
    of: OfBackend,
}

#[derive(Debug, Args)]
struct OfBackend {
    /// The backend
    backend: String,
    #[command(flatten)]
    conditional: Conditional,
    #[command(flatten)]
    remote: Remote,
}

// === impl Drain ===

impl Drain {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        self.of.send(Method::PUT)
    }
}

// === impl Undrain ===

impl Undrain {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        self.of.send(Method::DELETE)
    }
}

// === impl OfBackend ===

impl OfBackend {
    fn send(&self, method: Method) -> Result<Exit, Failure> {
        let path = format!("/v1/backends/{}/drain", segment(&self.backend));
        let changed: DrainChanged = self.remote.send(self.conditional.call(method, path, &[]))?;
        output::warn(&changed.outcome.warnings);
        self.remote.output.print(&changed)
    }
}

impl Answer for DrainChanged {
    fn screen(&self, _: &View) -> Screen {
        let state = if self.now.draining { "takes no new users" } else { "takes users" };
        Screen::of([format!("{}: {state}   ({})", self.now.backend, change::outcome(&self.outcome))])
    }

    fn names(&self) -> Vec<String> {
        vec![self.now.backend.to_string()]
    }
}
