//! `/v1/config`: the control file, what is in force of it, its schema, and checking another one.

use axum::{
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Answer, etag, json,
    openapi::{AnyObject, ConfigFile, ConfigText, Impossible, SchemaDocument, Takes},
    problem::{Kind, Refused},
    request,
    types::{
        Checked,
        diff::{ConfigChange, ConfigDiff},
    },
};
use crate::{
    admin::{AppState, auth::Caller},
    config::{self, Config, Diagnostics, Loaded},
    control::State as ControlState,
    types::Role,
};

const YAML: &str = "application/yaml";
/// What a control file may be sent as; curl's default is among them, for it is what people forget to change.
const FILE_TYPES: [&str; 6] = [
    YAML,
    "application/x-yaml",
    "text/yaml",
    "text/plain",
    "application/json",
    "application/x-www-form-urlencoded",
];

/// How to write the effective configuration.
#[derive(Debug, Deserialize)]
pub(super) struct EffectiveQuery {
    format: Option<String>,
}

/// The control file in force, as it was read.
#[utoipa::path(
    get,
    path = "/v1/config",
    operation_id = "get_config",
    tag = "configuration",
    responses(
        (
            status = 200,
            description = "The control file",
            body = ConfigFile,
            content_type = "application/yaml",
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
    )
)]
pub(super) async fn file(State(app): State<AppState>) -> Response {
    let state = app.control.state();
    yaml(&state, state.file.text.to_string())
}

/// The control file with every default filled in and the overlay on top; JSON, or YAML with `?format=yaml`.
#[utoipa::path(
    get,
    path = "/v1/config/effective",
    operation_id = "get_effective_config",
    tag = "configuration",
    params(EffectiveQuery),
    responses(
        (
            status = 200,
            description = "The control file, every default filled in",
            content((AnyObject = "application/json"), (ConfigFile = "application/yaml")),
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
    )
)]
pub(super) async fn effective(State(app): State<AppState>, Query(query): Query<EffectiveQuery>) -> Answer {
    let state = app.control.state();
    let config = in_force(&state);
    match query.format.as_deref() {
        None | Some("json") => Ok(json(state.revision, &config)),
        Some("yaml") => Ok(yaml(&state, config.to_yaml())),
        Some(other) => {
            Err(Kind::InvalidParameter.because(format!("`format` is json or yaml, not `{other}`")))
        }
    }
}

/// The JSON schema of control files.
#[utoipa::path(
    get,
    path = "/v1/config/schema",
    operation_id = "get_config_schema",
    tag = "configuration",
    responses(
        (status = 200, description = "The schema", body = SchemaDocument, content_type = "application/schema+json"),
    )
)]
pub(super) async fn schema() -> Response {
    let media_type = [(header::CONTENT_TYPE, "application/schema+json")];
    (media_type, axum::Json(config::schema()).into_response().into_body()).into_response()
}

/// What would change if the API had set nothing on top of the control file. What may be a secret is withheld from others than
/// administrators.
#[utoipa::path(
    get,
    path = "/v1/config/diff",
    operation_id = "diff_overlay",
    tag = "configuration",
    responses(
        (
            status = 200, description = "What would change", body = ConfigDiff,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
    )
)]
pub(super) async fn diff_overlay(State(app): State<AppState>) -> Answer {
    let state = app.control.state();
    Ok(json(state.revision, &compare(&in_force(&state), &state.file.config)))
}

/// What would change if this control file were loaded. Nothing changes. What may be a secret is withheld from others than administrators;
/// they see that it is another.
#[utoipa::path(
    post,
    path = "/v1/config/diff",
    operation_id = "diff_config",
    tag = "configuration",
    request_body(content(
        (ConfigFile = "application/yaml"),
        (ConfigFile = "application/x-yaml"),
        (ConfigFile = "text/yaml"),
        (ConfigText = "text/plain"),
        (ConfigFile = "application/json"),
        (ConfigText = "application/x-www-form-urlencoded"),
    )),
    responses(
        (
            status = 200, description = "What would change", body = ConfigDiff,
            headers(("ETag" = String, description = "The revision in force, such as `\"r42\"`"))
        ),
        Takes,
        Impossible,
    )
)]
pub(super) async fn diff_file(State(app): State<AppState>, headers: HeaderMap, body: Body) -> Answer {
    let wanted = sent_file(&headers, body).await?.config;
    let state = app.control.state();
    Ok(json(state.revision, &compare(&state.file.config, &wanted)))
}

/// Whether a control file is good. Nothing changes.
#[utoipa::path(
    post,
    path = "/v1/config/check",
    operation_id = "check_config",
    tag = "configuration",
    request_body(content(
        (ConfigFile = "application/yaml"),
        (ConfigFile = "application/x-yaml"),
        (ConfigFile = "text/yaml"),
        (ConfigText = "text/plain"),
        (ConfigFile = "application/json"),
        (ConfigText = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "The file is good", body = Checked),
        Takes,
        Impossible,
    )
)]
pub(super) async fn check(headers: HeaderMap, body: Body) -> Answer {
    let loaded = sent_file(&headers, body).await?;
    Ok(axum::Json(Checked { ok: true, warnings: items(&loaded.warnings) }).into_response())
}

/// The control file in a body.
async fn sent_file(headers: &HeaderMap, body: Body) -> Result<Loaded, Refused> {
    request::media_type(headers, &FILE_TYPES)?;
    let bytes = request::bytes(body, config::MAX_FILE_BYTES).await?;
    config::parse_bytes(&bytes, "(request)").map_err(|diagnostics| {
        let refused = Kind::InvalidConfig.because(diagnostics.summary());
        let refused = diagnostics
            .iter()
            .fold(refused, |refused, item| refused.at(item.pointer.clone(), item.message.clone()));
        refused.diagnostics(items(&diagnostics))
    })
}

/// The control file with the weights in force.
fn in_force(state: &ControlState) -> Config {
    let mut config = Config::clone(&state.file.config);
    for route in &mut config.routes {
        let weights = state.weights(route);
        for (backend, (_, weight)) in route.split.backends.iter_mut().zip(weights) {
            backend.weight = weight;
        }
    }
    config
}

fn compare(running: &Config, wanted: &Config) -> ConfigDiff {
    let (mut running, mut wanted) = (running.to_json(), wanted.to_json());
    withhold([&mut running, &mut wanted]);
    let changes: Vec<ConfigChange> =
        config::compare(&running, &wanted).into_iter().map(ConfigChange::from).collect();
    ConfigDiff { different: !changes.is_empty(), changes }
}

/// Leaves out what may be a secret, unless an administrator asks. The same text has the same mark in both, so that a comparison still says
/// whether it is another one.
pub(super) fn withhold(documents: [&mut Value; 2]) {
    let identity = Caller::current().and_then(|caller| caller.identity);
    if identity.is_some_and(|who| who.role == Role::Admin) {
        return;
    }
    let mut seen = Vec::<String>::new();
    let mut mark = |secret: &str| {
        let known = seen.iter().position(|other| other == secret);
        let number = known.unwrap_or_else(|| {
            seen.push(secret.to_owned());
            seen.len() - 1
        });
        format!("(withheld {})", number + 1)
    };
    documents.into_iter().for_each(|document| config::withhold(document, &mut mark));
}

pub(super) fn items(diagnostics: &Diagnostics) -> Vec<Value> {
    match diagnostics.to_json() {
        Value::Array(items) => items,
        other => vec![other],
    }
}

fn yaml(state: &ControlState, text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, YAML)];
    (headers, [(header::ETAG, etag(state.revision))], text).into_response()
}
