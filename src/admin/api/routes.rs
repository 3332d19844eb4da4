//! `/v1/routes`: routes, their splits, and what runs through them.

use axum::extract::{Path, State};

use super::{
    Answer, json,
    openapi::{OfRoute, RoutePath},
    rollouts,
    types::{Route, RouteBackend, Routes},
};
use crate::{
    admin::AppState,
    config::model,
    control,
    types::{BackendState, Name, Weight},
};

/// Every route.
#[utoipa::path(
    get,
    path = "/v1/routes",
    operation_id = "list_routes",
    tag = "traffic",
    responses(
        (
            status = 200, description = "Routes in file order", body = Routes,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
    )
)]
pub(super) async fn list(State(app): State<AppState>) -> Answer {
    let state = app.control.state();
    Ok(json(state.revision, &Routes { routes: all(&app, &state) }))
}

/// One route.
#[utoipa::path(
    get,
    path = "/v1/routes/{route}",
    operation_id = "get_route",
    tag = "traffic",
    params(RoutePath),
    responses(
        (
            status = 200, description = "The route", body = Route,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        OfRoute,
    )
)]
pub(super) async fn one(State(app): State<AppState>, Path(route): Path<String>) -> Answer {
    let state = app.control.state();
    let route = describe(&app, &state, state.route(&route)?);
    Ok(json(state.revision, &route))
}

/// Every route, in file order.
pub(in crate::admin) fn all(app: &AppState, state: &control::State) -> Vec<Route> {
    state.file.config.routes.iter().map(|route| describe(app, state, route)).collect()
}

fn describe(app: &AppState, state: &control::State, route: &model::Route) -> Route {
    let weights = state.weights(route);
    let shares = shares(state, route, &weights);
    let backends = route.split.backends.iter().zip(weights.into_iter().zip(shares));
    let backends =
        backends.zip(state.standings(route)).map(|((file, ((name, weight), target_ratio)), standing)| {
            let endpoints = app.view.endpoints(&name);
            RouteBackend {
                traffic: app.view.traffic(&route.name, &name),
                healthy: endpoints.iter().filter(|endpoint| endpoint.available).count(),
                endpoints: endpoints.len(),
                state: standing,
                file_weight: file.weight,
                name,
                weight,
                target_ratio,
            }
        });
    Route {
        name: route.name.clone(),
        sticky: route.split.sticky.mode,
        kill_switch: state.kill_switch(&route.name).cloned(),
        rollout: rollouts::of_route(&app.rollouts.board(), &route.name),
        backends: backends.collect(),
    }
}

/// The share of new users that each backend should get, 0 to 1, in the order of `weights`.
pub(super) fn shares(state: &control::State, route: &model::Route, weights: &[(Name, Weight)]) -> Vec<f64> {
    if let Some(killed) = state.kill_switch(&route.name) {
        return weights.iter().map(|(name, _)| if name == killed { 1.0 } else { 0.0 }).collect();
    }
    let active =
        state.standings(route).into_iter().zip(weights).map(|(standing, (_, weight))| match standing {
            BackendState::Active => weight.as_f64(),
            BackendState::Drain | BackendState::Off => 0.0,
        });
    let active: Vec<f64> = active.collect();
    let total: f64 = active.iter().sum();
    active.into_iter().map(|weight| if total > 0.0 { tidy(weight / total) } else { 0.0 }).collect()
}

/// A ratio without the noise of its last digits; a bucket is 0.00001.
pub(super) fn tidy(ratio: f64) -> f64 {
    // A sum of nothing is -0, which plus 0 is 0.
    (ratio * 1e9).round() / 1e9 + 0.0
}
