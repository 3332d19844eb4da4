//! The judge of a route: from what the data path saw to what each gate says, and to one decision.
//!
//! The order is that of docs/analysis.md: is the split what it should be; hard limits and threshold gates; what a failure may cost; the
//! regression tests together; and only then whether there is enough to go on. The judge is a value without a clock: it is written to the
//! journal, and a restart goes on where it was.

mod limits;
mod outside;
mod regression;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use outside::Answer;

use super::{
    cohort::Cohort,
    reason::{Reason, Sample, Verdict, grouped, percent},
    sums::{Pair, Window},
    users::Users,
};
use crate::{
    analysis::{
        self,
        combination::{self, Part},
        sample_ratio::SampleRatio,
    },
    config::model::rollout::{
        Analysis, BlastRadius, Check, Gate, Metric, OnBaselineBad, OnInconclusive, OnNoData,
    },
    types::BUCKETS,
};

/// What was seen since the last look.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What ended, whoever sent it there.
    pub ended: Pair,
    /// Failed requests of the canary in a row, up to now.
    pub streak: u32,
    /// Users who met a failure of the canary.
    pub failed_users: Vec<crate::types::Bucket>,
    /// What was drawn and may be compared.
    pub cohorts: Vec<Cohort>,
}

/// The circumstances of a look.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Since the stage began.
    pub now: Duration,
    /// The probability with which the stage gives a request of its audience to the canary; `None` where nothing is drawn.
    pub weight: Option<f64>,
    /// Whether the stage gives the canary any requests at all.
    pub expects_traffic: bool,
}

/// What the gates say, and what follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// What each gate says, in the order of the plan.
    pub gates: Vec<Reason>,
    /// What follows.
    pub decision: Decision,
}

/// What follows of what the gates say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The canary has to go.
    Fail(Box<Reason>),
    /// Neither forward nor back: somebody has to look.
    Hold(Box<Reason>),
    /// Not forward yet.
    Wait(Box<Reason>),
    /// Forward, once the time is over.
    Go,
}

/// Judges the canary on one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    /// The number of the stage that it judges.
    number: u32,
    memories: Vec<Memory>,
    sample_ratio: SampleRatio,
    /// Whether users of this stage have not been counted by a process before this one.
    counts_users: bool,
    failed_users: Users,
    /// Failed requests of the canary in stages that are over, beyond what the baseline's rate explains.
    excess: f64,
    /// What was seen in the stage; not kept over a restart.
    #[serde(skip)]
    stage: Pair,
    #[serde(skip)]
    window: Window,
    #[serde(skip)]
    streak: u32,
    /// When threshold gates were last looked at.
    #[serde(skip)]
    looked: Option<Duration>,
    #[serde(skip)]
    last: Vec<Option<Reason>>,
    /// When the canary's first request of the stage ended.
    #[serde(skip)]
    first: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Memory {
    Threshold(limits::Memory),
    Streak,
    Regression(Box<regression::Memory>),
    Outside(outside::Memory),
}

/// What a gate looks at.
#[derive(Debug, Clone, Copy)]
struct Facts<'a> {
    /// The last so much time, and the time that it covers.
    window: (&'a Pair, Duration),
    /// Since the stage began, and how long that is.
    stage: &'a Pair,
    stage_covers: Duration,
    streak: u32,
    expects_traffic: bool,
    is_drawn: bool,
}

// === impl Facts ===

impl<'a> Facts<'a> {
    /// The window; where that has too few requests, the whole stage.
    fn window(&self, min_requests: u64, metric: Metric) -> (&'a Pair, Duration) {
        if self.window.0.canary.requests >= min_requests || metric == Metric::RequestRate {
            self.window
        } else {
            (self.stage, self.stage_covers)
        }
    }
}

// === impl Judge ===

