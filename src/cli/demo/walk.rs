//! The walk: the weights of v2 go from 5 to 100 through the admin API, while users keep asking.

use std::time::Duration;

use hyper::Method;
use serde::Serialize;
use serde_json::json;

use super::screen::Screen;
use crate::{
    admin::api::types::Weights,
    cli::{
        Failure,
        client::{Call, Client},
    },
    demo::{Ledger, StepReport, Tally, Totals, Version},
    types::clock,
};

/// Percent for v2, step by step.
const PERCENTS: [u32; 4] = [5, 25, 50, 100];
/// Before the first step, so that most users have been seen on v1.
const BEFORE: Duration = Duration::from_secs(2);
/// Between two pictures.
const FRAME: Duration = Duration::from_millis(250);
/// How far a share may be from its weight, in standard deviations of a share of as many requests of as many users.
const TOLERANCE: f64 = 6.0;

/// What the walk needs.
pub(super) struct Walk<'a> {
    pub(super) client: &'a Client,
    pub(super) ledger: &'a Ledger,
    /// Whether to hurry.
    pub(super) short: bool,
    pub(super) seed: u64,
}

/// What came out, for the screen and for scripts. Ratios are 0 to 1, times are seconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Outcome {
    /// Whether everything was as it has to be.
    pub(super) ok: bool,
    /// What was not.
    pub(super) problems: Vec<String>,
    pub(super) seed: u64,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) users: usize,
    /// Users who went from v1 to v2.
    pub(super) users_forward: u64,
    /// Users who went from v2 to v1.
    pub(super) users_back: u64,
    pub(super) steps: Vec<StepOutcome>,
}

/// One step.
#[derive(Debug, Clone, Serialize)]
pub(super) struct StepOutcome {
    /// The weight of v2 out of 100.
    pub(super) percent: u32,
    /// From the request to the answer that the weight is in force.
    pub(super) applied_seconds: f64,
    /// The revision that it made.
    pub(super) revision: u64,
    /// v1, then v2.
    pub(super) versions: Vec<VersionOutcome>,
}

/// A version in a step.
#[derive(Debug, Clone, Serialize)]
pub(super) struct VersionOutcome {
    pub(super) name: &'static str,
    pub(super) requests: u64,
    pub(super) share: f64,
    pub(super) p50_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
}

// === impl Walk ===

impl Walk<'_> {
    pub(super) async fn run(self, screen: &mut Screen) -> Result<Outcome, Failure> {
        screen.begin()?;
        self.watch(screen, BEFORE, None).await?;
        let mut applied = Vec::new();
        for (index, percent) in PERCENTS.into_iter().enumerate() {
            let body = json!({
                "weights": {Version::V1.as_str(): 100 - percent, Version::V2.as_str(): percent},
                "reason": format!("demo, step {}", index + 1),
            });
            let asked = clock::now();
            let call = Call::new(Method::PUT, "/v1/routes/demo/weights").json(&body);
            let answer: Weights = self.client.send(call).await?;
            applied.push((percent, clock::now() - asked, answer.revision.0));
            self.ledger.begin_step();
            let hold = if self.short { Duration::from_millis(2500) } else { Duration::from_secs(5) };
            self.watch(screen, hold, Some(index)).await?;
            let (percent, time, revision) = applied[index];
            let report = self.ledger.report(index + 1);
            if let Some(report) = report {
                screen.step_done(index, &StepOutcome::new(percent, time, revision, &report))?;
            }
        }
        // Requests under way belong to the step in which they were sent.
        tokio::time::sleep(FRAME).await;
        let steps = applied.iter().enumerate().filter_map(|(index, (percent, time, revision))| {
            Some(StepOutcome::new(*percent, *time, *revision, &self.ledger.report(index + 1)?))
        });
        Ok(Outcome::new(self.seed, &self.ledger.totals(), steps.collect()))
    }

    /// Draws what happens in `step` for a while.
    async fn watch(&self, screen: &mut Screen, hold: Duration, step: Option<usize>) -> Result<(), Failure> {
        let start = clock::now();
        while clock::now() - start < hold {
            tokio::time::sleep(FRAME).await;
            let percent = step.map_or(0, |step| PERCENTS[step]);
            let report = self.ledger.report(step.map_or(0, |step| step + 1));
            let Some(report) = report else { continue };
            let current = StepOutcome::new(percent, Duration::ZERO, 0, &report);
            screen.frame(step, PERCENTS.len(), (&current, clock::now() - start), &self.ledger.totals())?;
        }
        Ok(())
    }
}

