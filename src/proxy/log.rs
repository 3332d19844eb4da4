//! The access log's entry of a request, built only when its line is kept.

use super::forward::{Forwarded, Forwarder};
use crate::{
    http::{Known, Version},
    split::Assignment,
    telemetry::{AccessEntry, Outcome},
    types::{Reason, cause::chain, clock},
};

/// Hands the request to the log, if there is one and it keeps the line. `bytes` hold the request's head.
pub(super) fn log(
    forwarder: &Forwarder<'_>,
    bytes: &[u8],
    assignment: &Assignment,
    forwarded: &Forwarded,
    outcome: &Outcome,
) {
    let Some(logging) = &forwarder.snapshot.logging else { return };
    if !forwarder.worker.logs(logging.rate, outcome.status, outcome.error) {
        return;
    }
    let request = forwarder.request;
    let headers = request.head.headers(bytes);
    let error = match &forwarded.result {
        Ok(delivered) => delivered.error.as_ref(),
        Err(error) => Some(error),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let backend = forwarder.route.backends[forwarded.backend].backend;
    let entry = AccessEntry {
        time: clock::unix_now().saturating_sub(outcome.duration),
        trace_id: headers.known(Known::Traceparent).next().and_then(trace_id),
        method: outcome.method,
        path: text(request.target.path(bytes)),
        query: request.target.query(bytes).filter(|_| logging.query).map(text),
        cookie: None,
        host: request.target.authority.clone().map(|range| text(&bytes[range])),
        client: Some(request.client_ip),
        user_agent: headers.get("user-agent").map(text),
        protocol_version: match request.head.version {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        },
        status: outcome.status,
        body_size: forwarded.result.as_ref().map_or(0, |delivered| delivered.body_bytes),
        error: outcome.error,
        error_message: error.map(|error| chain(error)),
        tls_version: request.tls_version,
        duration: outcome.duration,
        upstream_duration: outcome.upstream,
        route: Some(forwarder.route.name.clone()),
        backend: Some(forwarder.snapshot.backends[backend].name.clone()),
        reason: Some(forwarded.stand_in.unwrap_or(assignment.reason)),
        revision: forwarder.snapshot.revision,
        endpoint: forwarded.endpoint.map(|address| address.to_string().into()),
        retries: forwarded.retries,
    };
    logging.log.record(entry);
}

/// The trace id in a traceparent (W3C Trace Context, section 3.2.2.3).
fn trace_id(traceparent: &[u8]) -> Option<u128> {
    let digits = std::str::from_utf8(traceparent.get(3..35)?).ok()?;
    u128::from_str_radix(digits, 16).ok()
}
