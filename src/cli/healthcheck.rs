//! `weir healthcheck`: for a container's HEALTHCHECK, where there is no curl.

use std::time::Duration;

use clap::Args;
use hyper::Method;

use super::{
    Exit, Failure,
    client::{Call, block_on},
    remote::At,
};

/// Container engines wait 30 s by default; a process that needs as much as this is not well.
const TIMEOUT: Duration = Duration::from_secs(3);

const EXAMPLES: &str = "\
Container engines know two exit codes, 0 and 1; so does this command.

Examples:
  weir healthcheck
  weir healthcheck --ready";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    at: At,
    /// Ask whether new traffic should come (/readyz), not only whether the process answers (/livez)
    #[arg(long)]
    ready: bool,
}

// === impl Healthcheck ===

impl Healthcheck {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let client = self.at.client()?.with_timeout(TIMEOUT);
        let path = if self.ready { "/readyz" } else { "/livez" };
        // Container engines reserve every code but 0 and 1.
        let answer = self.at.hinted(block_on(client.exchange(Call::new(Method::GET, path))));
        let (status, body) = answer.map_err(|failure| failure.with_exit(Exit::Error))?;
        if status.is_success() {
            return Ok(Exit::Done);
        }
        let text = format!("{path} says {status}: {}", String::from_utf8_lossy(&body));
        Err(Failure::text(Exit::Error, text))
    }
}
