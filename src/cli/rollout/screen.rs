//! A rollout as people read it: who and what, why, and the steps.

use std::time::Duration;

use unicode_width::UnicodeWidthStr as _;

use super::{
    super::{
        change,
        format::{Answer, Screen},
        output::{self, Look, View},
        table::{Cell, Column, Table},
    },
    live,
};
use crate::{
    admin::api::types::rollout::{
        Phase, Rollout, RolloutStep, RolloutSummary, Rollouts, StepStatus, Verdict,
    },
    types::Name,
};

const COLUMNS: [Column; 9] = [
    Column::left("ID"),
    Column::left("ROUTES").shrinks(),
    Column::left("VERSION").rank(2).shrinks(),
    Column::left("PHASE"),
    Column::right("STEP"),
    Column::right("SHARE").rank(1),
    Column::left("BEGAN").rank(3),
    Column::left("BY").rank(4).shrinks(),
    Column::left("REASON").rank(5).shrinks(),
];

impl Answer for Rollouts {
    fn screen(&self, view: &View) -> Screen {
        let mut table = Table::new(&COLUMNS);
        for rollout in &self.rollouts {
            let phase = format!("{} {}", mark(view.look, rollout.phase), words(rollout.phase));
            table.row([
                rollout.id.as_str().into(),
                names(&rollout.routes).into(),
                rollout.version.as_deref().unwrap_or("-").into(),
                tone(rollout.phase)
                    .map_or_else(|| phase.as_str().into(), |good| Cell::verdict(good, phase.as_str())),
                format!("{}/{}", rollout.step, rollout.step_count).into(),
                output::percent(rollout.share).into(),
                change::time(&rollout.began_at).into(),
                rollout.by.as_str().into(),
                rollout
                    .reason
                    .as_ref()
                    .map_or_else(String::new, |reason| plain(&reason.words, view.look))
                    .into(),
            ]);
        }
        let problems = self.problems.iter().map(|problem| format!("problem: {}", output::clean(problem)));
        Screen::default().table(table).tail(problems.collect())
    }

    fn names(&self) -> Vec<String> {
        self.rollouts.iter().map(|rollout| rollout.id.clone()).collect()
    }
}

impl Answer for Rollout {
    fn screen(&self, view: &View) -> Screen {
        let mut head = vec![title(self, view.look)];
        head.extend(notes(self, view.look));
        head.extend(tree(self, view));
        let screen = Screen::of(head);
        if self.live.is_empty() { screen } else { screen.table(live::table(&self.live, view)) }
    }

    fn names(&self) -> Vec<String> {
        vec![self.summary.id.clone()]
    }
}

/// Where a rollout is, in one line: `rollout r-7f3a2c is progressing, step 2 of 5`.
pub(super) fn progress(rollout: &RolloutSummary) -> String {
    let mut text = format!("rollout {} is {}", rollout.id, words(rollout.phase));
    if rollout.step > 0 {
        text += &format!(
            ", step {} of {}, {} to the canary",
            rollout.step,
            rollout.step_count,
            output::percent(rollout.share)
        );
    }
    match &rollout.reason {
        Some(reason) if rollout.phase != Phase::Progressing => text + ": " + &output::clean(&reason.words),
        _ => text,
    }
}

/// A rollout in a table of routes: `◑ r-7f3a2c 1/5, 2m14s left`.
pub(in crate::cli) fn short(rollout: &crate::admin::api::types::rollout::RouteRollout, look: Look) -> String {
    let (mark, id) = (mark(look, rollout.phase), &rollout.id);
    let place = format!("{mark} {id} {}/{}", rollout.step, rollout.step_count);
    match (rollout.phase, rollout.seconds_left) {
        (_, Some(left)) => format!("{place}, {} left", span(left)),
        (Phase::Progressing, None) => place,
        (phase, None) => format!("{place}, {}", words(phase)),
    }
}

