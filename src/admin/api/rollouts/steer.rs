//! What people want of a rollout: `POST /v1/rollouts/{rollout}/pause` and the like.
//!
//! Abort and pause are emergencies: they ignore `If-Match`, are done before anything is written, and work without a disk. Everything else
//! is in the audit before it is done, or is not done.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    http::Method,
    response::Response,
};
use serde::Deserialize;

use super::{Answer, describe, find, json as answer, start::told, unknown};
use crate::{
    admin::{
        AppState,
        api::{
            change::{Asked, Sent},
            openapi::{
                Changes, Conditional, InPhase, OfRollout, PromoteFull, ReasonBody, RolloutPath, Writes,
            },
            problem::{Kind, Refused},
            request,
            types::rollout::SteeredRollout,
        },
        auth::{Caller, Denial, Operation},
        guard,
    },
    control::{self, Note, Origin, Refusal},
    rollout::{
        driver::{CommandError, Shown, StartError},
        machine::{By, Command, NotNow, Phase, Rollout},
    },
    telemetry::DenialReason,
    types::Role,
};

/// Whether to go to the end.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::admin::api) struct PromoteQuery {
    full: Option<String>,
}

/// Somebody who wants something of a rollout.
pub(super) struct Steering<'a> {
    app: &'a AppState,
    origin: Origin,
}

/// Lets it stay where it is, for as long as it takes. Ignores `If-Match`. The canary keeps its traffic and is watched on: a gate that
/// fails withdraws it all the same.
#[utoipa::path(
    post,
    path = "/v1/rollouts/{rollout}/pause",
    operation_id = "pause_rollout",
    tag = "rollouts",
    params(RolloutPath, Writes),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The rollout since; for a dry run, as it is", body = SteeredRollout,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRollout,
        InPhase,
        Changes,
    )
)]
pub(in crate::admin::api) async fn pause(
    State(app): State<AppState>,
    Path(rollout): Path<String>,
    sent: Sent,
) -> Answer {
    steer(&app, &rollout, Command::Pause, sent.with_reason_only()?).await
}

/// Lets it go on.
#[utoipa::path(
    post,
    path = "/v1/rollouts/{rollout}/resume",
    operation_id = "resume_rollout",
    tag = "rollouts",
    params(RolloutPath, Writes, Conditional),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The rollout since; for a dry run, as it is", body = SteeredRollout,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRollout,
        InPhase,
        Changes,
        Conditional,
    )
)]
pub(in crate::admin::api) async fn resume(
    State(app): State<AppState>,
    Path(rollout): Path<String>,
    sent: Sent,
) -> Answer {
    steer(&app, &rollout, Command::Resume, sent.with_reason_only()?).await
}

/// Makes the next step now, whatever the gates say; with `full`, gives the canary everything. Where somebody has to agree before that step,
/// it takes one of their roles.
#[utoipa::path(
    post,
    path = "/v1/rollouts/{rollout}/promote",
    operation_id = "promote_rollout",
    tag = "rollouts",
    params(RolloutPath, PromoteFull, Writes, Conditional),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The rollout since; for a dry run, as it is", body = SteeredRollout,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRollout,
        InPhase,
        Changes,
        Conditional,
    )
)]
pub(in crate::admin::api) async fn promote(
    State(app): State<AppState>,
    Path(rollout): Path<String>,
    Query(query): Query<PromoteQuery>,
    sent: Sent,
) -> Answer {
    let command = match query.full.as_deref() {
        None | Some("false" | "0") => Command::Promote,
        Some("" | "true" | "1") => Command::PromoteFull,
        Some(other) => {
            return Err(Kind::InvalidParameter.because(format!("`full` is true or false, not `{other}`")));
        }
    };
    steer(&app, &rollout, command, sent.with_reason_only()?).await
}

/// Ends it and takes the canary's traffic away, at once. Ignores `If-Match`, and works without a disk.
#[utoipa::path(
    post,
    path = "/v1/rollouts/{rollout}/abort",
    operation_id = "abort_rollout",
    tag = "rollouts",
    params(RolloutPath, Writes),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The rollout since; for a dry run, as it is", body = SteeredRollout,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRollout,
        InPhase,
        Changes,
    )
)]
pub(in crate::admin::api) async fn abort(
    State(app): State<AppState>,
    Path(rollout): Path<String>,
    sent: Sent,
) -> Answer {
    steer(&app, &rollout, Command::Abort, sent.with_reason_only()?).await
}

/// Agrees to the next step. Takes one of the roles that the plan names for it.
#[utoipa::path(
    post,
    path = "/v1/rollouts/{rollout}/approve",
    operation_id = "approve_rollout",
    tag = "rollouts",
    params(RolloutPath, Writes, Conditional),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The rollout since; for a dry run, as it is", body = SteeredRollout,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRollout,
        InPhase,
        Changes,
        Conditional,
    )
)]
pub(in crate::admin::api) async fn approve(
    State(app): State<AppState>,
    Path(rollout): Path<String>,
    sent: Sent,
) -> Answer {
    steer(&app, &rollout, Command::Approve, sent.with_reason_only()?).await
}

