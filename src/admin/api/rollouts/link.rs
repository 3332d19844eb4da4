//! `/v1/rollouts/{rollout}/links/{token}`: the page of a link that is in messages, and its button.
//!
//! Nobody has to say who they are: whoever has the link may use it. An attempt with one that was not made here counts like one with a wrong
//! token. Answers are pages for people, also those that refuse.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::steer::{Steering, action};
use crate::{
    admin::{
        AppState,
        api::{
            openapi::{LinkPath, RolloutPath},
            problem::Kind,
        },
        auth::{Caller, Denial, Operation, Peer},
        guard,
    },
    control::{Channel, Origin, Refusal},
    rollout::{
        driver::CommandError,
        links::{Link, LinkError, page},
        machine::{By, Rollout},
    },
    telemetry::DenialReason,
    types::clock,
};

/// The page of an approval link: what is about to happen, and a button that does it. Nothing happens before that is pressed.
#[utoipa::path(
    get,
    path = "/v1/rollouts/{rollout}/links/{token}",
    operation_id = "show_rollout_link",
    tag = "rollouts",
    params(RolloutPath, LinkPath),
    responses(
        (status = 200, description = "A page that asks", body = String, content_type = "text/html"),
        (status = 404, description = "This is no link that was made here", body = String, content_type = "text/html"),
        (
            status = 410, description = "It has expired, was used, or the rollout does not wait for it any more",
            body = String, content_type = "text/html"
        ),
    )
)]
pub(in crate::admin::api) async fn show_link(
    State(app): State<AppState>,
    Path((rollout, token)): Path<(String, String)>,
    peer: Option<Extension<Peer>>,
) -> Response {
    match look(&app, &rollout, &token, clock::unix_now()).await {
        Ok((link, rollout)) => html(StatusCode::OK, page::confirmation(&link, &rollout)),
        Err(error) => refused(&app, error, peer),
    }
}

/// Agrees to the next step, or rejects it, as the link says, for whoever has it. Once: the two links of a message are used up together.
#[utoipa::path(
    post,
    path = "/v1/rollouts/{rollout}/links/{token}",
    operation_id = "use_rollout_link",
    tag = "rollouts",
    params(RolloutPath, LinkPath),
    responses(
        (status = 200, description = "It is done", body = String, content_type = "text/html"),
        (status = 404, description = "This is no link that was made here", body = String, content_type = "text/html"),
        (
            status = 410, description = "It has expired, was used, or the rollout does not wait for it any more",
            body = String, content_type = "text/html"
        ),
        (
            status = 503, description = "Not now: the store failed, or Weir is stopping", body = String,
            content_type = "text/html"
        ),
    )
)]
pub(in crate::admin::api) async fn use_link(
    State(app): State<AppState>,
    Path((rollout, token)): Path<(String, String)>,
    peer: Option<Extension<Peer>>,
) -> Response {
    match decide(&app, &rollout, &token, clock::unix_now()).await {
        Ok(link) => html(StatusCode::OK, page::done(&link)),
        Err(error) => refused(&app, error, peer),
    }
}

/// What the link would do at `now` (since the Unix epoch), and to which rollout.
async fn look(
    app: &AppState,
    id: &str,
    token: &str,
    now: Duration,
) -> Result<(Link, Arc<Rollout>), LinkError> {
    // Who has no link learns nothing of which rollouts there are.
    app.links.verify(id, token, now.as_secs())?;
    let board = app.rollouts.board();
    let rollout = &board.find(id).ok_or(LinkError::Over)?.rollout;
    let link = app.links.look(app.control.journal(), (rollout, token), now).await?;
    Ok((link, Arc::clone(rollout)))
}

/// Does what the link says. Like all that is no emergency, it is in the audit before it is done, or is not done.
async fn decide(app: &AppState, id: &str, token: &str, now: Duration) -> Result<Link, LinkError> {
    let (link, rollout) = look(app, id, token, now).await?;
    if app.view.is_stopping() {
        return Err(LinkError::Stopping);
    }
    let request_id = Caller::current().map(|caller| caller.request_id);
    let origin = Origin { request_id, ..Origin::new(&link.actor(), Channel::Api) };
    let steering = Steering::of(app, origin);
    let action = action(link.command);
    steering.note(action, &rollout).await.map_err(|refusal| match refusal {
        Refusal::Stopping => LinkError::Stopping,
        _ => LinkError::NotKept,
    })?;
    let done = carry_out(app, (&rollout, token), steering.by(), now).await;
    if let Err(error) = &done {
        steering.take_back(action, &rollout, &format!("is as it was: {error}")).await;
    }
    done
}

async fn carry_out(
    app: &AppState,
    (rollout, token): (&Rollout, &str),
    by: By,
    now: Duration,
) -> Result<Link, LinkError> {
    let link = app.links.redeem(app.control.journal(), (rollout, token), now).await?;
    match app.rollouts.command(&rollout.id, link.command, by).await {
        Ok(_) => Ok(link),
        Err(CommandError::Stopping) => Err(LinkError::Stopping),
        // It was decided by a command meanwhile, or was withdrawn.
        Err(
            CommandError::Unknown(_)
            | CommandError::NotNow(_)
            | CommandError::Hindered(_)
            | CommandError::NotAllowed(_),
        ) => Err(LinkError::Over),
    }
}

/// The page that says why nothing was done. Who sends what was never made here is counted, and told to wait after too many of them.
fn refused(app: &AppState, error: LinkError, peer: Option<Extension<Peer>>) -> Response {
    let status = match error {
        LinkError::Invalid => StatusCode::NOT_FOUND,
        LinkError::Expired | LinkError::Used | LinkError::Over => StatusCode::GONE,
        LinkError::NotKept | LinkError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    if error == LinkError::Invalid {
        let peer = peer.map(|Extension(peer)| peer).unwrap_or_default();
        let wrong = Denial::new(DenialReason::WrongToken, Kind::NotFound.because(error.to_string()));
        let denial = app.auth.count(wrong, &peer);
        let request_id = Caller::current().map(|caller| caller.request_id).unwrap_or_default();
        guard::note(app, &denial, (Operation::rollout_link(), peer, None, &request_id));
        if denial.reason == DenialReason::RateLimited {
            return denial.into_response();
        }
    }
    html(status, page::refused(error))
}

fn html(status: StatusCode, text: String) -> Response {
    (status, page::HEADERS, text).into_response()
}
