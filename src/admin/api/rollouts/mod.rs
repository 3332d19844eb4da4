//! `/v1/rollouts`: what is rolled out, starting it and steering it.

mod describe;
mod link;
mod start;
mod steer;

use axum::extract::{Path, Query, State};
use serde::Deserialize;

pub(in crate::admin) use self::describe::{entry, live, of_route, summary};
// `routes!` finds a handler's description beside it.
pub(super) use self::{link::*, start::*, steer::*};
use super::{
    Answer, json,
    openapi::{OfRollout, OfRoute, RolloutPath, Stored},
    page::{DEFAULT_LIMIT, MAX_LIMIT},
    problem::{Kind, Refused},
    types::rollout::{Phase, Rollout, RolloutEntries, Rollouts},
};
use crate::{
    admin::AppState,
    rollout::driver::{Board, Shown},
};

/// Which rollouts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RolloutsQuery {
    route: Option<String>,
    phase: Option<String>,
    active: Option<String>,
    limit: Option<String>,
}

/// Rollouts, the newest first.
#[utoipa::path(
    get,
    path = "/v1/rollouts",
    operation_id = "list_rollouts",
    tag = "rollouts",
    params(RolloutsQuery),
    responses((status = 200, description = "Rollouts", body = Rollouts), OfRoute)
)]
pub(in crate::admin::api) async fn list(
    State(app): State<AppState>,
    Query(query): Query<RolloutsQuery>,
) -> Answer {
    let board = app.rollouts.board();
    let (phase, active, limit) = query.read()?;
    if let Some(route) = &query.route
        && board.newest_of(route).is_none()
    {
        // A route may have left the control file and have been rolled out before.
        app.control.state().route(route)?;
    }
    let of_route = |shown: &&Shown| {
        query
            .route
            .as_ref()
            .is_none_or(|route| shown.rollout.routes.iter().any(|name| name.as_str() == route))
    };
    let found = board.rollouts.iter().filter(of_route).filter(|shown| {
        let now = shown.rollout.phase;
        phase.is_none_or(|phase| phase == now) && active.is_none_or(|active| active != now.is_over())
    });
    let rollouts = found.take(limit).map(|shown| summary(&shown.rollout)).collect();
    Ok(json(app.control.state().revision, &Rollouts { rollouts, problems: board.problems.clone() }))
}

/// One rollout: plan, steps, verdicts, and what is seen of both versions. What may be a secret in the plan is withheld from others than
/// administrators.
#[utoipa::path(
    get,
    path = "/v1/rollouts/{rollout}",
    operation_id = "get_rollout",
    tag = "rollouts",
    params(RolloutPath),
    responses(
        (
            status = 200, description = "The rollout", body = Rollout,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRollout,
    )
)]
pub(in crate::admin::api) async fn one(State(app): State<AppState>, Path(rollout): Path<String>) -> Answer {
    let board = app.rollouts.board();
    let whole = describe::whole(find(&board, &rollout)?);
    Ok(json(app.control.state().revision, &whole))
}

/// What happened in a rollout, in its order.
#[utoipa::path(
    get,
    path = "/v1/rollouts/{rollout}/entries",
    operation_id = "list_rollout_entries",
    tag = "rollouts",
    params(RolloutPath),
    responses((status = 200, description = "Its timeline", body = RolloutEntries), OfRollout, Stored)
)]
pub(in crate::admin::api) async fn entries(
    State(app): State<AppState>,
    Path(rollout): Path<String>,
) -> Answer {
    let board = app.rollouts.board();
    let found = find(&board, &rollout)?;
    let entries = app.rollouts.entries(&found.rollout.id).await?;
    let entries = entries.iter().map(entry).collect();
    let answer = RolloutEntries { rollout: found.rollout.id.clone(), entries };
    Ok(json(app.control.state().revision, &answer))
}

/// The rollout of this id.
fn find<'b>(board: &'b Board, id: &str) -> Result<&'b Shown, Refused> {
    board.find(id).ok_or_else(|| unknown(board, id))
}

/// There is no such rollout; what may have been meant.
fn unknown(board: &Board, id: &str) -> Refused {
    let refused = Kind::UnknownRollout.because(format!("there is no rollout `{id}`"));
    if let Some(newest) = board.newest_of(id) {
        return refused.hint(format!("the newest one of route `{id}` is {}", newest.rollout.id));
    }
    let likeness = |shown: &Shown| strsim::jaro_winkler(id, &shown.rollout.id);
    let nearest = board.rollouts.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|shown| likeness(shown) > 0.8) {
        Some(near) => refused.hint(format!("did you mean `{}`?", near.rollout.id)),
        None => refused.hint("`weir rollout list` and /v1/rollouts have all that are kept"),
    }
}

// === impl RolloutsQuery ===

impl RolloutsQuery {
    fn read(&self) -> Result<(Option<Phase>, Option<bool>, usize), Refused> {
        let phase = match self.phase.as_deref() {
            None => None,
            Some(word) => Some(Phase::of(word).ok_or_else(|| {
                let known = Phase::ALL.map(Phase::as_str).join(", ");
                let refused = Kind::InvalidParameter.because(format!("there is no phase `{word}`"));
                refused.hint(format!("the phases are {known}"))
            })?),
        };
        let active = match self.active.as_deref() {
            None => None,
            Some("" | "true" | "1") => Some(true),
            Some("false" | "0") => Some(false),
            Some(other) => {
                let detail = format!("`active` is true or false, not `{other}`");
                return Err(Kind::InvalidParameter.because(detail));
            }
        };
        let limit = match self.limit.as_deref() {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit) && !text.starts_with('+'))
                .ok_or_else(|| {
                    let detail = format!("`limit` is a number from 1 to {MAX_LIMIT}, not `{text}`");
                    Kind::InvalidParameter.because(detail)
                })?,
        };
        Ok((phase, active, limit))
    }
}
