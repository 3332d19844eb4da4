//! The paths of the admin API and their handlers; [`types`] has what goes over the wire.

mod backends;
mod config;
mod explain;
mod health;
mod kill_switch;
pub mod page;
pub mod problem;
mod request;
mod routes;
mod status;
pub mod types;
mod weights;

use axum::{
    Router,
    http::{HeaderValue, Uri, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;

use self::problem::{Kind, Refused};
use super::{AppState, guard};
use crate::types::Revision;

/// What a handler answers.
type Answer = Result<Response, Refused>;

/// The whole admin API over `app`.
pub fn router(app: AppState) -> Router {
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/v1/status", get(status::status))
        .route("/v1/routes", get(routes::list))
        .route("/v1/routes/{route}", get(routes::one))
        .route("/v1/routes/{route}/weights", get(weights::read).patch(weights::patch).put(weights::replace))
        .route(
            "/v1/routes/{route}/kill-switch",
            get(kill_switch::read).put(kill_switch::on).delete(kill_switch::off),
        )
        .route("/v1/routes/{route}/explain", post(explain::explain))
        .route("/v1/backends", get(backends::list))
        .route("/v1/backends/{backend}", get(backends::one))
        .route("/v1/config", get(config::file))
        .route("/v1/config/effective", get(config::effective))
        .route("/v1/config/schema", get(config::schema))
        .route("/v1/config/check", post(config::check))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

async fn no_such_path(uri: Uri) -> Refused {
    Kind::NotFound
        .because(format!("there is nothing at `{}`", uri.path()))
        .hint("the API is described in docs/api.md; most paths begin with /v1")
}

async fn no_such_method(method: axum::http::Method, uri: Uri) -> Refused {
    Kind::MethodNotAllowed.because(format!("`{}` does not take {method}", uri.path()))
}

/// A JSON answer that belongs to `revision`.
fn json(revision: Revision, body: &impl Serialize) -> Response {
    let mut response = axum::Json(body).into_response();
    response.headers_mut().insert(header::ETAG, etag(revision));
    response
}

/// The entity tag of a revision, e.g. `"r42"`.
fn etag(revision: Revision) -> HeaderValue {
    HeaderValue::try_from(format!("\"{revision}\"")).expect("a revision is `r` and digits")
}
