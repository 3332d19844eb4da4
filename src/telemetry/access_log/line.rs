//! An entry as JSON.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use super::AccessEntry;

/// The fields in the order in which they are written; those without a value are left out.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(rename = "http.request.method")]
    method: &'static str,
    #[serde(rename = "url.path")]
    path: &'a str,
    #[serde(rename = "url.query", skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    #[serde(rename = "http.request.header.cookie", skip_serializing_if = "Option::is_none")]
    cookie: Option<&'a str>,
    #[serde(rename = "server.address", skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(rename = "client.address", skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    #[serde(rename = "http.response.status_code")]
    status: u16,
    #[serde(rename = "http.response.body.size")]
    body_size: u64,
    #[serde(rename = "user_agent.original", skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(rename = "network.protocol.version")]
    protocol_version: &'static str,
    #[serde(rename = "error.type", skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(rename = "error.message", skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    #[serde(rename = "tls.protocol.version", skip_serializing_if = "Option::is_none")]
    tls_version: Option<&'static str>,
    duration_s: f64,
    #[serde(rename = "upstream.duration_s", skip_serializing_if = "Option::is_none")]
    upstream_duration: Option<f64>,
    #[serde(rename = "weir.route", skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(rename = "weir.backend", skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    #[serde(rename = "weir.reason", skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(rename = "weir.policy", skip_serializing_if = "Option::is_none")]
    policy: Option<&'static str>,
    #[serde(rename = "weir.fault.delay_s", skip_serializing_if = "Option::is_none")]
    fault_delay: Option<f64>,
    #[serde(rename = "weir.revision")]
    revision: u64,
    #[serde(rename = "weir.endpoint", skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(rename = "weir.retries")]
    retries: u32,
}

/// RFC 3339 in UTC with microseconds; a time beyond the year 9999 is written as the epoch.
fn timestamp(time: Duration) -> String {
    let nanos = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    format!("{:.6}", Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Appends the entry's line, with its line feed; everything that came from a client is escaped by JSON's rules.
///
/// # Errors
/// None for these types; the caller counts the line as failed if that should ever change.
pub(super) fn append(buffer: &mut Vec<u8>, entry: &AccessEntry) -> serde_json::Result<()> {
    let line = Line {
        timestamp: timestamp(entry.time),
        trace_id: entry.trace_id.map(|id| format!("{id:032x}")),
        method: entry.method.as_str(),
        path: &entry.path,
        query: entry.query.as_deref(),
        cookie: entry.cookie.as_deref(),
        host: entry.host.as_deref(),
        client: entry.client,
        status: entry.status,
        body_size: entry.body_size,
        user_agent: entry.user_agent.as_deref(),
        protocol_version: entry.protocol_version,
        error: entry.error.map(super::ErrorKind::as_str),
        error_message: entry.error_message.as_deref(),
        tls_version: entry.tls_version,
        duration_s: entry.duration.as_secs_f64(),
        upstream_duration: entry.upstream_duration.map(|duration| duration.as_secs_f64()),
        route: entry.route.as_ref().map(super::Name::as_str),
        backend: entry.backend.as_ref().map(super::Name::as_str),
        reason: entry.reason.map(super::Reason::as_str),
        policy: entry.policy.map(super::PolicyLabel::as_str),
        fault_delay: entry.fault_delay.map(|delay| delay.as_secs_f64()),
        revision: entry.revision.0,
        endpoint: entry.endpoint.as_deref(),
        retries: entry.retries,
    };
    serde_json::to_writer(&mut *buffer, &line)?;
    buffer.push(b'\n');
    Ok(())
}
