//! Responses that Weir makes itself: refusals, and what the client gets when no backend answered.

use std::borrow::Cow;

use ::http::{Response, StatusCode};
use bytes::Bytes;

use super::{
    fields::{FieldMap, Fields},
    headers::{write_connection, write_status_line},
};
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

impl<'a> Local<'a> {
    /// A refusal, after which nothing further is read.
    pub(super) fn refusing(status: u16, text: &'a str, to_head: bool) -> Self {
        Self { status, text: text.into(), to_head, version: Version::Http11, keep_alive: false }
    }

    /// Appends the response to `out`, for HTTP/1.1.
    pub(super) fn write(&self, date: &str, out: &mut Vec<u8>) {
        write_status_line(out, self.status, reason(self.status).as_bytes());
        let body = self.body();
        self.fields(date, body.len(), out);
        write_connection(out, self.version, self.keep_alive);
        out.extend_from_slice(b"\r\n");
        if !self.to_head {
            out.extend_from_slice(body.as_bytes());
        }
    }

    /// The response and its body, for HTTP/2.
    pub(super) fn response(&self, date: &str) -> (Response<()>, Bytes) {
        let body = self.body();
        let mut fields = FieldMap::default();
        self.fields(date, body.len(), &mut fields);
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = fields.map;
        (response, if self.to_head { Bytes::new() } else { body.into() })
    }

    fn fields(&self, date: &str, length: usize, out: &mut impl Fields) {
        out.field(b"date", date.as_bytes());
        out.field(b"content-type", b"text/plain; charset=utf-8");
        out.field(b"cache-control", b"no-store");
        if self.status == 405 {
            out.field(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        if self.status == 503 {
            out.field(b"retry-after", b"1");
        }
        out.begin(b"content-length");
        out.display(length);
        out.end();
    }

    fn body(&self) -> String {
        format!("{} {}: {}\n", self.status, reason(self.status), self.text)
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
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}