impl Judge {
    /// At the begin of a rollout.
    #[must_use]
    pub fn new(analysis: &Analysis) -> Self {
        let memory = |gate: &Gate| match &gate.check {
            Check::Threshold(_) => Memory::Threshold(limits::Memory::default()),
            Check::ConsecutiveFailures(_) => Memory::Streak,
            Check::Regression(regression) => {
                Memory::Regression(Box::new(regression::Memory::new(regression)))
            }
            Check::Prometheus(_) | Check::Webhook(_) => Memory::Outside(outside::Memory::default()),
        };
        Self {
            number: 0,
            memories: analysis.gates.iter().map(memory).collect(),
            sample_ratio: SampleRatio::default(),
            counts_users: true,
            failed_users: Users::default(),
            excess: 0.0,
            stage: Pair::default(),
            window: Window::default(),
            streak: 0,
            looked: None,
            last: Vec::new(),
            first: None,
        }
    }

    /// The traffic has changed: windows and counts begin anew, and what the tests have gathered is kept as far as it holds.
    pub fn stage_change(&mut self) {
        self.excess += excess(&self.stage).max(0.0);
        for memory in &mut self.memories {
            match memory {
                Memory::Threshold(memory) => memory.restart(),
                Memory::Streak => {}
                Memory::Regression(memory) => memory.stage_change(),
                Memory::Outside(memory) => memory.restart(),
            }
        }
        self.counts_users = true;
        self.forget();
    }

    /// From here on it judges the stage of this number.
    pub fn enter(&mut self, number: u32) {
        if self.number != number {
            self.stage_change();
            self.number = number;
        }
    }

    /// The number of the stage that it judges.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The same stage in another process: what was not kept is gone, and its users are not counted a second time.
    pub fn resume(&mut self) {
        self.counts_users = false;
        for memory in &mut self.memories {
            if let Memory::Threshold(memory) = memory {
                memory.resume();
            }
        }
        self.forget();
    }

    fn forget(&mut self) {
        (self.stage, self.window) = (Pair::default(), Window::default());
        (self.streak, self.looked, self.first) = (0, None, None);
        self.last.clear();
    }

    /// What was seen since the stage began, or since this process did.
    #[must_use]
    pub fn stage(&self) -> &Pair {
        &self.stage
    }

    /// Takes the answer that gate number `index` got from outside.
    pub fn answer(&mut self, analysis: &Analysis, index: usize, answer: &Answer) {
        let (Some(gate), Some(Memory::Outside(memory))) =
            (analysis.gates.get(index), self.memories.get_mut(index))
        else {
            return;
        };
        let limits = match &gate.check {
            Check::Prometheus(of) => (of.max, of.min),
            Check::Webhook(of) => (of.max, of.min),
            _ => (None, None),
        };
        memory.take(&gate.name, limits, analysis, answer);
    }

    /// Looks at what was seen.
    pub fn look(
        &mut self,
        (analysis, blast_radius): (&Analysis, &BlastRadius),
        seen: &Seen,
        at: Circumstances,
    ) -> Assessment {
        self.take_in(analysis, seen, at);
        let due = self.looked.is_none_or(|looked| at.now >= looked + analysis.interval);
        // The window begins with the canary's first request, so the first check is an interval after that.
        let due = due && self.first.is_none_or(|first| at.now >= first + analysis.interval);
        if due {
            self.looked = Some(at.now);
        }
        let since = at.now.saturating_sub(analysis.window);
        let began = self.first.unwrap_or(at.now);
        let facts = Facts {
            window: (self.window.total(), at.now - began.max(since).min(at.now)),
            stage: &self.stage,
            stage_covers: at.now.saturating_sub(began),
            streak: self.streak,
            expects_traffic: at.expects_traffic,
            is_drawn: at.weight.is_some_and(|weight| weight > 0.0 && weight < 1.0),
        };
        let memories = &mut self.memories;
        self.last.resize(memories.len(), None);
        let mut gates = Vec::with_capacity(memories.len());
        for ((gate, memory), last) in analysis.gates.iter().zip(memories).zip(&mut self.last) {
            let reason = memory.look(gate, analysis, &facts, due);
            if let Some(reason) = reason {
                *last = Some(reason);
            }
            // Not the same as a look that found nothing: a plan may pass or fail that.
            let words = || format!("{}: not looked at yet", gate.name);
            let unknown = || Reason::plain(&gate.name, Verdict::Inconclusive, words());
            gates.push(last.clone().unwrap_or_else(unknown));
        }
        let decision = self.decide((analysis, blast_radius), &mut gates, &facts);
        Assessment { gates, decision }
    }