/// Does not agree to the next step: ends the rollout and takes the canary's traffic away.
#[utoipa::path(
    post,
    path = "/v1/rollouts/{rollout}/reject",
    operation_id = "reject_rollout",
    tag = "rollouts",
    params(RolloutPath, Writes, Conditional),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The rollout since; for a dry run, as it is", body = SteeredRollout,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRollout,
        InPhase,
        Changes,
        Conditional,
    )
)]
pub(in crate::admin::api) async fn reject(
    State(app): State<AppState>,
    Path(rollout): Path<String>,
    sent: Sent,
) -> Answer {
    steer(&app, &rollout, Command::Reject, sent.with_reason_only()?).await
}

/// Brings the old version back after a promotion, as long as the plan keeps it (`keep_baseline`).
#[utoipa::path(
    post,
    path = "/v1/rollouts/{rollout}/undo",
    operation_id = "undo_rollout",
    tag = "rollouts",
    params(RolloutPath, Writes, Conditional),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The rollout since; for a dry run, as it is", body = SteeredRollout,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRollout,
        InPhase,
        Changes,
        Conditional,
    )
)]
pub(in crate::admin::api) async fn undo(
    State(app): State<AppState>,
    Path(rollout): Path<String>,
    sent: Sent,
) -> Answer {
    steer(&app, &rollout, Command::Undo, sent.with_reason_only()?).await
}

/// Carries out a command, and has the audit know.
async fn steer(app: &AppState, id: &str, command: Command, asked: Asked) -> Answer {
    let board = app.rollouts.board();
    let rollout = Arc::clone(&find(&board, id)?.rollout);
    let emergency = matches!(command, Command::Pause | Command::Abort);
    let steering = Steering::new(app, &asked, emergency)?;
    command.check(rollout.phase).map_err(|error| not_now(app, &rollout.id, &error))?;
    if let Some(denial) = needs_role(&rollout, command) {
        let path = format!("/v1/rollouts/{{rollout}}/{}", command.as_str().trim_end_matches("_full"));
        let operation = Operation::of(&Method::POST, Some(&path));
        return Ok(guard::refuse(app, denial, (operation, &asked.peer), &rollout.routes[0]));
    }
    if asked.dry_run {
        return Ok(steering.unchanged(&rollout.id));
    }
    let action = action(command);
    if !emergency {
        steering.note(action, &rollout).await?;
    }
    let done = app.rollouts.command(&rollout.id, command, steering.by()).await;
    let done = match done {
        Ok(done) => done,
        Err(error) => {
            let refused = failed_command(app, error);
            if !emergency {
                steering.take_back(action, &rollout, "had moved on meanwhile").await;
            }
            return Err(refused);
        }
    };
    let mut warnings = Vec::new();
    if emergency && let Err(refusal) = steering.note(action, &done).await {
        warnings.push(format!("done, and not in the audit: {}", told_of(&refusal)));
    }
    let shown = shown(app, &done).await;
    let body = SteeredRollout { rollout: describe::whole(&shown), dry_run: false, warnings };
    Ok(answer(app.control.state().revision, &body))
}

/// The rollout as the board has it, once that is not older than `known`.
pub(super) async fn shown(app: &AppState, known: &Rollout) -> Shown {
    let mut boards = app.rollouts.watch();
    let is_new = |shown: &Shown| shown.rollout.seq >= known.seq;
    // Without a driver there is no newer one.
    let newer = boards.wait_for(|board| board.find(&known.id).is_some_and(is_new)).await;
    let found = newer.ok().and_then(|board| board.find(&known.id).cloned());
    found.unwrap_or_else(|| Shown {
        rollout: Arc::new(known.clone()),
        assessments: std::collections::BTreeMap::new(),
        seen: std::collections::BTreeMap::new(),
    })
}

/// Why somebody may not, where the plan says who has to agree and they are none of those. A step that is made by hand passes the agreement
/// before it, and one to the end passes all.
fn needs_role(rollout: &Rollout, command: Command) -> Option<Denial> {
    let steps = &rollout.plan.steps;
    let passed = match command {
        Command::Approve | Command::Promote => rollout.step..rollout.step + 1,
        Command::PromoteFull => rollout.step..steps.len(),
        _ => return None,
    };
    let given = |step: usize| step == rollout.step && rollout.approval.given_by.is_some();
    let approvals = passed.filter(|step| !given(*step)).filter_map(|step| steps.get(step)?.approval.as_ref());
    let who = Caller::current().and_then(|caller| caller.identity)?;
    let may = |roles: &[Role]| roles.iter().any(|role| who.role >= *role);
    let missing = approvals.map(|approval| &approval.roles).find(|roles| !may(roles))?;
    let names: Vec<&str> = missing.iter().map(|role| role.as_str()).collect();
    let detail = format!(
        "`{}` has the role {}, and the plan wants the agreement of {}",
        who.name,
        who.role.as_str(),
        names.join(" or ")
    );
    let refused = Kind::Forbidden.because(detail).hint("ask one of them to approve it");
    Some(Denial::new(DenialReason::Role, refused).of(&who.name))
}