/// A time in the unit that fits.
pub(super) fn span(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(short) if short < Duration::from_secs(1) => format!("{}ms", short.as_millis()),
        Ok(long) => output::age(long),
        Err(_) => "-".to_owned(),
    }
}

/// The same without what is nothing: `2m`, `1h`.
fn rounded(seconds: f64) -> String {
    let text = span(seconds);
    let text = text.strip_suffix("m00s").map(|minutes| format!("{minutes}m")).unwrap_or(text);
    text.strip_suffix("h00m").map(|hours| format!("{hours}h")).unwrap_or(text)
}

/// Who, what, from where to where.
fn title(rollout: &Rollout, look: Look) -> String {
    let summary = &rollout.summary;
    let phase = format!("{} {}", mark(look, summary.phase), words(summary.phase));
    let how = match &rollout.ending {
        Some(ending) if ending.by.is_none() && !summary.active => " (automatic)",
        _ => "",
    };
    let phase = match tone(summary.phase) {
        Some(good) => look.verdict(good, &format!("{phase}{how}")),
        None => look.bold(&phase),
    };
    let version =
        summary.version.as_ref().map(|version| format!(" {}", output::clean(version))).unwrap_or_default();
    let again = if rollout.attempt > 1 { format!("   attempt {}", rollout.attempt) } else { String::new() };
    format!(
        "{} / {}   {phase}   {} {} {}{version}   by {}{again}",
        names(&summary.routes),
        summary.id,
        summary.baseline,
        arrow(look),
        summary.canary,
        output::clean(&summary.by),
    )
}

/// Why it is where it is.
fn notes(rollout: &Rollout, look: Look) -> Vec<String> {
    let mut lines = Vec::new();
    let of_step = |step: Option<u32>| step.map(|step| format!("   step {step}")).unwrap_or_default();
    if let Some(ending) = &rollout.ending {
        lines.push(format!("Reason   {}{}", plain(&ending.reason.words, look), of_step(ending.reason.step)));
        let took = ending.took_seconds.map(|took| format!(" in {}", precise(took))).unwrap_or_default();
        let failed = ending.reason.canary.as_ref().and_then(|canary| canary.bad);
        let failed = failed.map(|failed| format!("; {failed} requests failed")).unwrap_or_default();
        let (from, arrow) = (output::percent(ending.from_share), arrow(look));
        lines.push(format!("Effect   {} {from} {arrow} 0 %{took}{failed}", rollout.summary.canary));
    }
    if let Some(paused) = &rollout.paused {
        let withdrawn = if paused.withdrawn { "; the canary gets nothing meanwhile" } else { "" };
        lines.push(format!("Paused   {}{withdrawn}", plain(&paused.reason.words, look)));
    }
    if let Some(approval) = &rollout.approval {
        let left =
            approval.seconds_left.map(|left| format!(", {} left, then {}", span(left), approval.on_timeout));
        let id = &rollout.summary.id;
        lines.push(format!(
            "Approval by {}{}: `weir rollout approve {id}`",
            approval.roles.join(" or "),
            left.unwrap_or_default()
        ));
    }
    for (label, reason) in [("Held    ", &rollout.held), ("Waits   ", &rollout.waits_for)] {
        lines.extend(reason.as_ref().map(|reason| format!("{label} {}", plain(&reason.words, look))));
    }
    lines
}

