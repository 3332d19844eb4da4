//! `weir healthcheck`: for a container's HEALTHCHECK, where there is no curl.

use std::time::Duration;

use clap::Args;
use hyper::Method;

use super::{
    Exit, Failure,
    client::{Call, Client, block_on},
};

/// Container engines wait 30 s by default; a process that needs as much as this is not well.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    /// The admin API
    #[arg(long, env = "WEIR_SERVER", default_value = "http://127.0.0.1:9900", value_name = "URL")]
    server: String,
    /// Ask whether new traffic should come (/readyz), not only whether the process answers (/livez)
    #[arg(long)]
    ready: bool,
}

// === impl Healthcheck ===

impl Healthcheck {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let client = Client::new(&self.server)?.with_timeout(TIMEOUT);
        let path = if self.ready { "/readyz" } else { "/livez" };
        // Container engines reserve every code but 0 and 1.
        let answer = block_on(client.exchange(Call::new(Method::GET, path)));
        let (status, body) = answer.map_err(|failure| Failure { exit: Exit::Error, ..failure })?;
        if status.is_success() {
            return Ok(Exit::Done);
        }
        let text = format!("{path} says {status}: {}", String::from_utf8_lossy(&body));
        Err(Failure::text(Exit::Error, text))
    }
}
