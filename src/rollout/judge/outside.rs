//! Gates that ask somebody else: a Prometheus server, a web service, a hook. Whoever asks brings the answers here.

use serde::{Deserialize, Serialize};

use crate::{
    config::model::rollout::Analysis,
    rollout::reason::{Reason, Verdict},
};

/// Failed attempts to ask after which a gate is inconclusive instead of merely late.
const ERRORS: u32 = 3;

/// What somebody else answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A number, to be held against the gate's limits.
    Value(f64),
    /// Yes or no, and what was said.
    Said {
        /// Whether it is good.
        good: bool,
        /// The status or text.
        text: String,
    },
    /// There is nothing to say yet: the query's answer is empty.
    Nothing,
    /// They could not be asked.
    Unreachable(String),
}

/// The memory of a gate that asks somebody else.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    failed: u32,
    errors: u32,
    last: Option<Reason>,
}

// === impl Memory ===

impl Memory {
    /// The traffic has changed: answers of before say nothing of it.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Takes an answer.
    pub(super) fn take(
        &mut self,
        name: &str,
        limits: (Option<f64>, Option<f64>),
        analysis: &Analysis,
        answer: &Answer,
    ) {
        let (max, min) = limits;
        let (good, words, limit) = match answer {
            Answer::Unreachable(why) => {
                self.errors += 1;
                let verdict = if self.errors >= ERRORS { Verdict::Inconclusive } else { Verdict::Error };
                self.last = Some(Reason::plain(name, verdict, format!("{name}: could not be asked: {why}")));
                return;
            }
            Answer::Nothing => {
                self.errors = 0;
                self.last =
                    Some(Reason::plain(name, Verdict::NoData, format!("{name}: there is no answer yet")));
                return;
            }
            Answer::Said { good, text } => (*good, format!("{name}: {text}"), None),
            Answer::Value(value) => match (max, min) {
                (Some(max), _) if *value > max => (false, format!("{name} {value} > {max}"), Some(max)),
                (_, Some(min)) if *value < min => (false, format!("{name} {value} < {min}"), Some(min)),
                (Some(max), _) => (true, format!("{name} {value} ≤ {max}"), Some(max)),
                (None, Some(min)) => (true, format!("{name} {value} ≥ {min}"), Some(min)),
                (None, None) => (true, format!("{name} {value}"), None),
            },
        };
        self.errors = 0;
        let verdict = if good {
            if analysis.consecutive {
                self.failed = 0;
            }
            Verdict::Pass
        } else {
            self.failed += 1;
            if self.failed >= analysis.threshold { Verdict::Fail } else { Verdict::Failing }
        };
        self.last = Some(Reason { limit, ..Reason::plain(name, verdict, words) });
    }

    /// What it says now.
    pub(super) fn reason(&self, name: &str) -> Reason {
        self.last
            .clone()
            .unwrap_or_else(|| Reason::plain(name, Verdict::Inconclusive, format!("{name}: not asked yet")))
    }
}
