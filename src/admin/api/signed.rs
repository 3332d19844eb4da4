//! `/v1/routes/{route}/signed-overrides`: a header that gives whoever sends it one backend for a while.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use serde_json::{Map, Value, json};

use super::{
    Answer, json,
    openapi::{Impossible, OfRoute, RoutePath, SignBody, Stored, Takes},
    problem::{Kind, Refused},
    request,
    types::history::SignedOverride,
};
use crate::{
    admin::AppState,
    control::{self, Note, audit::rfc3339},
    types::clock,
};

/// The header.
const HEADER: &str = "x-weir-override";
/// How long one counts unless somebody says, in seconds.
const USUAL: u64 = 3600;
/// How long one may count, in seconds: a week. Nobody can take one back.
pub(super) const LONGEST: u64 = 7 * 24 * 3600;

/// Signs an override: whoever sends the header gets the backend on this route, until it expires. Nothing changes for anybody else, and no
/// revision is made; the audit says who signed.
#[utoipa::path(
    post,
    path = "/v1/routes/{route}/signed-overrides",
    operation_id = "sign_override",
    tag = "traffic",
    params(RoutePath),
    request_body(content = SignBody),
    responses(
        (status = 200, description = "The header to send", body = SignedOverride),
        OfRoute,
        Takes,
        Impossible,
        Stored,
    )
)]
pub(super) async fn sign(
    State(app): State<AppState>,
    Path(route): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = request::json_object(&headers, body).await?.unwrap_or_default();
    request::known_members(&body, &["backend", "lifetime_seconds", "reason"])?;
    let backend = request::text(&body, "backend")?.ok_or_else(|| {
        let refused = Kind::InvalidBody.because("`backend` names the backend that the sender gets");
        refused.at("/backend", "is missing").hint(r#"send for example {"backend": "canary"}"#)
    })?;
    let lifetime = lifetime(&body)?;
    let state = app.control.state();
    let (route, backend) = control::of_split(&state, &route, &backend)
        .map_err(|refusal| Refused::from(refusal).only_at("/backend"))?;
    let expires = clock::unix_now() + Duration::from_secs(lifetime);
    let at = rfc3339(Duration::from_secs(expires.as_secs()));
    // Nobody can take one back, so nobody gets one that is not in the audit.
    let note = Note {
        origin: request::origin(&headers, request::text(&body, "reason")?),
        action: "sign_override",
        route: route.clone(),
        to: json!({ "backend": backend, "expires": at }),
    };
    app.control.note(note).await?;
    let seconds = u32::try_from(expires.as_secs()).unwrap_or(u32::MAX);
    let value = app.view.sign_override((&route, &backend), seconds);
    Ok(json(
        state.revision,
        &SignedOverride { route, backend, header: HEADER.to_owned(), value, expires: at },
    ))
}

/// How long it is to count, in seconds.
fn lifetime(body: &Map<String, Value>) -> Result<u64, Refused> {
    let fault = || {
        let detail = format!("`lifetime_seconds` is a whole number from 1 to {LONGEST}");
        Kind::InvalidBody.because(detail).at("/lifetime_seconds", "is none of those")
    };
    match body.get("lifetime_seconds") {
        None | Some(Value::Null) => Ok(USUAL),
        Some(value) => value.as_u64().filter(|seconds| (1..=LONGEST).contains(seconds)).ok_or_else(fault),
    }
}
