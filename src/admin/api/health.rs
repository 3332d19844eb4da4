//! `/livez`, `/readyz` and `/metrics`.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    Answer,
    problem::{Kind, Problem},
    types::{Health, Readiness},
};
use crate::admin::{AppState, auth::Caller};

/// The process runs and answers.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "livez",
    tag = "probes",
    responses(
        (status = 200, description = "It answers", body = Health),
    )
)]
pub(super) async fn livez() -> Response {
    Json(Health { status: "ok".to_owned() }).into_response()
}

/// Whether new traffic should come here.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "probes",
    responses(
        (status = 200, description = "New traffic should come here", body = Readiness),
        (status = 503, description = "New traffic should go elsewhere", body = Readiness),
    )
)]
pub(super) async fn readyz(State(app): State<AppState>) -> Response {
    let mut readiness = readiness(&app);
    if Caller::current().is_none_or(|caller| caller.identity.is_none()) {
        // Warnings name files and routes, which are not for everybody.
        readiness.warnings.clear();
    }
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// Every metric.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "probes",
    responses(
        (status = 200, description = "Prometheus text format", body = String, content_type = "text/plain"),
        (
            status = 500,
            description = "They cannot be gathered",
            body = Problem,
            content_type = "application/problem+json"
        ),
    )
)]
pub(super) async fn metrics(State(app): State<AppState>) -> Answer {
    let text = app.view.metrics().map_err(|error| Kind::Internal.because(error))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Whether new traffic should come here, and what an operator should know in any case.
pub(super) fn readiness(app: &AppState) -> Readiness {
    let state = app.control.state();
    let reasons = app.view.not_ready();
    let mut warnings = Vec::new();
    if let Some(error) = &state.last_reload.error {
        warnings.push(format!("the control file was refused, the last good one runs: {error}"));
    }
    if let Some(error) = &state.store.error {
        warnings.push(format!("the store fails: {error}"));
    }
    warnings.extend(state.dangling.iter().map(ToString::to_string));
    warnings.extend(app.view.warnings());
    Readiness { ready: reasons.is_empty(), reasons, warnings }
}
