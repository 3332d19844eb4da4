//! The walk: weight after weight, each asked for over the admin API, waited for, held and measured.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::MissedTickBehavior};

use super::{
    DemoError, Options,
    admin::Admin,
    frame,
    load::Load,
    probe::{Probed, probe, probe_user},
    report::{Report, StepReport, Totals},
    screen::Screen,
    stats::{self, LoadStats},
};
use crate::types::clock;

/// The weights of v2, out of 100.
const WEIGHTS: [u32; 4] = [5, 25, 50, 100];
/// Between two drawings of the live block.
const FRAME: Duration = Duration::from_millis(100);
/// Between two looks whether the last requests of a step have ended.
const SETTLE: Duration = Duration::from_millis(2);
/// What the live block shows after the walk: the last second.
const SERVING_FRAME: Duration = Duration::from_secs(1);

/// What a walk needs.
pub(super) struct Walk<'a, 'o> {
    pub(super) options: &'a Options,
    pub(super) proxy: SocketAddr,
    pub(super) admin: &'a mut Admin,
    pub(super) load: &'a Load,
    pub(super) screen: &'a mut Screen<'o>,
}

/// Counts for a load that is walked over: before, then changing to and holding each weight, then after.
pub(super) fn walk_stats() -> LoadStats {
    LoadStats::new(1 + 2 * WEIGHTS.len() + 1)
}

// === impl Walk ===

impl Walk<'_, '_> {
    /// Walks all weights; returns what was proved.
    ///
    /// # Errors
    /// When the admin API refuses a weight, or nobody reads the output.
    pub(super) async fn run(&mut self) -> Result<Report, DemoError> {
        let mut totals = Totals::default();
        let mut steps = Vec::new();
        let mut from = 0;
        for (index, to) in WEIGHTS.into_iter().enumerate() {
            let title = frame::title(self.screen.style(), index + 1, WEIGHTS.len(), to);
            let in_force = self.change(from, to, &mut totals).await?;
            let step = self.hold(&title, to, in_force).await?;
            self.screen.line(&frame::step(self.screen.style(), &title, &step)).map_err(DemoError::Output)?;
            steps.push(step);
            from = to;
        }
        let stats = self.load.stats();
        let load = stats.total();
        totals.requests += load.all_requests();
        totals.failed += load.all_failed();
        totals.users_moved = stats.moved();
        totals.switched_back = stats.switched_back();
        totals.reasons = stats.reasons();
        Ok(Report::new(self.options.seed, steps, totals))
    }

    /// Asks for a weight; returns how long it took to be in force, in milliseconds.
    async fn change(&mut self, from: u32, to: u32, totals: &mut Totals) -> Result<Option<f64>, DemoError> {
        if from == 0 {
            // Later changes begin with the end of the hold before.
            self.load.stats().next_phase();
        }
        let (armed, is_armed) = oneshot::channel();
        let stats = Arc::clone(self.load.stats());
        let probing = self.load.background().spawn(probe(self.proxy, probe_user(from, to), stats, armed));
        // An end without a word means that the probe is over, with whatever it found.
        let _ = is_armed.await;
        let asked = clock::now();
        self.admin.set_weight(to).await?;
        let Probed { moved_at, premature, requests, failed } =
            probing.await.map_err(|error| DemoError::Thread(io::Error::other(error)))?;
        totals.requests += requests;
        totals.failed += failed;
        totals.premature += u64::from(premature);
        Ok(moved_at.map(|at| stats::millis(at.saturating_duration_since(asked))))
    }

    /// Holds a weight that is in force, and shows what it does.
    async fn hold(
        &mut self,
        title: &str,
        weight: u32,
        in_force: Option<f64>,
    ) -> Result<StepReport, DemoError> {
        let stats = self.load.stats();
        let phase = stats.next_phase();
        let start = clock::now();
        let end = start + self.options.hold;
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let held = tokio::time::sleep_until(end);
        tokio::pin!(held);
        loop {
            tokio::select! {
                () = &mut held => break,
                now = frames.tick() => {
                    let left = end.saturating_duration_since(now).as_secs_f64();
                    let title = format!("{title}  {left:.1} s left");
                    let block = frame::live(self.screen.style(), &title, f64::from(weight) / 100.0, &stats.tally(phase));
                    self.screen.live(&block).map_err(DemoError::Output)?;
                }
            }
        }
        let seconds = (clock::now() - start).as_secs_f64();
        stats.next_phase();
        // Each request has a time limit, so this ends.
        while !(0..=phase).all(|phase| stats.settled(phase)) {
            tokio::time::sleep(SETTLE).await;
        }
        Ok(StepReport::new(weight, seconds, in_force, &stats.tally(phase)))
    }

    /// Shows the last second, over and over; ends with an error only.
    pub(super) async fn serve(&mut self) -> DemoError {
        let stats = self.load.stats();
        let mut before = stats.total();
        let mut frames = tokio::time::interval_at(clock::now() + SERVING_FRAME, SERVING_FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            frames.tick().await;
            let total = stats.total();
            let last = total.since(&before);
            before = total;
            // The weight may be anybody's by now: it is asked for. A miss shows again in a second.
            let Ok(target) = self.admin.share().await else { continue };
            let title = "serving: the last second";
            let block = frame::live(self.screen.style(), title, target, &last);
            if let Err(error) = self.screen.live(&block) {
                return DemoError::Output(error);
            }
        }
    }
}
