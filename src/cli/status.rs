//! `weir status`: the picture that an operator looks at first.

use std::time::Duration;

use clap::Args;

use super::{
    Exit, Failure, backends,
    format::{Answer, Screen},
    output::{self, View},
    remote::Remote,
    routes,
    watch::Watch,
};
use crate::admin::api::types;

const EXAMPLES: &str = "\
Examples:
  weir status
  weir status --watch
  weir status --output json | jq .revision";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Status {
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    remote: Remote,
}

// === impl Status ===

impl Status {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        self.watch.show::<types::Status>(&self.remote, "/v1/status")
    }
}

impl Answer for types::Status {
    fn screen(&self, view: &View) -> Screen {
        let drift = self.file.drift.iter().map(|drift| {
            let what = drift.backend.as_ref().map_or_else(String::new, |backend| format!(" {backend}"));
            format!("drift: {}{what}: file {}, running {}", drift.route, drift.file, drift.running)
        });
        let mut tail: Vec<String> = drift.collect();
        tail.extend(backends::conditions(&self.backends));
        let warnings = self.readiness.reasons.iter().chain(&self.readiness.warnings);
        tail.extend(warnings.map(|warning| format!("warning: {}", output::clean(warning))));
        Screen::of([banner(self, view)]).table(routes::table(&self.routes, view)).tail(tail)
    }

    fn names(&self) -> Vec<String> {
        routes::names(&self.routes)
    }
}

/// What runs, since when, and who changed it last.
fn banner(status: &types::Status, view: &View) -> String {
    let uptime = output::age(Duration::try_from_secs_f64(status.uptime_seconds).unwrap_or_default());
    let origin = &status.changed.origin;
    let ago = output::or_dash(since(&status.changed.at, view.now), |age| format!("{} ago", output::age(age)));
    let file = if !status.last_reload.ok {
        view.look.verdict(false, "REFUSED, the last good one runs")
    } else if status.file.drifted {
        view.look.bold(&format!("DRIFTED (rev {}, `weir diff`)", status.file.revision.0))
    } else {
        "in force".to_owned()
    };
    format!(
        "weir {} up {uptime}  rev {} ({}, {}, {ago})  file: {file}",
        status.version,
        status.revision.0,
        origin.channel.as_str(),
        output::clean(&origin.actor),
    )
}

/// The time since `at`, an RFC 3339 text.
fn since(at: &str, now: Duration) -> Option<Duration> {
    let at: jiff::Timestamp = at.parse().ok()?;
    let at = Duration::from_millis(u64::try_from(at.as_millisecond()).ok()?);
    Some(now.saturating_sub(at))
}
