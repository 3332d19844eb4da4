//! `/v1/status`: everything that an operator looks at first.

use axum::extract::State;

use super::{
    Answer, backends, health, json, routes,
    types::{ControlFileStatus, LastChange, Reload, Status, StoreStatus},
};
use crate::{
    admin::AppState,
    control::{self, audit::rfc3339},
};

/// The whole picture.
#[utoipa::path(
    get,
    path = "/v1/status",
    operation_id = "get_status",
    tag = "configuration",
    responses(
        (
            status = 200, description = "Everything", body = Status,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
    )
)]
pub(super) async fn status(State(app): State<AppState>) -> Answer {
    let state = app.control.state();
    Ok(json(state.revision, &picture(&app, &state)))
}

/// The whole picture of `state`, and of what runs.
pub(super) fn picture(app: &AppState, state: &control::State) -> Status {
    let drift = state.drift();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: app.view.uptime().as_secs_f64(),
        revision: state.revision,
        changed: LastChange {
            at: rfc3339(state.at),
            action: state.action.to_owned(),
            origin: state.origin.clone(),
        },
        file: ControlFileStatus {
            path: state.file.path.display().to_string(),
            digest: state.file.digest.clone(),
            revision: state.file_revision,
            warnings: state.file.warnings.to_string().lines().map(str::to_owned).collect(),
            drifted: !drift.is_empty(),
            drift,
        },
        last_reload: Reload {
            ok: state.last_reload.ok,
            at: rfc3339(state.last_reload.at),
            error: state.last_reload.error.clone(),
        },
        store: StoreStatus {
            directory: state.store.directory.as_ref().map(|directory| directory.display().to_string()),
            persisted: state.store.persisted,
            error: state.store.error.clone(),
        },
        dangling: state.dangling.clone(),
        readiness: health::readiness(app),
        listeners: app.view.listeners(),
        routes: routes::all(app, state),
        backends: backends::all(app, state),
    }
}
