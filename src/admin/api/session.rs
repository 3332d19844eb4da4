//! `/v1/session`: who one is, and logging in and out for browsers, which cannot keep a token safe.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

use super::{
    Answer,
    openapi::{LoginBody, Takes},
    problem::Kind,
    request,
    types::{LoggedOut, Session},
};
use crate::admin::{
    AppState,
    auth::{Caller, Identity, Operation, Peer},
    guard,
};

/// The operation, in metrics and the audit.
const LOGIN: Operation = Operation::login();

/// Who the caller is, and what they may do.
#[utoipa::path(
    get,
    path = "/v1/session",
    operation_id = "get_session",
    tag = "access",
    responses((status = 200, description = "Who the caller is", body = Session))
)]
pub(super) async fn read() -> Answer {
    let identity = Caller::current().and_then(|caller| caller.identity);
    let identity = identity.ok_or_else(|| Kind::Unauthorized.because("nobody is known"))?;
    Ok(axum::Json(describe(&identity)).into_response())
}

/// Begins a session for whoever has this token: the answer sets a cookie that lasts twelve hours, or as long as the token.
#[utoipa::path(
    post,
    path = "/v1/session",
    operation_id = "log_in",
    tag = "access",
    request_body(content = LoginBody),
    responses(
        (
            status = 200, description = "The session has begun", body = Session,
            headers(("Set-Cookie" = String, description = "The session"))
        ),
        (status = 422, description = "Nobody has to log in here", body = super::problem::Problem, content_type = "application/problem+json"),
        Takes,
    )
)]
pub(super) async fn log_in(
    State(app): State<AppState>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = request::json_object(&headers, body).await?.unwrap_or_default();
    request::known_members(&body, &["token"])?;
    let token = request::text(&body, "token")?.ok_or_else(|| {
        Kind::InvalidBody
            .because("`token` is missing")
            .at("/token", "is missing")
            .hint("send {\"token\": \"weir_…\"}")
    })?;
    if app.auth.tokens_file().is_none() {
        let refused = Kind::InvalidChange.because("there are no tokens to log in with");
        return Err(refused.hint("name a file of them in `admin.tokens`"));
    }
    let peer = peer.map(|Extension(peer)| peer).unwrap_or_default();
    match app.auth.log_in(token.trim(), &peer, guard::now()) {
        Ok((identity, cookie)) => {
            let cookie = cookie.ok_or_else(|| Kind::Internal.because("the system has no randomness"))?;
            Ok(with_cookie(axum::Json(describe(&identity)).into_response(), cookie))
        }
        Err(denial) => {
            let request_id = Caller::current().map(|caller| caller.request_id).unwrap_or_default();
            guard::note(&app, &denial, (LOGIN, peer, None, &request_id));
            Ok(denial.into_response())
        }
    }
}

/// Ends the caller's session.
#[utoipa::path(
    delete,
    path = "/v1/session",
    operation_id = "log_out",
    tag = "access",
    responses((
        status = 200, description = "There is no session any more", body = LoggedOut,
        headers(("Set-Cookie" = String, description = "Has the browser forget the session"))
    ))
)]
pub(super) async fn log_out(
    State(app): State<AppState>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Answer {
    let peer = peer.map(|Extension(peer)| peer).unwrap_or_default();
    let response = axum::Json(LoggedOut { ended: true }).into_response();
    Ok(match app.auth.log_out(&headers, &peer) {
        Some(cookie) => with_cookie(response, cookie),
        None => response,
    })
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

fn describe(identity: &Identity) -> Session {
    Session {
        name: identity.name.clone(),
        role: identity.role.as_str().to_owned(),
        routes: identity.routes.as_ref().map(|routes| routes.to_vec()),
        proof: identity.proof.as_str().to_owned(),
    }
}
