//! What happens to a rollout, and what it wants done.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::Phase;
use crate::{
    config::model::rollout::Occasion,
    rollout::{judge::Decision, reason::Reason},
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time went by, and the canary was looked at.
    Tick(Box<Tick>),
    /// The traffic is what stage number so and so wants.
    InForce(u32),
    /// It could not be made so.
    Refused(u32, String),
    /// A hook was asked, and this came of it.
    Hook {
        /// Its place in the plan.
        hook: usize,
        /// The step for which it was asked.
        step: usize,
        /// What came of it.
        answer: HookAnswer,
    },
    /// Somebody wants something.
    Command(Command, By),
    /// Somebody switched a route's kill switch on.
    Killed(By),
    /// Somebody set weights by hand, which raised the stage's number to this.
    Manual(By, u32),
    /// A route or backend is gone.
    Lost(String),
    /// Another rollout takes its place.
    Superseded(String),
    /// Weir was restarted, and was down for so long.
    Restarted(Duration),
}

/// A look at the canary.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// The time since the last one, by a clock that only goes forward.
    pub elapsed: Duration,
    /// What follows of what the gates say, the worst of all routes.
    pub decision: Decision,
    /// What each gate says.
    pub gates: Vec<Reason>,
    /// Why the canary cannot take traffic, when it cannot.
    pub unhealthy: Option<String>,
    /// Which rollout has to be over first, where one has.
    pub behind: Option<String>,
    /// Why no step forward is made now, when none is.
    pub frozen: Option<String>,
}

/// What came of a call of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookAnswer {
    /// A 2xx.
    Yes(String),
    /// Another status.
    No(String),
    /// None at all.
    Failed(String),
}

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Stay where it is.
    Pause,
    /// Go on.
    Resume,
    /// Make the next step now.
    Promote,
    /// Give the canary everything now.
    PromoteFull,
    /// Withdraw the canary.
    Abort,
    /// Agree to the next step.
    Approve,
    /// Do not: withdraw the canary.
    Reject,
    /// Bring the old version back after a promotion.
    Undo,
}

/// Who wants something, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make the traffic what the rollout's state says. It may be done any number of times.
    SetTraffic,
    /// Call a hook, once for this number of call.
    CallHook {
        /// Its place in the plan.
        hook: usize,
        /// The step for which it is asked.
        step: usize,
        /// Which call it is, from 1.
        call: u32,
    },
    /// Tell people.
    Tell {
        /// What of.
        occasion: Occasion,
        /// The entry of the journal that it is about; together they are told once.
        seq: u64,
    },
}

/// An entry of the journal: something worth telling later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the rollout, from 1.
    pub seq: u64,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The phase since.
    pub phase: Phase,
    /// The step, from 0.
    pub step: usize,
    /// What happened, for people.
    pub words: String,
    /// Why, where it was decided by itself.
    pub reason: Option<Reason>,
    /// Who, where it was a person.
    pub by: Option<By>,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rollout is {}, so there is nothing to {what}", .phase.as_str().replace('_', " "))]
pub struct NotNow {
    /// What was wanted.
    pub what: &'static str,
    /// Where the rollout is.
    pub phase: Phase,
}

// === impl Command ===

impl Command {
    /// The word in addresses, audit rows and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::PromoteFull => "promote_full",
            Self::Abort => "abort",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Undo => "undo",
        }
    }

    /// Whether it makes sense in this phase.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(self, phase: Phase) -> Result<(), NotNow> {
        use Phase::{AwaitingApproval, Baking, Paused, Progressing, Promoted, Waiting};
        let fits = match self {
            Self::Pause => matches!(phase, Waiting | Progressing | AwaitingApproval | Baking),
            Self::Resume => phase == Paused,
            Self::Promote | Self::PromoteFull => {
                matches!(phase, Waiting | Progressing | Paused | AwaitingApproval | Baking)
            }
            Self::Abort => !phase.is_over(),
            Self::Approve | Self::Reject => phase == AwaitingApproval,
            Self::Undo => phase == Promoted,
        };
        if fits { Ok(()) } else { Err(NotNow { what: self.as_str(), phase }) }
    }
}