// === impl StepOutcome ===

impl StepOutcome {
    fn new(percent: u32, applied: Duration, revision: u64, report: &StepReport) -> Self {
        let versions = Version::ALL.into_iter().zip(&report.versions);
        let versions = versions.map(|(version, tally)| VersionOutcome::new(version, tally, report)).collect();
        Self { percent, applied_seconds: applied.as_secs_f64(), revision, versions }
    }

    /// Why this is not what the weight asks for.
    #[allow(clippy::cast_precision_loss, reason = "counts of a demo")]
    fn problem(&self, users: usize) -> Option<String> {
        let [old, new] = self.versions.as_slice() else { return None };
        let requests = (old.requests + new.requests) as f64;
        let wanted = f64::from(self.percent) / 100.0;
        if requests == 0.0 {
            return Some(format!("at {} % nobody asked", self.percent));
        }
        // A user is on one side with all requests, so there are two draws: of users, and of requests among them.
        let deviation = (wanted * (1.0 - wanted) * (1.0 / requests + 1.0 / users.max(1) as f64)).sqrt();
        let off = (new.share - wanted).abs();
        (off > TOLERANCE * deviation).then(|| {
            format!("at {} % v2 got {:.1} % of {requests} requests", self.percent, new.share * 100.0)
        })
    }
}

// === impl VersionOutcome ===

impl VersionOutcome {
    fn new(version: Version, tally: &Tally, report: &StepReport) -> Self {
        let quantile = |q: f64| tally.latency.quantile(q).map(|latency| latency.as_secs_f64());
        Self {
            name: version.as_str(),
            requests: tally.requests,
            share: report.share(version),
            p50_seconds: quantile(0.5),
            p99_seconds: quantile(0.99),
        }
    }
}

// === impl Outcome ===

impl Outcome {
    fn new(seed: u64, totals: &Totals, steps: Vec<StepOutcome>) -> Self {
        let mut problems: Vec<String> = steps.iter().filter_map(|step| step.problem(totals.users)).collect();
        if totals.failed > 0 {
            let first = totals.failures.join("; ");
            problems.push(format!("{} of {} requests failed: {first}", totals.failed, totals.requests));
        }
        if totals.back > 0 {
            problems.push(format!("{} users went back from v2 to v1", totals.back));
        }
        Self {
            ok: problems.is_empty(),
            problems,
            seed,
            requests: totals.requests,
            failed: totals.failed,
            users: totals.users,
            users_forward: totals.forward,
            users_back: totals.back,
            steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(percent: u32, old: u64, new: u64) -> StepOutcome {
        let version = |name, requests: u64| {
            let share =
                f64::from(u32::try_from(requests).unwrap()) / f64::from(u32::try_from(old + new).unwrap());
            VersionOutcome { name, requests, share, p50_seconds: None, p99_seconds: None }
        };
        let versions = vec![version("v1", old), version("v2", new)];
        StepOutcome { percent, applied_seconds: 0.0, revision: 1, versions }
    }

    #[test]
    fn shares_failures_and_moves_are_judged() {
        let good = Totals { requests: 100, users: 800, forward: 9, ..Totals::default() };
        for (totals, steps, expected) in [
            (good.clone(), vec![step(5, 470, 30), step(100, 0, 500)], ""),
            (good.clone(), vec![step(100, 1, 499)], "at 100 % v2 got 99.8 % of 500 requests"),
            (good.clone(), vec![step(25, 480, 20)], "at 25 % v2 got 4.0 % of 500 requests"),
            (Totals { back: 2, ..good.clone() }, vec![], "2 users went back from v2 to v1"),
            (
                Totals { failed: 1, failures: vec!["status 502".to_owned()], ..good },
                vec![],
                "1 of 100 requests failed: status 502",
            ),
        ] {
            let outcome = Outcome::new(1, &totals, steps);
            assert_eq!(outcome.problems.join("; "), expected);
            assert_eq!(outcome.ok, expected.is_empty());
        }
    }
}
