//! What stands before every handler: counting, who asks and whether they may, and the checks that keep web pages away from the API.
//!
//! A browser sends requests to loopback addresses for any page. A page whose name was rebound to 127.0.0.1 is told apart by
//! its Host, which is the page's own name; a page that merely posts is told apart by `Sec-Fetch-Site` and `Origin` (Fetch
//! standard, and W3C Fetch Metadata). Programs send neither and pass.

use std::net::IpAddr;

use axum::{
    body::Body,
    extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;

use super::{
    AppState,
    api::{
        openapi,
        problem::{self, Kind},
    },
    auth::{Caller, Denial, Identity, Lasting, Occasion, Operation, Peer, Proof},
};
use crate::{
    config::model::Target,
    telemetry::{AdminResult, DenialReason},
    types::{Name, clock},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id that is taken, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// What every answer says to browsers: run nothing, show it nowhere, believe its type, tell nobody where one was.
const ALWAYS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Counts the call, checks where it comes from and who asks, and gives OPTIONS its answer.
pub(super) async fn guard(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let operation =
        Operation::of(&parts.method, parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str));
    let is_options = parts.method == Method::OPTIONS;
    let request_id = request_id(&parts.headers);
    let route = target(&mut parts, "route").await;
    let admitted = match check(&parts, &app) {
        Ok(()) => admit(&app, operation, &mut parts, route.as_deref()).await,
        Err(denial) => Err(denial),
    };
    let mut response = match admitted {
        Ok(identity) => match check_parameters(&parts) {
            Ok(()) => {
                let caller = Caller { identity, request_id: request_id.clone() };
                let asked = (operation, proofs(&parts.headers), peer_of(&parts));
                let response = caller.during(next.run(Request::from_parts(parts, body))).await;
                lasting(response, &app, asked)
            }
            Err(refused) => refused.into_response(),
        },
        Err(denial) => {
            let peer = peer_of(&parts);
            note(&app, &denial, (operation, peer, route.as_deref(), &request_id));
            denial.into_response()
        }
    };
    if is_options && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        // The router has listed the methods in Allow. No CORS header is added: other origins have no business here.
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let response_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if response.status().is_client_error()
        && response_type.is_some_and(|value| value.starts_with("text/plain"))
    {
        response = as_problem(response).await;
    }
    app.stats.admin(operation.label, AdminResult::of(response.status().as_u16()));
    finish(response.headers_mut(), &request_id);
    response
}

/// The other end of the connection.
fn peer_of(parts: &Parts) -> Peer {
    parts.extensions.get::<Peer>().cloned().unwrap_or_default()
}

/// The fields that say who asks.
fn proofs(headers: &HeaderMap) -> HeaderMap {
    let ours = headers.iter().filter(|(name, _)| [header::AUTHORIZATION, header::COOKIE].contains(name));
    ours.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// An answer that lasts ends with what its caller may do.
fn lasting(response: Response, app: &AppState, asked: (Operation, HeaderMap, Peer)) -> Response {
    let streams = response.headers().get(header::CONTENT_TYPE).is_some_and(|of| of == "text/event-stream");
    if streams { response.map(|body| Body::new(Lasting::new(body, &app.auth, asked))) } else { response }
}

/// The fields that every answer has. A handler's own ones stay.
fn finish(headers: &mut HeaderMap, request_id: &str) {
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, value);
    }
}

/// What the request is called: as its sender calls it, where that is harmless, else something random.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless = |id: &&str| {
        (1..=MAX_REQUEST_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    given.filter(harmless).map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned)
}

/// A part of the path, as the handler will read it.
async fn target(parts: &mut Parts, name: &str) -> Option<String> {
    let found = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    found.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// Who asks, if they may do this to what it is about.
async fn admit(
    app: &AppState,
    operation: Operation,
    parts: &mut Parts,
    route: Option<&str>,
) -> Result<Option<Identity>, Denial> {
    let peer = peer_of(parts);
    let identity = app.auth.admit(operation, &parts.headers, &peer, now())?;
    let Some(who) = &identity else { return Ok(None) };
    if who.proof == Proof::Session && writes(&parts.method) && !says_where_from(&parts.headers) {
        // Browsers send one of them with every write. What has neither is no browser, and has no business with a cookie.
        let refused = Kind::CrossOrigin.because("a session changes things from pages of this API only");
        return Err(Denial::new(DenialReason::Origin, refused.hint("programs send a token")).of(&who.name));
    }
    if who.routes.is_none() || !operation.changes {
        return Ok(identity);
    }
    let backend = target(parts, "backend").await;
    let rollout = target(parts, "rollout").await;
    let reaches = match (route, backend, rollout) {
        (Some(route), ..) => who.reaches(route),
        (None, Some(backend), _) => reaches_all(who, &routes_of(app, &backend)),
        (None, None, Some(id)) => {
            app.rollouts.board().find(&id).is_none_or(|shown| reaches_all(who, &shown.rollout.routes))
        }
        // What is about no route is about all.
        (None, None, None) => operation.names_routes_in_body(),
    };
    if reaches {
        return Ok(identity);
    }
    Err(out_of_scope(who))
}

/// Whether somebody may change all of these routes.
pub(super) fn reaches_all(who: &Identity, routes: &[Name]) -> bool {
    routes.iter().all(|route| who.reaches(route.as_str()))
}

/// Somebody wants to change a route that is none of theirs.
pub(super) fn out_of_scope(who: &Identity) -> Denial {
    let routes = who.routes.iter().flat_map(|routes| routes.iter());
    let names: Vec<String> = routes.map(|name| format!("`{name}`")).collect();
    let refused = Kind::Forbidden
        .because(format!("`{}` may change {} only", who.name, names.join(", ")))
        .hint("ask an administrator for it, or for a token with other `routes`");
    Denial::new(DenialReason::Scope, refused).of(&who.name)
}

fn writes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn says_where_from(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN)
}

