//! A notice: what people are told of a rollout, before it has the form of any one place.

use serde::{Deserialize, Serialize};

use super::{
    links,
    machine::{Effect, Phase, Rollout},
    reason::Reason,
};
use crate::{
    config::model::rollout::Occasion,
    control::store::rollouts::Outbound,
    types::{Name, Role},
};

/// What people are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// What tells it from others.
    pub key: String,
    /// The entry of the journal that it is about.
    pub seq: u64,
    /// What it is about.
    pub occasion: Occasion,
    /// When it happened, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The rollout's id.
    pub rollout: String,
    /// Its routes.
    pub routes: Vec<Name>,
    /// The old version's backend.
    pub baseline: Name,
    /// The new one's.
    pub canary: Name,
    /// What the canary runs.
    pub version: Option<String>,
    /// Where the rollout is.
    pub phase: Phase,
    /// The step, counted from 1, and how many there are.
    pub step: (usize, usize),
    /// The canary's share, as `20%`.
    pub share: String,
    /// Who began the rollout.
    pub by: String,
    /// Why it happened, where it was decided by itself or somebody gave a reason.
    pub reason: Option<Reason>,
    /// Until when a link may agree or reject, milliseconds since the Unix epoch; `None` where no link may.
    pub links_until_ms: Option<u64>,
}

// === impl Notice ===

impl Notice {
    /// The notices among `effects`, one for each notification of the plan, to be sent at once.
    #[must_use]
    pub fn of_effects(rollout: &Rollout, effects: &[Effect], now_ms: u64) -> Vec<Outbound> {
        let told = effects.iter().filter_map(|effect| match effect {
            Effect::Tell { occasion, seq } => Some((*occasion, *seq)),
            _ => None,
        });
        told.flat_map(|(occasion, seq)| {
            let notice = Self::of(rollout, occasion, seq, now_ms);
            let message = serde_json::to_string(&notice).unwrap_or_default();
            rollout.plan.notify.iter().map(move |sink| Outbound {
                key: format!("{}/{sink}", notice.key),
                sink: sink.to_string(),
                message: message.clone(),
                made_ms: now_ms,
                attempts: 0,
                due_ms: Some(now_ms),
                outcome: None,
            })
        })
        .collect()
    }

    fn of(rollout: &Rollout, occasion: Occasion, seq: u64, at_ms: u64) -> Self {
        let ended = rollout.ending.as_ref().map(|ending| &ending.reason);
        let paused = rollout.paused.as_ref().map(|paused| &paused.reason);
        let reason = match occasion {
            Occasion::Held => rollout.held.as_ref(),
            Occasion::Paused => paused,
            Occasion::RolledBack | Occasion::Aborted => ended,
            _ => None,
        };
        Self {
            key: format!("{}/{seq}/{}", rollout.id, occasion.as_str()),
            seq,
            occasion,
            at_ms,
            rollout: rollout.id.clone(),
            routes: rollout.routes.clone(),
            baseline: rollout.plan.baseline.clone(),
            canary: rollout.plan.canary.clone(),
            version: rollout.plan.version.clone(),
            phase: rollout.phase,
            step: (rollout.step + 1, rollout.plan.steps.len()),
            share: rollout.spread().map_or_else(String::new, |spread| spread.share.to_string()),
            by: rollout.by.clone(),
            reason: reason.cloned(),
            links_until_ms: Some(occasion)
                .filter(|of| *of == Occasion::ApprovalNeeded)
                .and_then(|_| links_until(rollout, at_ms)),
        }
    }
}

/// Until when a link may speak for a person at the rollout's step. Whoever sees a channel has the link, so where only admins may agree
/// there is none.
fn links_until(rollout: &Rollout, at_ms: u64) -> Option<u64> {
    let approval = rollout.plan.steps.get(rollout.step)?.approval.as_ref()?;
    let only_admins = !approval.roles.is_empty() && approval.roles.iter().all(|role| *role == Role::Admin);
    let limit =
        if approval.timeout.is_zero() { links::LONGEST } else { approval.timeout.min(links::LONGEST) };
    (!only_admins).then(|| at_ms.saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)))
}

impl Occasion {
    /// The word in the control file and in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Advanced => "advanced",
            Self::ApprovalNeeded => "approval_needed",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
        }
    }
}
