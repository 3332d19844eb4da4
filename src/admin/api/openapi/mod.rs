//! The API's own description: OpenAPI 3.1, made of the handlers that answer.
//!
//! A handler's path, method, parameters and answers stand in its `#[utoipa::path]`, and the router takes them from there
//! (`super::routes`): what is not described cannot be reached. What every operation has in common is added here once: who may
//! ask, and the errors of the guard. The description is also what the guard goes by when it refuses unknown parameters.

mod answers;
mod links;
mod parameters;
mod schemas;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use axum::{
    body::Bytes,
    http::{Method, header},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, ParameterIn, PathItem},
};

pub(super) use self::{
    answers::{
        Changes, Impossible, InPhase, OfBackend, OfRevision, OfRollout, OfRoute, OutsideRollouts, Stored,
        Takes,
    },
    parameters::{
        Against, AuditFilter, BackendPath, Conditional, KeyPath, LinkPath, Once, PausesRollout, PromoteFull,
        RevisionPath, RolloutPath, RoutePath, Writes,
    },
    schemas::{
        AnyObject, ConfigFile, ConfigText, Diagnostic, EventText, KillBody, LoginBody, OverrideBody,
        PatchWeightsBody, PutWeightsBody, ReasonBody, SchemaDocument, SignBody, StartBody,
    },
};

/// Made once: the routes do not change while Weir runs.
static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::of(super::routes().into_openapi()));

/// Stands for `contentSchema` (JSON Schema 2020-12), which the library's types do not have.
const CONTENT_SCHEMA: &str = "x-content-schema";

struct Document {
    /// As it is served.
    text: Bytes,
    /// The query parameters of each operation, by path template and method.
    queries: BTreeMap<(String, &'static str), BTreeSet<String>>,
}

/// The description of this API
///
/// OpenAPI 3.1, made of the code that answers.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "get_openapi",
    tag = "configuration",
    responses((status = 200, description = "The description", body = AnyObject))
)]
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.text.clone()).into_response()
}

/// The names of the query parameters that an operation takes; none when there is no such operation.
pub(in crate::admin) fn query_parameters(
    method: &Method,
    template: &str,
) -> Option<&'static BTreeSet<String>> {
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    // The key is borrowed nowhere else, and the map is small.
    DOCUMENT.queries.iter().find(|((path, of), _)| path == template && *of == method).map(|(_, names)| names)
}

/// The templates of all paths.
#[cfg(test)]
pub(in crate::admin) fn paths() -> BTreeSet<String> {
    DOCUMENT.queries.keys().map(|(path, _)| path.clone()).collect()
}

/// What the routes are added to.
pub(super) fn empty() -> OpenApi {
    typed(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weir admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What operators, scripts and the command line see and change. Ratios are 0 to 1, times are \
                            seconds. HEAD works wherever GET does, and OPTIONS answers with `Allow`. \
                            Members may be added to answers; unknown members of requests are refused.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {},
        "components": {"securitySchemes": {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "Where the control file names no file of tokens, nobody has to say who they are.",
            },
            "session": {
                "type": "apiKey", "in": "cookie", "name": "weir_session",
                "description": "Of a browser that has logged in; `__Host-weir_session` in TLS.",
            },
            "certificate": {"type": "mutualTLS", "description": "Where the control file gives certificates roles."},
        }},
        "security": [{"token": []}, {"session": []}, {"certificate": []}, {}],
        "tags": [
            {"name": "traffic", "description": "Splits, weights, kill switches, and where a request would go."},
            {"name": "rollouts", "description": "Moving traffic to a new version step by step, and steering that."},
            {"name": "backends", "description": "Endpoints and how they are."},
            {"name": "events", "description": "What happens, as it happens."},
            {"name": "history", "description": "Revisions, what differs between them, going back, and the audit."},
            {"name": "configuration", "description": "The control file, its schema, and the whole picture."},
            {"name": "access", "description": "Who the caller is, and logging in."},
            {"name": "probes", "description": "For supervisors, load balancers and scrapers."},
        ],
    }))
}

// === impl Document ===

impl Document {
    fn of(mut api: OpenApi) -> Self {
        answers::add_common(&mut api);
        links::add(&mut api);
        let mut queries = BTreeMap::new();
        for (path, item) in &api.paths.paths {
            for (method, operation) in operations(item) {
                let parameters = operation.parameters.iter().flatten();
                let names = parameters.filter_map(|parameter| match parameter {
                    RefOr::T(one) if matches!(one.parameter_in, ParameterIn::Query) => Some(one.name.clone()),
                    _ => None,
                });
                queries.insert((path.clone(), method), names.collect());
            }
        }
        let mut text = api.to_pretty_json().expect("the description has text keys only");
        text.push('\n');
        let text = text.replace(CONTENT_SCHEMA, "contentSchema");
        Self { text: text.into(), queries }
    }
}

/// The operations of a path, with their methods.
fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let all = [
        ("GET", &item.get),
        ("PUT", &item.put),
        ("POST", &item.post),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// A part of the description that is written as JSON.
fn typed<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a part of the description follows OpenAPI, as tests show")
}

#[cfg(test)]
mod tests;
