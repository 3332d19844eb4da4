//! `/v1/backends/{backend}/drain`: sending no new users to a backend.

use axum::extract::{Path, State};

use super::{
    Answer, backends,
    change::{self, Sent},
    json,
    openapi::{BackendPath, Changes, Conditional, OfBackend, ReasonBody, Writes},
    problem::Refused,
    types::history::{Drain, DrainChanged},
};
use crate::{
    admin::AppState,
    control::{self, Change},
};

/// Whether a backend is drained by the API. The control file can drain it too, on single routes.
#[utoipa::path(
    get,
    path = "/v1/backends/{backend}/drain",
    operation_id = "get_drain",
    tag = "backends",
    params(BackendPath),
    responses((status = 200, description = "The drain", body = Drain), OfBackend)
)]
pub(super) async fn read(State(app): State<AppState>, Path(backend): Path<String>) -> Answer {
    let state = app.control.state();
    Ok(json(state.revision, &describe(&state, &backend)?))
}

/// Sends no new users to a backend, on any route. Users who are pinned to it stay.
#[utoipa::path(
    put,
    path = "/v1/backends/{backend}/drain",
    operation_id = "drain",
    tag = "backends",
    params(BackendPath, Writes, Conditional),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The drain since", body = DrainChanged,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfBackend,
        Changes,
        Conditional,
    )
)]
pub(super) async fn on(State(app): State<AppState>, Path(backend): Path<String>, sent: Sent) -> Answer {
    write(&app, Change::Drain { backend: backend.clone() }, &backend, sent).await
}

/// Sends new users to a backend again.
#[utoipa::path(
    delete,
    path = "/v1/backends/{backend}/drain",
    operation_id = "undrain",
    tag = "backends",
    params(BackendPath, Writes, Conditional),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The drain since", body = DrainChanged,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfBackend,
        Changes,
        Conditional,
    )
)]
pub(super) async fn off(State(app): State<AppState>, Path(backend): Path<String>, sent: Sent) -> Answer {
    write(&app, Change::Undrain { backend: backend.clone() }, &backend, sent).await
}

async fn write(app: &AppState, change: Change, backend: &str, sent: Sent) -> Answer {
    let missing =
        |refused: Refused| if refused.is_unknown_backend() { refused.as_missing_resource() } else { refused };
    let (accepted, outcome) =
        change::carry_out(app, change, sent.with_reason_only()?).await.map_err(missing)?;
    let drained = accepted.state.overlay.drains.iter().any(|name| name.as_str() == backend);
    let name = backends::name(&accepted.state, backend).or_else(|refused| {
        // One that left the file, and whose drain is now forgotten.
        crate::types::Name::new(backend).map_err(|_| refused)
    })?;
    let now = Drain { backend: name, draining: drained };
    Ok(json(outcome.revision, &DrainChanged { now, outcome }))
}

fn describe(state: &control::State, backend: &str) -> Result<Drain, Refused> {
    let name = backends::name(state, backend)?;
    Ok(Drain { draining: state.overlay.drains.contains(&name), backend: name })
}
