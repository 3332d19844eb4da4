//! A notice in words, and the addresses that go with it.

use crate::{
    config::model::rollout::Occasion,
    rollout::{
        links::{Link, Links},
        machine::Command,
        notice::Notice,
    },
    types::Name,
};

/// Addresses that a message leads to, as far as the admin API has an address that people can reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// The rollout.
    pub(super) rollout: Option<String>,
    /// The link that agrees.
    pub(super) approve: Option<String>,
    /// The link that rejects.
    pub(super) reject: Option<String>,
}

// === impl Addresses ===

impl Addresses {
    /// Those of a notice that goes to `sink`.
    pub(super) fn of((notice, sink): (&Notice, &str), public_url: Option<&str>, links: &Links) -> Self {
        let Some(base) = public_url else { return Self::default() };
        let rollout = format!("{}/v1/rollouts/{}", base.trim_end_matches('/'), notice.rollout);
        let link = |command| {
            let link = Link {
                rollout: notice.rollout.clone(),
                command,
                seq: notice.seq,
                step: notice.step.0.saturating_sub(1),
                expires: notice.links_until_ms? / 1000,
                sink: Name::new(sink).ok()?,
            };
            Some(format!("{rollout}/links/{}", links.mint(&link)?))
        };
        Self { approve: link(Command::Approve), reject: link(Command::Reject), rollout: Some(rollout) }
    }
}

/// What happened, on one line.
pub(super) fn title(notice: &Notice) -> String {
    let version = notice.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    let what = format!("{}{version} on {}", notice.canary, routes(notice));
    let step = step(notice);
    match notice.occasion {
        Occasion::Started => format!("Rollout of {what} started"),
        Occasion::Advanced => format!("Rollout of {what} is at step {step}"),
        Occasion::ApprovalNeeded => format!("Rollout of {what} needs approval at step {step}"),
        Occasion::Paused => format!("Rollout of {what} is paused at step {step}"),
        Occasion::Held => format!("Rollout of {what} holds at step {step}"),
        Occasion::Promoted => format!("{what} is promoted"),
        Occasion::RolledBack => format!("{what} is rolled back"),
        Occasion::Aborted => format!("Rollout of {what} was aborted"),
    }
}

/// The numbers and names of it.
pub(super) fn facts(notice: &Notice) -> Vec<(&'static str, String)> {
    let version = notice.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    let mut facts = vec![
        (if notice.routes.len() == 1 { "Route" } else { "Routes" }, routes(notice)),
        ("From", notice.baseline.to_string()),
        ("To", format!("{}{version}", notice.canary)),
        ("Step", step(notice)),
    ];
    if !notice.share.is_empty() {
        facts.push(("Canary's share", notice.share.clone()));
    }
    if let Some(reason) = &notice.reason {
        facts.push(("Decided by", reason.gate.clone()));
    }
    facts.push(("Started by", notice.by.clone()));
    facts
}

/// Where to decide, where there is no link for it.
pub(super) fn commands(notice: &Notice, addresses: &Addresses) -> Option<String> {
    let has_links = addresses.approve.is_some() && addresses.reject.is_some();
    (notice.occasion == Occasion::ApprovalNeeded && !has_links)
        .then(|| format!("weir rollout approve {0}\nweir rollout reject {0}", notice.rollout))
}

fn routes(notice: &Notice) -> String {
    notice.routes.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

fn step(notice: &Notice) -> String {
    let (step, of) = notice.step;
    // The one after the last is that all is done.
    format!("{} of {of}", step.min(of))
}