/// The time, by the calendar.
pub(super) fn now() -> Timestamp {
    let millis = i64::try_from(clock::unix_now().as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

/// The routes that send requests to a backend.
fn routes_of(app: &AppState, backend: &str) -> Vec<Name> {
    let uses = |target: &Target| match target {
        Target::Backend(name) => name.as_str() == backend,
        Target::Split(shares) => shares.iter().any(|(name, _)| name.as_str() == backend),
    };
    let state = app.control.state();
    let routes = state.file.config.routes.iter().filter(|route| {
        route.split.backends.iter().any(|share| share.name.as_str() == backend)
            || route.rules.iter().any(|rule| uses(&rule.target))
    });
    routes.map(|route| route.name.clone()).collect()
}

/// Counts a refusal, and has it written down.
pub(super) fn note(
    app: &AppState,
    denial: &Denial,
    (operation, peer, route, request_id): (Operation, Peer, Option<&str>, &str),
) {
    app.stats.denied(denial.reason);
    // A route that does not exist is text of the caller.
    let route = route.and_then(|name| app.control.state().route(name).ok().map(|route| route.name.clone()));
    let occasion = Occasion {
        peer: peer.address,
        actor: denial.actor.clone(),
        reason: denial.reason.as_str(),
        operation: operation.label,
        route,
    };
    app.auth.note_denial(occasion, request_id);
}

/// Refuses what only the handler of a request could tell is not allowed: counts it, and has it written down.
pub(super) fn refuse(
    app: &AppState,
    denial: Denial,
    (operation, peer): (Operation, &Peer),
    route: &Name,
) -> Response {
    let request_id = Caller::current().map(|caller| caller.request_id).unwrap_or_default();
    note(app, &denial, (operation, peer.clone(), Some(route.as_str()), &request_id));
    denial.into_response()
}

/// What the framework refused by itself (a query or path that is no text, say), as a problem like any other.
async fn as_problem(response: Response) -> Response {
    let text = axum::body::to_bytes(response.into_body(), 4096).await.unwrap_or_default();
    Kind::InvalidParameter.because(String::from_utf8_lossy(&text)).into_response()
}

fn check(request: &Parts, app: &AppState) -> Result<(), Denial> {
    let headers = &request.headers;
    let target = request.uri.authority().map(|authority| authority.as_str());
    let mut hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let first = hosts.next();
    let differ =
        |a: Option<&str>, b: Option<&str>| matches!((a, b), (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b));
    if hosts.next().is_some() || differ(first, target) {
        let refused = Kind::InvalidParameter.because("the request names more than one host");
        return Err(Denial::new(DenialReason::Host, refused));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(target);
    if !host.is_some_and(|host| host_allowed(host, app)) {
        let detail = format!("the admin API does not answer for host `{}`", host.unwrap_or_default());
        let refused = Kind::HostNotAllowed
            .because(detail)
            .hint("ask for it by a loopback name, such as localhost, or by one of `admin.hosts`");
        return Err(Denial::new(DenialReason::Host, refused));
    }
    if writes(&request.method) && !same_origin(headers, host.unwrap_or_default()) {
        let refused = Kind::CrossOrigin.because("changes are not taken from pages of another origin");
        return Err(Denial::new(DenialReason::Origin, refused));
    }
    Ok(())
}

/// Refuses parameters that the operation does not have: a misspelt `dry_run` must not make a change.
fn check_parameters(request: &Parts) -> Result<(), problem::Refused> {
    let Some(path) = request.extensions.get::<MatchedPath>().map(MatchedPath::as_str) else {
        return Ok(());
    };
    // Probes and scrapers add parameters of their own.
    if !path.starts_with("/v1/") {
        return Ok(());
    }
    let Some(known) = openapi::query_parameters(&request.method, path) else { return Ok(()) };
    let names = request.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
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

/// Whether `host`, with or without a port, names this API: `localhost`, a loopback address, the address it is bound to, or one of
/// the names that the control file gives it.
fn host_allowed(host: &str, app: &AppState) -> bool {
    is_ours(host, app.bind.ip(), &app.auth.hosts)
}

fn is_ours(host: &str, bind: IpAddr, hosts: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        // A page's name is rebound, an address cannot be: bound to all of them, the API answers by any.
        return address.to_canonical().is_loopback() || address == bind || bind.is_unspecified();
    }
    // Names under `localhost` never leave the machine (RFC 6761, section 6.3).
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || hosts.contains(&name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_answered() {
        let bind = "127.0.0.1".parse().unwrap();
        let hosts = ["weir.internal".to_owned()];
        for (host, allowed) in [
            ("localhost", true),
            ("LocalHost:9900", true),
            ("weir.localhost:1", true),
            ("127.0.0.1:9900", true),
            ("127.0.0.2", true),
            ("[::1]:9900", true),
            ("[::1]", true),
            ("localhost.", true),
            ("Weir.internal:9900", true),
            ("x.weir.internal", false),
            ("evil.example:9900", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("10.0.0.1:9900", false),
            ("", false),
        ] {
            assert_eq!(is_ours(host, bind, &hosts), allowed, "{host}");
        }
        assert!(is_ours("10.0.0.1:9900", "0.0.0.0".parse().unwrap(), &[]));
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