    fn take_in(&mut self, analysis: &Analysis, seen: &Seen, at: Circumstances) {
        if self.first.is_none() && seen.ended.canary.requests > 0 {
            self.first = Some(at.now);
        }
        let weight = at.weight.unwrap_or(0.0);
        for cohort in &seen.cohorts {
            for (gate, memory) in analysis.gates.iter().zip(&mut self.memories) {
                if let (Check::Regression(gate), Memory::Regression(memory)) = (&gate.check, memory) {
                    memory.observe(gate, weight, cohort, &self.stage);
                }
            }
            let by_user = cohort.new_users != [0, 0];
            if self.counts_users || !by_user {
                let [baseline, canary] = if by_user { cohort.new_users } else { cohort.requests };
                let repeated = !by_user && cohort.ended.iter().any(|ended| ended.bucket.is_some());
                if !repeated {
                    self.sample_ratio.observe(weight, canary, baseline);
                }
            }
        }
        self.stage.merge(&seen.ended);
        self.window.add(at.now, &seen.ended);
        self.window.forget(at.now, analysis.window);
        self.streak = seen.streak;
        for user in &seen.failed_users {
            self.failed_users.insert(*user);
        }
    }

    fn decide(
        &self,
        (analysis, blast_radius): (&Analysis, &BlastRadius),
        gates: &mut [Reason],
        facts: &Facts<'_>,
    ) -> Decision {
        let decides = |index: usize| !analysis.gates[index].dry_run;
        let split_is_wrong = self.sample_ratio.rejects(analysis::sample_ratio::ALPHA);
        let tests = (!split_is_wrong).then(|| self.tests_fail(analysis, facts)).flatten();
        if let Some(index) = tests
            && let (Check::Regression(gate), Memory::Regression(memory)) =
                (&analysis.gates[index].check, &self.memories[index])
        {
            gates[index] = memory.reason((&analysis.gates[index].name, gate), Verdict::Fail);
        }
        let is_test = |index: usize| matches!(analysis.gates[index].check, Check::Regression(_));
        let fails = |index: &usize| {
            decides(*index) && gates[*index].verdict == Verdict::Fail && !(split_is_wrong && is_test(*index))
        };
        if let Some(index) = (0..gates.len()).find(fails) {
            return Decision::Fail(Box::new(gates[index].clone()));
        }
        if let Some(reason) = self.costs_too_much(blast_radius) {
            return Decision::Fail(Box::new(reason));
        }
        if split_is_wrong {
            let words =
                "the versions do not get the shares that they should, so tests between them mean nothing";
            return Decision::Hold(Box::new(Reason::plain("sample_ratio", Verdict::Held, words)));
        }
        let held = (0..gates.len()).find(|index| decides(*index) && gates[*index].verdict == Verdict::Held);
        if let Some(index) = held {
            let reason = Box::new(gates[index].clone());
            return match analysis.on_baseline_bad {
                OnBaselineBad::Hold => Decision::Hold(reason),
                OnBaselineBad::Rollback => Decision::Fail(reason),
            };
        }
        let waits =
            |index: &usize| decides(*index) && !goes(analysis, is_test(*index), gates[*index].verdict);
        if let Some(index) = (0..gates.len()).find(waits) {
            return Decision::Wait(Box::new(gates[index].clone()));
        }
        Decision::Go
    }

