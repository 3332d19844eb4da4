//! The paths of the admin API and their handlers; [`types`] has what goes over the wire.

mod audit;
pub(super) mod backends;
mod change;
mod config;
mod drain;
mod events;
mod explain;
mod health;
mod kill_switch;
pub(super) mod openapi;
mod overlay;
mod overrides;
pub mod page;
pub mod problem;
mod request;
mod revisions;
pub(super) mod rollouts;
pub(super) mod routes;
mod session;
mod signed;
mod status;
pub mod types;
pub(super) mod weights;

use axum::{
    Router,
    http::{HeaderValue, Uri, header},
    middleware,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::problem::{Kind, Refused};
use super::{AppState, guard};
use crate::types::Revision;

/// What a handler answers.
type Answer = Result<Response, Refused>;

/// The whole admin API over `app`.
pub fn router(app: AppState) -> Router {
    Router::from(routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

/// Every operation, with its description. `routes!` takes path and method from the description, so that none of the two can
/// be without the other.
fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::empty())
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(status::status))
        .routes(routes!(routes::list))
        .routes(routes!(routes::one))
        .routes(routes!(weights::read, weights::patch, weights::replace))
        .routes(routes!(kill_switch::read, kill_switch::on, kill_switch::off))
        .routes(routes!(overrides::list))
        .routes(routes!(overrides::read, overrides::set, overrides::remove))
        .routes(routes!(signed::sign))
        .routes(routes!(overlay::read, overlay::drop))
        .routes(routes!(explain::explain))
        .routes(routes!(backends::list))
        .routes(routes!(backends::one))
        .routes(routes!(drain::read, drain::on, drain::off))
        .routes(routes!(revisions::list))
        .routes(routes!(revisions::one))
        .routes(routes!(revisions::differences))
        .routes(routes!(revisions::restore))
        .routes(routes!(rollouts::list, rollouts::start))
        .routes(routes!(rollouts::one))
        .routes(routes!(rollouts::entries))
        .routes(routes!(rollouts::pause))
        .routes(routes!(rollouts::resume))
        .routes(routes!(rollouts::promote))
        .routes(routes!(rollouts::abort))
        .routes(routes!(rollouts::approve))
        .routes(routes!(rollouts::reject))
        .routes(routes!(rollouts::undo))
        .routes(routes!(rollouts::retry))
        .routes(routes!(rollouts::show_link, rollouts::use_link))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
        .routes(routes!(config::file))
        .routes(routes!(config::effective))
        .routes(routes!(config::schema))
        .routes(routes!(config::check))
        .routes(routes!(config::diff_overlay, config::diff_file))
        .routes(routes!(session::read, session::log_in, session::log_out))
        .routes(routes!(events::stream))
        .routes(routes!(openapi::document))
}

async fn no_such_path(uri: Uri) -> Refused {
    Kind::NotFound
        .because(format!("there is nothing at `{}`", uri.path()))
        .hint("the API is described in docs/api.md and at /v1/openapi.json")
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
