//! `/v1/routes/{route}/explain`: which backend a request would get, and why.

use axum::{
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use serde::Deserialize as _;
use serde_json::Value;

use super::{
    Answer, json,
    openapi::{Impossible, OfRoute, RoutePath, Takes},
    problem::{Kind, Refused, pointer},
    request,
    types::{ExplainRequest, Explanation},
};
use crate::admin::AppState;

const MEMBERS: [&str; 5] = ["method", "path", "host", "headers", "client_ip"];

/// What a token may have beside letters and digits (RFC 9110, section 5.6.2).
const TOKEN_MARKS: &[u8] = b"!#$%&'*+-.^_`|~";

/// Explains, without any effect.
#[utoipa::path(
    post,
    path = "/v1/routes/{route}/explain",
    operation_id = "explain",
    tag = "traffic",
    params(RoutePath),
    request_body(content = Option<ExplainRequest>),
    responses(
        (
            status = 200, description = "Which backend, and why", body = Explanation,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
        Takes,
        Impossible,
    )
)]
pub(super) async fn explain(
    State(app): State<AppState>,
    Path(route): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let state = app.control.state();
    let name = state.route(&route)?.name.clone();
    let body = request::json_object(&headers, body).await?.unwrap_or_default();
    request::known_members(&body, &MEMBERS)?;
    let request = ExplainRequest::deserialize(Value::Object(body))
        .map_err(|error| Kind::InvalidBody.because(error.to_string()))?;
    check(&request)?;
    let explanation =
        app.view.explain(&name, &request).map_err(|error| Kind::InvalidChange.because(error))?;
    Ok(json(explanation.revision, &explanation))
}

/// Refuses what could not be sent as a request.
fn check(request: &ExplainRequest) -> Result<(), Refused> {
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || TOKEN_MARKS.contains(&byte))
    };
    if !is_token(&request.method) {
        return Err(Kind::InvalidBody
            .because(format!("`{}` is no method", request.method))
            .at("/method", "no method"));
    }
    if !request.path.starts_with('/') || request.path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        let detail = format!("`{}` is no path", request.path);
        return Err(Kind::InvalidBody.because(detail).at("/path", "has to begin with / and have no spaces"));
    }
    if request.host.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        let detail = format!("`{}` is no host", request.host);
        return Err(Kind::InvalidBody.because(detail).at("/host", "has to have no spaces"));
    }
    for (name, values) in &request.headers {
        let bad = |value: &String| value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f);
        if !is_token(name) || values.0.iter().any(bad) {
            let refused = Kind::InvalidBody.because(format!("`{name}` could not be sent as a header field"));
            return Err(refused.at(pointer(&["headers", name]), "no header field"));
        }
    }
    Ok(())
}
