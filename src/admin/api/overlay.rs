//! `/v1/routes/{route}/overlay`: what was set on top of the control file, and giving the file its say again.

use axum::extract::{Path, State};

use super::{
    Answer,
    change::{self, Sent},
    json,
    openapi::{Changes, Conditional, OfRoute, OutsideRollouts, ReasonBody, RoutePath, Writes},
    types::history::{OverlayDropped, RouteOverlay},
};
use crate::{
    admin::AppState,
    control::{self, Change},
    types,
};

/// What was set on top of the control file; also for a route that the file has no more.
#[utoipa::path(
    get,
    path = "/v1/routes/{route}/overlay",
    operation_id = "get_overlay",
    tag = "traffic",
    params(RoutePath),
    responses((status = 200, description = "The overlay of the route", body = RouteOverlay), OfRoute)
)]
pub(super) async fn read(State(app): State<AppState>, Path(route): Path<String>) -> Answer {
    let state = app.control.state();
    let overlay = match find(&state, &route) {
        Some(overlay) => overlay.clone(),
        None => state.route(&route).map(|_| types::RouteOverlay::default())?,
    };
    let answer = RouteOverlay {
        route,
        revision: state.revision,
        weights: serde_json::to_value(&overlay.weights).unwrap_or_default(),
        kill_switch: overlay.kill_switch,
        overrides: overlay.overrides,
    };
    Ok(json(state.revision, &answer))
}

/// Gives the file its say again: its weights hold, and no user has an override. A kill switch stays on.
#[utoipa::path(
    delete,
    path = "/v1/routes/{route}/overlay",
    operation_id = "drop_overlay",
    tag = "traffic",
    params(RoutePath, Writes, Conditional),
    request_body(content = Option<ReasonBody>),
    responses(
        (
            status = 200, description = "The file's say", body = OverlayDropped,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
        OutsideRollouts,
        Changes,
        Conditional,
    )
)]
pub(super) async fn drop(State(app): State<AppState>, Path(route): Path<String>, sent: Sent) -> Answer {
    let change = Change::DropOverlay { route: route.clone() };
    let (_, outcome) = change::carry_out(&app, change, sent.with_reason_only()?).await?;
    Ok(json(outcome.revision, &OverlayDropped { route, outcome }))
}

fn find<'s>(state: &'s control::State, route: &str) -> Option<&'s types::RouteOverlay> {
    state.overlay.routes.iter().find(|(name, _)| name.as_str() == route).map(|(_, overlay)| overlay)
}
