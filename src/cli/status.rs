//! `weir status`: the picture that an operator looks at first.

use std::time::Duration;

use clap::Args;

use super::{
    Exit, Failure, Format, Remote, backends,
    client::block_on,
    output::{self, Look},
    routes,
};
use crate::{admin::api::types, types::clock};

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    remote: Remote,
}

// === impl Status ===

impl Status {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let client = self.remote.client()?;
        let status: types::Status = block_on(client.get("/v1/status"))?;
        if self.remote.output == Format::Json {
            output::print_json(&status)?;
            return Ok(Exit::Done);
        }
        let look = Look::of_stdout();
        output::print(&render(&status, clock::unix_now(), look))?;
        for warning in status.readiness.reasons.iter().chain(&status.readiness.warnings) {
            output::note(&format!("warning: {warning}"));
        }
        Ok(Exit::Done)
    }
}

/// The screen, at `now` since the Unix epoch.
pub(super) fn render(status: &types::Status, now: Duration, look: Look) -> String {
    let uptime = output::age(Duration::try_from_secs_f64(status.uptime_seconds).unwrap_or_default());
    let origin = &status.changed.origin;
    let ago = output::or_dash(since(&status.changed.at, now), |age| format!("{} ago", output::age(age)));
    let file = if !status.last_reload.ok {
        look.verdict(false, "REFUSED, the last good one runs")
    } else if status.file.drifted {
        look.bold(&format!("DRIFTED (rev {})", status.file.revision.0))
    } else {
        "in force".to_owned()
    };
    let mut text = format!(
        "weir {} up {uptime}  rev {} ({}, {}, {ago})  file: {file}\n",
        status.version,
        status.revision.0,
        origin.channel.as_str(),
        origin.actor,
    );
    text += &routes::table(&status.routes).render(look);
    for drift in &status.file.drift {
        let what = drift.backend.as_ref().map_or_else(String::new, |backend| format!(" {backend}"));
        text += &format!("drift: {}{what}: file {}, running {}\n", drift.route, drift.file, drift.running);
    }
    text + &backends::conditions(&status.backends)
}

/// The time since `at`, an RFC 3339 text.
fn since(at: &str, now: Duration) -> Option<Duration> {
    let at: jiff::Timestamp = at.parse().ok()?;
    let at = Duration::from_millis(u64::try_from(at.as_millisecond()).ok()?);
    Some(now.saturating_sub(at))
}
