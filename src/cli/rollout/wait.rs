//! `weir rollout wait`: for pipelines.

use std::time::Duration;

use clap::{ArgAction, Args};
use tokio::time::Instant;

use super::{
    super::{Exit, Failure, client::Client, output, remote::Remote},
    find, path,
    screen::{self, progress},
};
use crate::{
    admin::api::types::rollout::{Phase, Rollout},
    types::clock,
};

const EXAMPLES: &str = "\
What happens meanwhile is told on standard error, the end on standard output. A server that goes away is waited for.

Examples:
  weir rollout wait shop --timeout 2h
  weir rollout wait r-7f3a2c --exit-on-approval=false";

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Wait {
    /// Its id, or a route
    id: String,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    remote: Remote,
}

/// How long a rollout is waited for.
#[derive(Debug, Clone, Args)]
pub(super) struct Patience {
    /// Give up after so long, such as 90s, 30m or 2h; exit code 5
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Whether to end with exit code 8 when somebody has to agree to the next step, instead of waiting for them
    #[arg(
        long, value_name = "BOOL", action = ArgAction::Set, default_value_t = true, num_args = 0..=1,
        require_equals = true, default_missing_value = "true"
    )]
    exit_on_approval: bool,
}

// === impl Wait ===

impl Wait {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let found = self.remote.run(async |client| find(client, Some(&self.id)).await)?;
        self.patience.wait(&self.remote, &found.summary.id)
    }
}

// === impl Patience ===

impl Patience {
    /// Waits for the end of a rollout, and prints it.
    pub(super) fn wait(&self, remote: &Remote, id: &str) -> Result<Exit, Failure> {
        let (exit, rollout) = remote.run(async |client| self.follow(client, id).await)?;
        remote.output.print(&rollout)?;
        if exit == Exit::AwaitsApproval {
            output::note(&format!("weir: `weir rollout approve {id}` lets it go on"));
        }
        Ok(exit)
    }

    async fn follow(&self, client: &Client, id: &str) -> Result<(Exit, Rollout), Failure> {
        let began = clock::now();
        let mut told = String::new();
        let mut gone = false;
        loop {
            match client.get::<Rollout>(&path(id)).await {
                Ok(rollout) => {
                    gone = false;
                    if let Some(exit) = self.exit(rollout.summary.phase) {
                        return Ok((exit, rollout));
                    }
                    let now = progress(&rollout.summary);
                    if now != told {
                        output::note(&format!("weir: {now}"));
                        told = now;
                    }
                }
                Err(failure) if failure.is_absence() => {
                    if !std::mem::replace(&mut gone, true) {
                        output::note(&format!("weir: {failure}\n  trying again"));
                    }
                }
                Err(failure) => return Err(failure),
            }
            self.check(id, began, &told)?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Fails when it has taken too long.
    fn check(&self, id: &str, began: Instant, told: &str) -> Result<(), Failure> {
        let Some(timeout) = self.timeout else { return Ok(()) };
        if clock::now().saturating_duration_since(began) < timeout {
            return Ok(());
        }
        let waited = screen::span(timeout.as_secs_f64());
        let last = if told.is_empty() { format!("rollout {id} was not seen") } else { told.to_owned() };
        let failure = Failure::text(Exit::Timeout, format!("not over after {waited}: {last}"));
        Err(failure.hint(format!("it goes on; `weir rollout wait {id}` waits again")))
    }

    /// How the command ends in this phase, where it does.
    fn exit(&self, phase: Phase) -> Option<Exit> {
        match phase {
            Phase::Promoted => Some(Exit::Done),
            Phase::RolledBack | Phase::Aborted | Phase::Superseded => Some(Exit::RolledBack),
            Phase::AwaitingApproval if self.exit_on_approval => Some(Exit::AwaitsApproval),
            _ => None,
        }
    }
}

/// A duration as the control file writes them.
fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("write a whole number and a unit: 90s, 30m, 2h".to_owned()),
    };
    let millis = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(millis));
    millis.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is no duration"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_have_exit_codes() {
        let patience = |exit_on_approval| Patience { timeout: None, exit_on_approval };
        for (phase, exit) in [
            (Phase::Promoted, Some(Exit::Done)),
            (Phase::RolledBack, Some(Exit::RolledBack)),
            (Phase::Aborted, Some(Exit::RolledBack)),
            (Phase::Superseded, Some(Exit::RolledBack)),
            (Phase::AwaitingApproval, Some(Exit::AwaitsApproval)),
            (Phase::Waiting, None),
            (Phase::Progressing, None),
            (Phase::Paused, None),
            (Phase::Baking, None),
            (Phase::RollingBack, None),
        ] {
            assert_eq!(patience(true).exit(phase), exit, "{phase:?}");
        }
        assert_eq!(patience(false).exit(Phase::AwaitingApproval), None);
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [
            ("500ms", Some(500)),
            ("90s", Some(90_000)),
            ("2h", Some(7_200_000)),
            ("5", None),
            ("m", None),
            ("-1s", None),
        ] {
            assert_eq!(duration(text).ok(), millis.map(Duration::from_millis), "{text}");
        }
    }
}
