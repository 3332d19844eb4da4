//! Responses that Weir makes itself: refusals, and what the client gets when no backend answered.

use std::borrow::Cow;

use super::headers::{push_display, write_connection, write_field, write_status_line};
use crate::http::Version;

/// A response of our own.
#[derive(Debug, Clone)]
pub(super) struct Local<'a> {
    /// The status.
    pub(super) status: u16,
    /// One sentence for a person; never anything that only operators should know.
    pub(super) text: Cow<'a, str>,
    /// Whether it answers a HEAD.
    pub(super) to_head: bool,
    /// The client's version.
    pub(super) version: Version,
    /// Whether the connection stays open.
    pub(super) keep_alive: bool,
}

// === impl Local ===

impl Local<'_> {
    /// Appends the response to `out`.
    pub(super) fn write(&self, date: &str, out: &mut Vec<u8>) {
        let reason = reason(self.status);
        write_status_line(out, self.status, reason.as_bytes());
        write_field(out, b"date", date.as_bytes());
        write_field(out, b"content-type", b"text/plain; charset=utf-8");
        write_field(out, b"cache-control", b"no-store");
        if self.status == 405 {
            write_field(out, b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        if self.status == 503 {
            write_field(out, b"retry-after", b"1");
        }
        let body = format!("{} {reason}: {}\n", self.status, self.text);
        out.extend_from_slice(b"content-length: ");
        push_display(out, body.len());
        out.extend_from_slice(b"\r\n");
        write_connection(out, self.version, self.keep_alive);
        out.extend_from_slice(b"\r\n");
        if !self.to_head {
            out.extend_from_slice(body.as_bytes());
        }
    }
}

/// The reason phrase of each status that Weir sends.
fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}
