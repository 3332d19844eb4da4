//! `/v1/backends`: backends, their endpoints and how they are.

use axum::extract::{Path, State};

use super::{
    Answer, json,
    openapi::{BackendPath, OfBackend},
    problem::{Kind, Refused},
    types::{Backend, Backends},
};
use crate::{
    admin::AppState,
    control::{self, refusal::nearest},
    types::Name,
};

/// Every backend.
#[utoipa::path(
    get,
    path = "/v1/backends",
    operation_id = "list_backends",
    tag = "backends",
    responses(
        (
            status = 200, description = "Backends by name", body = Backends,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
    )
)]
pub(super) async fn list(State(app): State<AppState>) -> Answer {
    let state = app.control.state();
    Ok(json(state.revision, &Backends { backends: all(&app, &state) }))
}

/// One backend.
#[utoipa::path(
    get,
    path = "/v1/backends/{backend}",
    operation_id = "get_backend",
    tag = "backends",
    params(BackendPath),
    responses(
        (
            status = 200, description = "The backend", body = Backend,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfBackend,
    )
)]
pub(super) async fn one(State(app): State<AppState>, Path(backend): Path<String>) -> Answer {
    let state = app.control.state();
    let name = name(&state, &backend)?;
    Ok(json(state.revision, &describe(&app, &state, &name)))
}

/// The backend that a path names.
pub(super) fn name(state: &control::State, backend: &str) -> Result<Name, Refused> {
    let backends = &state.file.config.backends;
    if let Some((name, _)) = backends.get_key_value(backend) {
        return Ok(name.clone());
    }
    let refused = Kind::UnknownBackend.because(format!("there is no backend `{backend}`"));
    let refused = refused.as_missing_resource();
    Err(match nearest(backend, backends.keys()) {
        Some(name) => refused.hint(format!("did you mean `{name}`?")),
        None => refused,
    })
}

/// Every backend, by name.
pub(in crate::admin) fn all(app: &AppState, state: &control::State) -> Vec<Backend> {
    state.file.config.backends.keys().map(|name| describe(app, state, name)).collect()
}

fn describe(app: &AppState, state: &control::State, name: &Name) -> Backend {
    let endpoints = app.view.endpoints(name);
    let routes = state.file.config.routes.iter();
    let routes = routes.filter(|route| route.split.backends.iter().any(|backend| backend.name == *name));
    Backend {
        name: name.clone(),
        healthy: endpoints.iter().filter(|endpoint| endpoint.available).count(),
        routes: routes.map(|route| route.name.clone()).collect(),
        health_checked: state.file.config.backends.get(name).is_some_and(|b| b.health_check.is_some()),
        condition: app.view.condition(name),
        endpoints,
    }
}
