//! `/v1/routes/{route}/kill-switch`.

use axum::extract::{Path, State};

use super::{
    Answer,
    change::{self, Asked, Sent},
    json,
    openapi::{Changes, Conditional, KillBody, OfRoute, ReasonBody, RoutePath, Writes},
    types::KillSwitch,
};
use crate::{
    admin::AppState,
    control::{self, Change},
    types::Name,
};

/// Whether it is on.
#[utoipa::path(
    get,
    path = "/v1/routes/{route}/kill-switch",
    operation_id = "get_kill_switch",
    tag = "traffic",
    params(RoutePath),
    responses(
        (
            status = 200, description = "The kill switch", body = KillSwitch,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
    )
)]
pub(super) async fn read(State(app): State<AppState>, Path(route): Path<String>) -> Answer {
    let state = app.control.state();
    let answer = describe(&state, &state.route(&route)?.name);
    Ok(json(state.revision, &answer))
}

/// Sends everything to one backend. Ignores `If-Match`: nobody pulls a brake on condition.
#[utoipa::path(
    put,
    path = "/v1/routes/{route}/kill-switch",
    operation_id = "kill",
    tag = "traffic",
    params(RoutePath, Writes),
    request_body(content = Option<KillBody>),
    responses(
        (
            status = 200, description = "It is on; for a dry run, as it would be", body = KillSwitch,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
        Changes,
    )
)]
pub(super) async fn on(State(app): State<AppState>, Path(route): Path<String>, sent: Sent) -> Answer {
    let asked = sent.with(&["backend"])?;
    let change = Change::Kill { route: route.clone(), backend: asked.text("backend")? };
    write(&app, &route, change, asked).await
}

/// Lets the split decide again.
#[utoipa::path(
    delete,
    path = "/v1/routes/{route}/kill-switch",
    operation_id = "unkill",
    tag = "traffic",
    params(RoutePath, Writes, Conditional),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "It is off; for a dry run, as it would be", body = KillSwitch,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
        Changes,
        Conditional,
    )
)]
pub(super) async fn off(State(app): State<AppState>, Path(route): Path<String>, sent: Sent) -> Answer {
    write(&app, &route, Change::Unkill { route: route.clone() }, sent.with_reason_only()?).await
}

async fn write(app: &AppState, name: &str, change: Change, asked: Asked) -> Answer {
    let changed = change::carry_out(app, change, asked).await;
    let (accepted, outcome) = changed.map_err(|refused| refused.only_at("/backend"))?;
    let route = &accepted.state.route(name)?.name;
    let mut answer = KillSwitch {
        revision: outcome.revision,
        changed: Some(outcome.changed),
        dry_run: outcome.dry_run,
        moved_ratio: Some(outcome.moved_on(route)),
        warnings: outcome.warnings,
        ..describe(&accepted.state, route)
    };
    if let (Some(error), false) = (&accepted.state.store.error, outcome.dry_run) {
        answer.warnings.push(format!("in force, but a restart would forget it: {error}"));
    }
    Ok(json(answer.revision, &answer))
}

fn describe(state: &control::State, route: &Name) -> KillSwitch {
    let backend = state.kill_switch(route).cloned();
    KillSwitch {
        route: route.clone(),
        revision: state.revision,
        active: backend.is_some(),
        backend,
        persisted: state.store.persisted,
        changed: None,
        moved_ratio: None,
        dry_run: false,
        warnings: Vec::new(),
    }
}