/// The steps, and what the gates say of the one that counts.
fn tree(rollout: &Rollout, view: &View) -> Vec<String> {
    let look = view.look;
    let widest =
        |of: fn(&RolloutStep) -> String| rollout.steps.iter().map(|step| of(step).width()).max().unwrap_or(0);
    let (what_width, hold_width) = (widest(|step| step.what.clone()), widest(hold));
    let last = rollout.steps.len();
    let mut lines = Vec::new();
    for step in &rollout.steps {
        let (branch, stem) = branches(look, step.number == last);
        let what = format!("{}{}", step.what, " ".repeat(what_width - step.what.width()));
        let hold = format!("{}{}", hold(step), " ".repeat(hold_width - hold(step).width()));
        let status = status(step, rollout, look);
        lines.push(format!("{branch} {} {what}  {hold}  {status}", step.number).trim_end().to_owned());
        let counts = matches!(step.status, StepStatus::Running | StepStatus::Failed) || view.wide;
        for gate in step.gates.iter().filter(|_| counts) {
            let text = format!("{} {}", sign(look, gate.verdict), plain(&gate.words, look));
            let text = match gate.verdict {
                Verdict::Pass => look.verdict(true, &text),
                Verdict::Failing | Verdict::Fail => look.verdict(false, &text),
                _ => text,
            };
            lines.push(format!("{stem}     {text}"));
        }
    }
    lines
}

fn hold(step: &RolloutStep) -> String {
    if step.hold_seconds > 0.0 { format!("hold {}", rounded(step.hold_seconds)) } else { String::new() }
}

fn status(step: &RolloutStep, rollout: &Rollout, look: Look) -> String {
    let took = step.took_seconds.map(|took| format!("  {}", span(took))).unwrap_or_default();
    match step.status {
        StepStatus::Pending => format!("{} pending", if look.unicode { "·" } else { "." }),
        StepStatus::Running => {
            let left = rollout.summary.seconds_left.map(|left| format!(", {} left", span(left)));
            let dwell = span(rollout.dwell_seconds);
            format!("{} running  {dwell}{}", half(look), left.unwrap_or_default())
        }
        StepStatus::Passed => look.verdict(true, &format!("{} passed", look.mark(true))) + &took,
        StepStatus::Failed => look.verdict(false, &format!("{} failed", look.mark(false))) + &took,
        StepStatus::Skipped => format!("{} skipped", dash(look)),
    }
}

/// The word for people.
fn words(phase: Phase) -> String {
    match phase {
        Phase::AwaitingApproval => "waits for approval".to_owned(),
        _ => phase.as_str().replace('_', " "),
    }
}

/// Whether a phase is good or bad news.
fn tone(phase: Phase) -> Option<bool> {
    match phase {
        Phase::Promoted => Some(true),
        Phase::RollingBack | Phase::RolledBack | Phase::Aborted => Some(false),
        _ => None,
    }
}

fn mark(look: Look, phase: Phase) -> &'static str {
    match phase {
        Phase::Promoted => look.mark(true),
        Phase::RollingBack | Phase::RolledBack | Phase::Aborted => look.mark(false),
        Phase::Superseded => dash(look),
        Phase::Paused => "||",
        Phase::AwaitingApproval => "?",
        Phase::Waiting => {
            if look.unicode {
                "○"
            } else {
                "o"
            }
        }
        Phase::Progressing | Phase::Baking => half(look),
    }
}

fn sign(look: Look, verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => look.mark(true),
        Verdict::Failing | Verdict::Fail | Verdict::Held => look.mark(false),
        Verdict::NoData | Verdict::Inconclusive | Verdict::Error => "?",
    }
}

fn half(look: Look) -> &'static str {
    if look.unicode { "◑" } else { "*" }
}

fn dash(look: Look) -> &'static str {
    if look.unicode { "–" } else { "-" }
}

fn arrow(look: Look) -> &'static str {
    if look.unicode { "→" } else { "->" }
}

fn branches(look: Look, last: bool) -> (&'static str, &'static str) {
    match (look.unicode, last) {
        (true, false) => ("├─", "│ "),
        (true, true) => ("└─", "  "),
        (false, false) => ("|-", "| "),
        (false, true) => ("`-", "  "),
    }
}

/// A reason in characters that the terminal has.
fn plain(words: &str, look: Look) -> String {
    let words = output::clean(words);
    if look.unicode { words } else { words.replace('≤', "<=").replace('≥', ">=").replace('→', "->") }
}

/// Seconds with a decimal while they are few.
fn precise(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.1}s") } else { span(seconds) }
}

fn names(routes: &[Name]) -> String {
    routes.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