    /// The regression gate that contributes most, where the evidence of all of them without a level of their own is enough.
    fn tests_fail(&self, analysis: &Analysis, facts: &Facts<'_>) -> Option<usize> {
        let mut parts = Vec::new();
        let mut owners = Vec::new();
        for (index, (gate, memory)) in analysis.gates.iter().zip(&self.memories).enumerate() {
            let (Check::Regression(of), Memory::Regression(memory)) = (&gate.check, memory) else { continue };
            if gate.dry_run || of.alpha.is_some() {
                continue;
            }
            for (kind, log_e) in memory.parts(of) {
                // Where the baseline is as bad, being bad is no fault of the canary's.
                let excused = kind == combination::Kind::Absolute && memory.baseline_is_bad();
                let counts = memory.may_fail(of, facts) && !excused;
                parts.push(Part { kind, log_e: if counts { log_e } else { f64::NEG_INFINITY } });
                owners.push(index);
            }
        }
        let combined = combination::combine(&parts);
        let enough = combined.log_e >= analysis::rejection(analysis.alpha);
        combined.largest.filter(|_| enough).map(|place| owners[place])
    }

    #[allow(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    fn costs_too_much(&self, allowed: &BlastRadius) -> Option<Reason> {
        let failed = self.excess + excess(&self.stage).max(0.0);
        if let Some(most) = allowed.max_failed_requests
            && failed > most as f64
        {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let words = format!(
                "blast radius: {} failed requests beyond what the baseline's rate explains > {}",
                grouped(failed as u64),
                grouped(most)
            );
            return Some(Reason {
                limit: Some(most as f64),
                ..Reason::plain("blast_radius", Verdict::Fail, words)
            });
        }
        let share = f64::from(self.failed_users.len()) / f64::from(BUCKETS);
        let most = allowed.max_users?;
        (share > most.as_f64()).then(|| {
            let words = format!("blast radius: {} of users met a failure > {most}", percent(share));
            let canary =
                Sample { value: share, bad: Some(u64::from(self.failed_users.len())), n: u64::from(BUCKETS) };
            Reason {
                limit: Some(most.as_f64()),
                canary: Some(canary),
                ..Reason::plain("blast_radius", Verdict::Fail, words)
            }
        })
    }
}

/// Failed requests of the canary beyond what the baseline's rate explains; below zero where it is better.
#[allow(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn excess(stage: &Pair) -> f64 {
    let rate = stage.baseline.value(Metric::ErrorRate, Duration::ZERO).unwrap_or(0.0);
    stage.canary.errors as f64 - rate * stage.canary.requests as f64
}

/// Whether a gate that says this lets the rollout go on, once the time is over.
fn goes(analysis: &Analysis, is_test: bool, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Pass => true,
        Verdict::NoData => analysis.on_no_data == OnNoData::Pass,
        // Of limits there is none that is inconclusive, but of those that could not be asked; they are never passed in silence.
        Verdict::Inconclusive => is_test && analysis.on_inconclusive == OnInconclusive::Promote,
        Verdict::Error | Verdict::Failing | Verdict::Fail | Verdict::Held => false,
    }
}

// === impl Memory ===

impl Memory {
    fn look(&mut self, gate: &Gate, analysis: &Analysis, facts: &Facts<'_>, due: bool) -> Option<Reason> {
        match (self, &gate.check) {
            (Self::Threshold(memory), Check::Threshold(threshold)) => {
                memory.look((&gate.name, threshold), analysis, facts, due)
            }
            (Self::Streak, Check::ConsecutiveFailures(most)) => {
                Some(streak(&gate.name, (*most, analysis.min_requests), facts))
            }
            (Self::Regression(memory), Check::Regression(regression)) => {
                let verdict = memory.verdict(regression, facts, analysis.min_requests);
                Some(memory.reason((&gate.name, regression), verdict))
            }
            (Self::Outside(memory), _) => Some(memory.reason(&gate.name)),
            // A journal whose memories do not fit its plan was not written by this program.
            _ => None,
        }
    }
}

fn streak(name: &str, (most, min_requests): (u32, u64), facts: &Facts<'_>) -> Reason {
    let verdict = if facts.streak >= most {
        Verdict::Fail
    } else if facts.expects_traffic && facts.stage.canary.requests < min_requests {
        // Silence is no success.
        Verdict::NoData
    } else {
        Verdict::Pass
    };
    let sign = if verdict == Verdict::Fail { "≥" } else { "<" };
    let words = format!("{name}: {} requests of the canary failed in a row {sign} {most}", facts.streak);
    Reason { limit: Some(f64::from(most)), ..Reason::plain(name, verdict, words) }
}
