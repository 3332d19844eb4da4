//! `/v1/routes/{route}/overrides`: users who get one backend, whatever rules and weights say.

use std::collections::BTreeMap;

use axum::extract::{Path, State};

use super::{
    Answer,
    change::{self, Asked, Sent},
    json,
    openapi::{Changes, Conditional, KeyPath, OfRoute, OverrideBody, ReasonBody, RoutePath, Writes},
    problem::{Kind, Refused},
    types::history::{Override, OverrideChanged, Overrides},
};
use crate::{
    admin::AppState,
    control::{self, Change, OVERRIDE_KEY},
    types::Name,
};

/// Every override of a route.
#[utoipa::path(
    get,
    path = "/v1/routes/{route}/overrides",
    operation_id = "list_overrides",
    tag = "traffic",
    params(RoutePath),
    responses((status = 200, description = "The overrides", body = Overrides), OfRoute)
)]
pub(super) async fn list(State(app): State<AppState>, Path(route): Path<String>) -> Answer {
    let state = app.control.state();
    let route = state.route(&route)?.name.clone();
    let overrides = of(&state, &route);
    Ok(json(state.revision, &Overrides { overrides, revision: state.revision, route }))
}

/// The override of one user.
#[utoipa::path(
    get,
    path = "/v1/routes/{route}/overrides/{key}",
    operation_id = "get_override",
    tag = "traffic",
    params(RoutePath, KeyPath),
    responses((status = 200, description = "The override", body = Override), OfRoute)
)]
pub(super) async fn read(State(app): State<AppState>, Path((route, key)): Path<(String, String)>) -> Answer {
    let state = app.control.state();
    let route = state.route(&route)?.name.clone();
    can_exist(&key)?;
    Ok(json(state.revision, &describe(&state, &route, key)))
}

/// Gives a user a backend.
#[utoipa::path(
    put,
    path = "/v1/routes/{route}/overrides/{key}",
    operation_id = "set_override",
    tag = "traffic",
    params(RoutePath, KeyPath, Writes, Conditional),
    request_body(content = OverrideBody),
    responses(
        (
            status = 200, description = "The override since", body = OverrideChanged,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
        Changes,
        Conditional,
    )
)]
pub(super) async fn set(
    State(app): State<AppState>,
    Path((route, key)): Path<(String, String)>,
    sent: Sent,
) -> Answer {
    let asked = sent.with(&["backend"])?;
    let backend = asked.text("backend")?.ok_or_else(|| {
        let refused = Kind::InvalidBody.because("`backend` names the backend that the user gets");
        refused.at("/backend", "is missing").hint(r#"send for example {"backend": "canary"}"#)
    })?;
    let change = Change::SetOverride { route: route.clone(), key: key.clone(), backend };
    write(&app, (&route, key), change, asked).await
}

/// Lets rules and weights decide about a user again.
#[utoipa::path(
    delete,
    path = "/v1/routes/{route}/overrides/{key}",
    operation_id = "remove_override",
    tag = "traffic",
    params(RoutePath, KeyPath, Writes, Conditional),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The override since", body = OverrideChanged,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
        Changes,
        Conditional,
    )
)]
pub(super) async fn remove(
    State(app): State<AppState>,
    Path((route, key)): Path<(String, String)>,
    sent: Sent,
) -> Answer {
    let asked = sent.with_reason_only()?;
    can_exist(&key)?;
    let change = Change::RemoveOverride { route: route.clone(), key: key.clone() };
    write(&app, (&route, key), change, asked).await
}

async fn write(app: &AppState, (route, key): (&str, String), change: Change, asked: Asked) -> Answer {
    let changed = change::carry_out(app, change, asked).await;
    let (accepted, outcome) = changed.map_err(|refused| refused.only_at("/backend"))?;
    let route = accepted.state.route(route)?.name.clone();
    let now = describe(&accepted.state, &route, key);
    Ok(json(outcome.revision, &OverrideChanged { now, outcome }))
}

/// Refuses to look for an override whose key no override can have.
fn can_exist(key: &str) -> Result<(), Refused> {
    if key.len() <= OVERRIDE_KEY {
        return Ok(());
    }
    Err(Kind::NotFound.because(format!("the key of an override has 1 to {OVERRIDE_KEY} bytes")))
}

fn describe(state: &control::State, route: &Name, key: String) -> Override {
    let backend = state.overlay.routes.get(route).and_then(|overlay| overlay.overrides.get(&key)).cloned();
    Override { route: route.clone(), key, backend }
}

fn of(state: &control::State, route: &Name) -> BTreeMap<String, Name> {
    state.overlay.routes.get(route).map(|overlay| overlay.overrides.clone()).unwrap_or_default()
}
