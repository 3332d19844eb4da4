//! The access log's entry of a request, built only when its line is kept.

use super::{
    error::ProxyError,
    forward::{Forwarded, Forwarder},
    handle::Request,
    trace::trace_id,
    worker::Worker,
};
use crate::{
    http::{Known, Version},
    snapshot::{Route, Snapshot},
    split::Assignment,
    telemetry::{AccessEntry, Outcome, PolicyLabel},
    types::{address::is_unix_peer, cause::chain, clock},
};

/// Hands the request to the log, if there is one and it keeps the line. `bytes` hold the request's head.
pub(super) fn log(
    forwarder: &Forwarder<'_>,
    bytes: &[u8],
    assignment: &Assignment,
    forwarded: &Forwarded<'_>,
    outcome: &Outcome,
) {
    let Some(logging) = &forwarder.snapshot.logging else { return };
    if !forwarder.worker.logs(logging.rate, outcome.status, outcome.error) {
        return;
    }
    let error = match &forwarded.result {
        Ok(delivered) => delivered.error.as_ref(),
        Err(error) => Some(error),
    };
    let backend = forwarder.route.backends[forwarded.backend].backend;
    let entry = AccessEntry {
        body_size: forwarded.result.as_ref().map_or(0, |delivered| delivered.body_bytes),
        backend: Some(forwarder.snapshot.backends[backend].name.clone()),
        reason: Some(forwarded.stand_in.unwrap_or(assignment.reason)),
        endpoint: forwarded.endpoint.map(|endpoint| endpoint.address.to_string().into()),
        retries: forwarded.retries,
        error_message: error.map(|error| chain(error)),
        policy: error.and_then(ProxyError::policy),
        ..entry((forwarder.snapshot, forwarder.route), (forwarder.request, bytes), outcome)
    };
    logging.log.record(entry);
}

/// The same for a request that its route answered itself.
pub(super) fn log_answer(
    worker: &Worker,
    (snapshot, route): (&Snapshot, &Route),
    (request, bytes): (&Request<'_>, &[u8]),
    (by, body_size, outcome): (PolicyLabel, u64, &Outcome),
) {
    let Some(logging) = &snapshot.logging else { return };
    if worker.logs(logging.rate, outcome.status, outcome.error) {
        let entry = entry((snapshot, route), (request, bytes), outcome);
        logging.log.record(AccessEntry { policy: Some(by), body_size, ..entry });
    }
}

/// What is to be said of any request.
fn entry(
    (snapshot, route): (&Snapshot, &Route),
    (request, bytes): (&Request<'_>, &[u8]),
    outcome: &Outcome,
) -> AccessEntry {
    let headers = request.head.headers(bytes);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let held_up = request.fault_delay.unwrap_or_default();
    let shows_query = snapshot.logging.as_ref().is_some_and(|logging| logging.query);
    let shown = |query| match &route.jwt {
        Some(jwt) => text(&jwt.provider.without_tokens(query)),
        None => text(query),
    };
    AccessEntry {
        time: clock::unix_now().saturating_sub(outcome.duration + held_up),
        trace_id: headers.known(Known::Traceparent).next().and_then(trace_id),
        method: outcome.method,
        path: text(request.target.path(bytes)),
        query: request.target.query(bytes).filter(|_| shows_query).map(shown),
        cookie: None,
        host: request.target.authority.clone().map(|range| text(&bytes[range])),
        client: Some(request.client_ip).filter(|client| !is_unix_peer(*client)),
        user_agent: headers.get("user-agent").map(text),
        protocol_version: match request.head.version {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        },
        status: outcome.status,
        body_size: 0,
        error: outcome.error,
        error_message: None,
        tls_version: request.tls_version,
        duration: outcome.duration + held_up,
        upstream_duration: outcome.upstream,
        route: Some(route.name.clone()),
        backend: None,
        reason: None,
        policy: None,
        fault_delay: request.fault_delay,
        revision: snapshot.revision,
        endpoint: None,
        retries: 0,
    }
}
