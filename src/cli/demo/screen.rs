//! What the demo shows: a picture that is redrawn in place on a terminal, lines elsewhere.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use super::{
    Addresses,
    walk::{Outcome, StepOutcome, VersionOutcome},
};
use crate::{
    cli::{
        Format,
        output::{self, Look},
    },
    demo::Totals,
};

/// Characters of a bar; with it, a line stays below 80.
const BAR: usize = 16;

/// Draws.
pub(super) struct Screen {
    mode: Mode,
    look: Look,
    header: String,
    addresses: Addresses,
    /// Lines of the picture that is on the terminal.
    drawn: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Redraw in place.
    InPlace,
    /// Add a line for every step.
    Lines,
    /// Say nothing.
    Silent,
}

// === impl Screen ===

impl Screen {
    pub(super) fn new(format: Format, addresses: &Addresses, seed: u64) -> Self {
        let look = Look::of_stdout();
        let capable = std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
        let mode = match format {
            Format::Json => Mode::Silent,
            Format::Table if io::stdout().is_terminal() && capable => Mode::InPlace,
            Format::Table => Mode::Lines,
        };
        let Addresses { proxy, admin } = addresses;
        let title = look.bold("weir demo");
        let header =
            format!("{title}   proxy http://{proxy}   admin http://{admin}   seed {seed}   Ctrl-C stops\n");
        Self { mode, look, header, addresses: addresses.clone(), drawn: 0 }
    }

    pub(super) fn begin(&self) -> anyhow::Result<()> {
        if self.mode == Mode::Silent { Ok(()) } else { output::print(&self.header) }
    }

    /// What happens now: `current` is what the step has seen in the time it has been going on.
    pub(super) fn frame(
        &mut self,
        step: Option<usize>,
        steps: usize,
        (current, so_far): (&StepOutcome, Duration),
        totals: &Totals,
    ) -> anyhow::Result<()> {
        if self.mode != Mode::InPlace {
            return Ok(());
        }
        let number = step.map_or_else(|| "before".to_owned(), |step| format!("step {}/{steps}", step + 1));
        let good = totals.failed == 0 && totals.back == 0;
        let verdict = format!("{} failed, {} went back", totals.failed, totals.back);
        let mut lines = vec![format!(
            "{} {} {:>3} %   {number}   {} requests   {} {}",
            self.arrow(),
            self.bar(f64::from(current.percent) / 100.0),
            current.percent,
            output::count(as_f64(totals.requests)),
            self.look.mark(good),
            self.look.verdict(good, &verdict),
        )];
        lines.extend(current.versions.iter().map(|version| self.version(version, so_far)));
        self.redraw(&lines)
    }

    /// A step is over.
    pub(super) fn step_done(&mut self, index: usize, step: &StepOutcome) -> anyhow::Result<()> {
        if self.mode != Mode::Lines {
            return Ok(());
        }
        let versions = step.versions.iter().map(|version| {
            let latency = |seconds| output::or_dash(seconds, output::latency);
            format!(
                "{} {} ({} requests, p50 {}, p99 {})",
                version.name,
                output::percent(version.share),
                version.requests,
                latency(version.p50_seconds),
                latency(version.p99_seconds)
            )
        });
        let versions = versions.collect::<Vec<_>>().join("   ");
        let applied = output::latency(step.applied_seconds);
        output::print(&format!(
            "step {}   {:>3} %   in force after {applied}   {versions}\n",
            index + 1,
            step.percent
        ))
    }

    /// How it ended.
    pub(super) fn outcome(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        let slowest = outcome.steps.iter().map(|step| step.applied_seconds).fold(0.0, f64::max);
        let mut text = format!(
            "{} {} requests, {} failed   {} of {} users moved to v2, {} moved back   weights in force after {} at most\n",
            self.look.mark(outcome.ok),
            output::count(as_f64(outcome.requests)),
            outcome.failed,
            outcome.users_forward,
            outcome.users,
            outcome.users_back,
            output::latency(slowest),
        );
        for problem in &outcome.problems {
            text += &format!("  {}\n", self.look.verdict(false, problem));
        }
        output::print(&text)
    }

    /// What to try now.
    pub(super) fn invite(&self) -> anyhow::Result<()> {
        let Addresses { proxy, admin } = &self.addresses;
        let server = if admin.port() == 9900 { String::new() } else { format!(" --server http://{admin}") };
        output::print(&format!(
            "Still serving. Try, in another terminal:\n  curl -i http://{proxy}/ -H 'x-user-id: 42'\n  \
             weir explain demo -H 'x-user-id: 42'{server}\n  weir set-weight demo v2=20%{server}\n  weir status{server}\n"
        ))
    }

    fn version(&self, version: &VersionOutcome, so_far: Duration) -> String {
        let rate = as_f64(version.requests) / so_far.as_secs_f64().max(0.001);
        format!(
            "  {} {} {:>7}   {:>4}/s   p50 {:>6}   p99 {:>6}",
            version.name,
            self.bar(version.share),
            output::percent(version.share),
            output::count(rate),
            output::or_dash(version.p50_seconds, output::latency),
            output::or_dash(version.p99_seconds, output::latency),
        )
    }

    fn arrow(&self) -> &'static str {
        if self.look.unicode { "v1→v2" } else { "to v2" }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to BAR")]
    fn bar(&self, ratio: f64) -> String {
        let filled = (ratio.clamp(0.0, 1.0) * as_f64(BAR as u64)).round() as usize;
        let (full, empty) = if self.look.unicode { ("█", "░") } else { ("#", ".") };
        full.repeat(filled) + &empty.repeat(BAR - filled)
    }

    /// Draws over the picture before: up, and each line cleared to its end.
    fn redraw(&mut self, lines: &[String]) -> anyhow::Result<()> {
        let mut text = if self.drawn == 0 { String::new() } else { format!("\x1b[{}A", self.drawn) };
        for line in lines {
            text += &format!("\r{line}\x1b[K\n");
        }
        self.drawn = lines.len();
        output::print(&text)
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a demo")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
