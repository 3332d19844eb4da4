//! `/v1/routes/{route}/kill-switch`.

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::HeaderMap,
};

use super::{
    Answer, change, json,
    openapi::{Changes, Conditional, KillBody, OfRoute, ReasonBody, RoutePath, Writes},
    request,
    types::KillSwitch,
    weights::{WriteQuery, with_current},
};
use crate::{
    admin::AppState,
    control::{self, Change, Command},
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
pub(super) async fn on(
    State(app): State<AppState>,
    Path(route): Path<String>,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = request::json_object(&headers, body).await?.unwrap_or_default();
    request::known_members(&body, &["backend", "reason"])?;
    let change = Change::Kill { route: route.clone(), backend: request::text(&body, "backend")? };
    let origin = request::origin(&headers, request::text(&body, "reason")?);
    let command = Command { dry_run: query.dry_run()?, ..Command::new(change, origin) };
    write(&app, &route, command).await
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
pub(super) async fn off(
    State(app): State<AppState>,
    Path(route): Path<String>,
    Query(query): Query<WriteQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = request::json_object(&headers, body).await?.unwrap_or_default();
    request::known_members(&body, &["reason"])?;
    let expected = request::if_match(&headers, &app.control.state())
        .map_err(|refused| with_current(&app, &route, refused))?;
    let origin = request::origin(&headers, request::text(&body, "reason")?);
    let change = Change::Unkill { route: route.clone() };
    write(&app, &route, Command { expected, dry_run: query.dry_run()?, ..Command::new(change, origin) }).await
}

async fn write(app: &AppState, route: &str, command: Command) -> Answer {
    let dry_run = command.dry_run;
    let accepted = request::apply(app, command).await;
    let accepted = accepted.map_err(|refusal| {
        let names_backend = matches!(refusal, control::Refusal::UnknownBackend { .. });
        let refused = with_current(app, route, refusal.into());
        if names_backend { refused.only_at("/backend") } else { refused }
    })?;
    let mut answer = describe(&accepted.state, &accepted.state.route(route)?.name);
    answer.changed = Some(accepted.changed);
    answer.moved_ratio = accepted
        .before
        .route(route)
        .ok()
        .zip(accepted.state.route(route).ok())
        .map(|(old, new)| change::moved_on((&accepted.before, old), (&accepted.state, new)));
    answer.dry_run = dry_run;
    answer.warnings = accepted.warnings;
    if let (Some(error), false) = (&accepted.state.store.error, dry_run) {
        answer.warnings.push(format!("in force, but a restart would forget it: {error}"));
    }
    // A dry run promises no revision.
    answer.revision = if dry_run { app.control.state().revision } else { accepted.state.revision };
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
