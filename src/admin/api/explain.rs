//! `/v1/routes/{route}/explain`: which backend a request would get, and why.

use axum::{
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
};
use serde::Deserialize as _;
use serde_json::Value;

use super::{Answer, json, problem::Kind, request, types::ExplainRequest};
use crate::admin::AppState;

const MEMBERS: [&str; 5] = ["method", "path", "host", "headers", "client_ip"];

/// Explains, without any effect.
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
    let explanation = app.view.explain(&name, &request).map_err(|error| Kind::InvalidBody.because(error))?;
    Ok(json(explanation.revision, &explanation))
}
