//! What stands before every handler: counting, and the checks that keep web pages away from the API.
//!
//! A browser sends requests to loopback addresses for any page. A page whose name was rebound to 127.0.0.1 is told apart by
//! its Host, which is the page's own name; a page that merely posts is told apart by `Sec-Fetch-Site` and `Origin` (Fetch
//! standard, and W3C Fetch Metadata). Programs send neither and pass.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    AppState,
    api::{
        openapi,
        problem::{self, Kind},
    },
};
use crate::telemetry::AdminResult;

/// Counts the call, checks where it comes from, and gives OPTIONS its answer.
pub(super) async fn guard(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let operation = operation(request.method(), request.extensions().get::<MatchedPath>());
    let is_options = request.method() == Method::OPTIONS;
    let checked = check(&request, app.bind).and_then(|()| check_parameters(&request));
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    if is_options && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        // The router has listed the methods in Allow. No CORS header is added: other origins have no business here.
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.body_mut() = axum::body::Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let response_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if response.status().is_client_error()
        && response_type.is_some_and(|value| value.starts_with("text/plain"))
    {
        response = as_problem(response).await;
    }
    app.stats.admin(operation, AdminResult::of(response.status().as_u16()));
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}

/// What the framework refused by itself (a query or path that is no text, say), as a problem like any other.
async fn as_problem(response: Response) -> Response {
    let text = axum::body::to_bytes(response.into_body(), 4096).await.unwrap_or_default();
    Kind::InvalidParameter.because(String::from_utf8_lossy(&text)).into_response()
}

fn check(request: &Request, bind: SocketAddr) -> Result<(), problem::Refused> {
    let headers = request.headers();
    let target = request.uri().authority().map(|authority| authority.as_str());
    let mut hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let first = hosts.next();
    let differ =
        |a: Option<&str>, b: Option<&str>| matches!((a, b), (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b));
    if hosts.next().is_some() || differ(first, target) {
        return Err(Kind::InvalidParameter.because("the request names more than one host"));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    if !host.is_some_and(|host| host_allowed(host, bind)) {
        let detail = format!("the admin API does not answer for host `{}`", host.unwrap_or_default());
        return Err(Kind::HostNotAllowed
            .because(detail)
            .hint("ask for it by a loopback name, such as localhost or 127.0.0.1"));
    }
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if writes && !same_origin(headers, host.unwrap_or_default()) {
        let detail = "changes are not taken from pages of another origin";
        return Err(Kind::CrossOrigin.because(detail));
    }
    Ok(())
}

/// Refuses parameters that the operation does not have: a misspelt `dry_run` must not make a change.
fn check_parameters(request: &Request) -> Result<(), problem::Refused> {
    let Some(path) = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) else {
        return Ok(());
    };
    // Probes and scrapers add parameters of their own.
    if !path.starts_with("/v1/") {
        return Ok(());
    }
    let Some(known) = openapi::query_parameters(request.method(), path) else { return Ok(()) };
    let names = request.uri().query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut names = names.map(|pair| pair.split('=').next().unwrap_or_default());
    let Some(unknown) = names.find(|name| !known.contains(*name)) else { return Ok(()) };
    let refused = Kind::InvalidParameter.because(format!("unknown parameter `{unknown}`"));
    if known.is_empty() {
        return Err(refused.hint("this operation takes no parameters"));
    }
    let near = known.iter().find(|known| strsim::jaro_winkler(unknown, known) > 0.8);
    Err(match near {
        Some(known) => refused.hint(format!("did you mean `{known}`?")),
        None => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            refused.hint(format!("the parameters are {}", known.join(", ")))
        }
    })
}

/// Whether `host`, with or without a port, names this API: `localhost`, a loopback address, or the address it is bound to.
fn host_allowed(host: &str, bind: SocketAddr) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        return address.to_canonical().is_loopback() || address == bind.ip();
    }
    // Names under `localhost` never leave the machine (RFC 6761, section 6.3).
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a browser says that its own page of this API asks, or no browser asks.
fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// The metric label of a call: a constant for each operation, so that no caller can make new ones.
fn operation(method: &Method, path: Option<&MatchedPath>) -> &'static str {
    let write = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let path = path.map_or("", MatchedPath::as_str);
    match (path, write) {
        ("/livez", _) => "livez",
        ("/readyz", _) => "readyz",
        ("/metrics", _) => "metrics",
        ("/v1/status", _) => "status",
        ("/v1/routes" | "/v1/routes/{route}", _) => "routes",
        ("/v1/routes/{route}/weights", false) => "get_weights",
        ("/v1/routes/{route}/weights", true) => "set_weights",
        ("/v1/routes/{route}/kill-switch", false) => "get_kill_switch",
        ("/v1/routes/{route}/kill-switch", true) => "set_kill_switch",
        ("/v1/routes/{route}/overrides" | "/v1/routes/{route}/overrides/{key}", false) => "get_overrides",
        ("/v1/routes/{route}/overrides/{key}", true) => "set_override",
        ("/v1/routes/{route}/overlay", false) => "get_overlay",
        ("/v1/routes/{route}/overlay", true) => "drop_overlay",
        ("/v1/backends/{backend}/drain", false) => "get_drain",
        ("/v1/backends/{backend}/drain", true) => "set_drain",
        ("/v1/revisions/{revision}/restore", _) => "restore",
        ("/v1/revisions" | "/v1/revisions/{revision}" | "/v1/revisions/{revision}/diff", _) => "revisions",
        ("/v1/audit" | "/v1/audit/verify", _) => "audit",
        ("/v1/routes/{route}/explain", _) => "explain",
        ("/v1/backends" | "/v1/backends/{backend}", _) => "backends",
        ("/v1/config/check", _) => "check_config",
        ("/v1/config" | "/v1/config/effective" | "/v1/config/schema", _) => "get_config",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_answered() {
        let bind = "127.0.0.1:9900".parse().unwrap();
        for (host, allowed) in [
            ("localhost", true),
            ("LocalHost:9900", true),
            ("weir.localhost:1", true),
            ("127.0.0.1:9900", true),
            ("127.0.0.2", true),
            ("[::1]:9900", true),
            ("[::1]", true),
            ("localhost.", true),
            ("evil.example:9900", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("10.0.0.1:9900", false),
            ("", false),
        ] {
            assert_eq!(host_allowed(host, bind), allowed, "{host}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_told_apart() {
        for (name, value, same) in [
            ("accept", "*/*", true),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "none", true),
            ("sec-fetch-site", "cross-site", false),
            ("sec-fetch-site", "same-site", false),
            ("origin", "http://localhost:9900", true),
            ("origin", "http://localhost:3000", false),
            ("origin", "null", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(same_origin(&headers, "localhost:9900"), same, "{name}: {value}");
        }
    }
}
