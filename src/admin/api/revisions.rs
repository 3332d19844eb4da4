//! `/v1/revisions`: what was changed, what differed, and going back.

use std::{sync::Arc, time::Duration};

use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::{
    Answer,
    change::{self, Sent},
    config, json,
    openapi::{
        Against, Changes, Conditional, OfRevision, Once, OutsideRollouts, ReasonBody, RevisionPath, Stored,
        Writes,
    },
    page::PageQuery,
    problem::{Kind, Refused},
    types::history::{Diff, Difference, Restored, RevisionDetail, RevisionSummary, Revisions},
};
use crate::{
    admin::AppState,
    control::{Change, Restoration, audit::rfc3339, diff, store::KeptRevision, store::RevisionInfo},
    types::Revision,
};

/// Which revision to compare with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DiffQuery {
    against: Option<String>,
}

/// Every revision that is kept, newest first.
#[utoipa::path(
    get,
    path = "/v1/revisions",
    operation_id = "list_revisions",
    tag = "history",
    params(PageQuery),
    responses((status = 200, description = "A page of revisions", body = Revisions), Stored)
)]
pub(super) async fn list(State(app): State<AppState>, Query(query): Query<PageQuery>) -> Answer {
    let page = query.page()?;
    let found = app.control.history().revisions(page.below().map(Revision), page.look_up()).await?;
    let (shown, next) = page.cut(found, |info| info.number.0);
    let revisions = shown.into_iter().map(summary).collect();
    Ok(json(app.control.state().revision, &Revisions { revisions, next }))
}

/// One revision, with all that ran since.
#[utoipa::path(
    get,
    path = "/v1/revisions/{revision}",
    operation_id = "get_revision",
    tag = "history",
    params(RevisionPath),
    responses((status = 200, description = "The revision", body = RevisionDetail), OfRevision, Stored)
)]
pub(super) async fn one(State(app): State<AppState>, Path(revision): Path<String>) -> Answer {
    let kept = find(&app, &revision).await?;
    let detail = RevisionDetail {
        summary: summary(kept.info),
        file: kept.file,
        file_text: kept.file_text,
        overlay: serde_json::to_value(&kept.overlay).unwrap_or_default(),
    };
    Ok(json(app.control.state().revision, &detail))
}

/// What is different since a revision, compared with the one before it, or with another. What may be a secret is withheld from others than
/// administrators.
#[utoipa::path(
    get,
    path = "/v1/revisions/{revision}/diff",
    operation_id = "diff_revision",
    tag = "history",
    params(RevisionPath, Against),
    responses((status = 200, description = "What differs", body = Diff), OfRevision, Stored)
)]
pub(super) async fn differences(
    State(app): State<AppState>,
    Path(revision): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Answer {
    let kept = find(&app, &revision).await?;
    let other = match query.against.as_deref() {
        None => previous(&app, kept.info.number).await?,
        Some("current") => find(&app, &app.control.state().revision.to_string()).await?,
        Some(against) => find(&app, against).await?,
    };
    let (from, to) = if other.info.number <= kept.info.number { (&other, &kept) } else { (&kept, &other) };
    let (mut before, mut after) = (document(from)?, document(to)?);
    config::withhold([&mut before, &mut after]);
    let found = diff::differences(&before, &after);
    let differences = found.into_iter().map(difference).collect();
    let answer = Diff { from: from.info.number, to: to.info.number, differences };
    Ok(json(app.control.state().revision, &answer))
}

/// Brings back what was in force: weights, kill switches, drains and overrides. The control file is never written; a new revision is made.
#[utoipa::path(
    post,
    path = "/v1/revisions/{revision}/restore",
    operation_id = "restore_revision",
    tag = "history",
    params(RevisionPath, Writes, Conditional, Once),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "It is back; for a dry run, what would be", body = Restored,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRevision,
        OutsideRollouts,
        Changes,
        Conditional,
    )
)]
pub(super) async fn restore(State(app): State<AppState>, Path(revision): Path<String>, sent: Sent) -> Answer {
    let asked = sent.with_reason_only()?;
    let kept = find(&app, &revision).await?;
    let asked = asked.once(&format!("restore {}", kept.info.number))?;
    let change = Change::Restore(Arc::new(Restoration::of(&kept)));
    let (accepted, outcome) = change::carry_out(&app, change, asked).await?;
    let of = |state: &crate::control::State| diff::document(&state.file.config, &state.overlay);
    let found = diff::differences(&of(&accepted.before), &of(&accepted.state));
    let answer = Restored {
        restored: kept.info.number,
        replayed: accepted.replayed,
        differences: found.into_iter().map(difference).collect(),
        outcome,
    };
    Ok(json(answer.outcome.revision, &answer))
}

/// The revision that a path or parameter names: `12` or `r12`.
async fn find(app: &AppState, text: &str) -> Result<KeptRevision, Refused> {
    let digits = text.strip_prefix('r').unwrap_or(text);
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    let number = number.map(Revision).ok_or_else(|| {
        Kind::InvalidParameter.because(format!("`{text}` is no revision")).hint("write it as 12 or r12")
    })?;
    let kept = app.control.history().revision(number).await?;
    kept.ok_or_else(|| {
        let current = app.control.state().revision;
        Kind::NotFound
            .because(format!("revision {number} is not kept"))
            .hint(format!("the newest is {current}; `weir revisions list` shows which there are"))
    })
}

/// The revision before, as far as it is kept.
async fn previous(app: &AppState, number: Revision) -> Result<KeptRevision, Refused> {
    let before = app.control.history().revisions(Some(number), 1).await?;
    match before.first() {
        Some(before) => find(app, &before.number.to_string()).await,
        None => Err(Kind::NotFound
            .because(format!("there is no revision before {number}"))
            .hint("name another one: ?against=12")),
    }
}

fn document(kept: &KeptRevision) -> Result<serde_json::Value, Refused> {
    let target = Restoration::of(kept);
    let config = target.config.ok_or_else(|| {
        let number = kept.info.number;
        Kind::InvalidChange.because(format!("the control file of {number} cannot be read by this version"))
    })?;
    Ok(diff::document(&config, &kept.overlay))
}

fn summary(info: RevisionInfo) -> RevisionSummary {
    RevisionSummary {
        revision: info.number,
        at: rfc3339(Duration::from_millis(info.at_ms)),
        action: info.action,
        route: info.route,
        origin: info.origin,
        from: info.from,
        to: info.to,
    }
}

fn difference(found: diff::Difference) -> Difference {
    Difference { path: found.path, from: found.from, to: found.to }
}