/// What the audit calls it.
pub(super) fn action(command: Command) -> &'static str {
    match command {
        Command::Pause => "rollout_pause",
        Command::Resume => "rollout_resume",
        Command::Promote => "rollout_promote",
        Command::PromoteFull => "rollout_promote_full",
        Command::Abort => "rollout_abort",
        Command::Approve => "rollout_approve",
        Command::Reject => "rollout_reject",
        Command::Undo => "rollout_undo",
    }
}

/// A command that makes no sense in the phase that the rollout is in.
fn not_now(app: &AppState, id: &str, error: &NotNow) -> Refused {
    let hint = match error.phase {
        Phase::Promoted => "the new version has everything; `undo` brings the old one back",
        Phase::RolledBack | Phase::Aborted | Phase::Superseded => "`retry` starts it once more",
        Phase::RollingBack => "the canary is being withdrawn",
        Phase::Paused => "`resume` lets it go on",
        _ => "look at it first: `weir rollout get`",
    };
    let refused = Kind::RolloutPhase.because(error.to_string()).hint(hint);
    with_current(app, id, refused)
}

fn with_current(app: &AppState, id: &str, refused: Refused) -> Refused {
    match app.rollouts.board().find(id) {
        Some(shown) => refused.current(&describe::summary(&shown.rollout)),
        None => refused,
    }
}

fn failed_command(app: &AppState, error: CommandError) -> Refused {
    match error {
        CommandError::Unknown(id) => unknown(&app.rollouts.board(), &id),
        CommandError::NotNow(error) => Kind::RolloutPhase.because(error.to_string()),
        CommandError::Hindered(why) => Kind::RolloutPhase.because(why),
        CommandError::NotAllowed(why) => Kind::Forbidden.because(why),
        CommandError::Stopping => Refusal::Stopping.into(),
    }
}

pub(super) fn failed_start(app: &AppState, error: StartError) -> Refused {
    let detail = error.to_string();
    match error {
        StartError::Unknown(id) => unknown(&app.rollouts.board(), &id),
        StartError::NotOver(id) => with_current(app, &id, Kind::RolloutPhase.because(detail)),
        StartError::UnderWay { rollout, .. } => {
            let refused = Kind::RolloutActive.because(detail).hint("`supersede` ends it and takes its place");
            with_current(app, &rollout, refused)
        }
        StartError::Unfit(_) => Kind::InvalidPlan.because(detail),
        StartError::KeyReused(_) => Kind::KeyReused.because(detail),
        StartError::Unwritten(error) => Refusal::Store(error).into(),
        StartError::Stopping => Refusal::Stopping.into(),
    }
}

fn told_of(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Store(error) => format!("{refusal}: {error}"),
        _ => refusal.to_string(),
    }
}

// === impl Steering ===

impl<'a> Steering<'a> {
    /// Somebody who may want something now: Weir is not stopping, and the revision is the one that they have seen, unless it is an emergency.
    pub(super) fn new(app: &'a AppState, asked: &Asked, emergency: bool) -> Result<Self, Refused> {
        let origin = request::origin(&asked.headers, asked.reason.clone());
        if emergency {
            return Ok(Self { app, origin });
        }
        if app.view.is_stopping() && !asked.dry_run {
            return Err(Refusal::Stopping.into());
        }
        let state = app.control.state();
        match request::if_match(&asked.headers, &state)? {
            Some(expected) if expected != state.revision => {
                let conflict = Refusal::Conflict { expected, actual: state.revision };
                let refused = Refused::from(conflict);
                Err(refused.current(&serde_json::json!({ "revision": state.revision })))
            }
            _ => Ok(Self { app, origin }),
        }
    }

    /// Somebody of whom the request says nothing.
    pub(super) fn of(app: &'a AppState, origin: Origin) -> Self {
        Self { app, origin }
    }

    pub(super) fn by(&self) -> By {
        By { actor: self.origin.actor.clone(), reason: self.origin.reason.clone() }
    }

    /// Writes to the audit that it is done, on each route.
    pub(super) async fn note(&self, action: &'static str, rollout: &Rollout) -> Result<(), Refusal> {
        for route in &rollout.routes {
            let (origin, route) = (self.origin.clone(), route.clone());
            self.app.control.note(Note { origin, action, route, to: told(rollout) }).await?;
        }
        Ok(())
    }

    /// Writes to the audit that it was not done after all, and what about the rollout was in the way.
    pub(super) async fn take_back(&self, action: &'static str, rollout: &Rollout, why: &str) {
        for route in &rollout.routes {
            let detail = format!("rollout {} {why}", rollout.id);
            let (origin, action, route) = (self.origin.clone(), action.to_owned(), Some(route.clone()));
            self.app.control.denied(control::applier::Denial { origin, action, route, detail }).await;
        }
    }

    /// The answer to a dry run: the rollout as it is.
    pub(super) fn unchanged(&self, id: &str) -> Response {
        let board = self.app.rollouts.board();
        let body = board.find(id).map(|shown| SteeredRollout {
            rollout: describe::whole(shown),
            dry_run: true,
            warnings: Vec::new(),
        });
        answer(self.app.control.state().revision, &body)
    }
}
