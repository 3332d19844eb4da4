//! Responses that Weir makes itself: refusals, and what the client gets when no backend answered.

use std::borrow::Cow;

use ::http::{Response, StatusCode};
use bytes::Bytes;

use super::{
    fields::{FieldMap, Fields},
    headers::{write_connection, write_status_line},
    policy::Edits,
};
use crate::http::{Version, grpc};

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
    /// What the route changes.
    pub(super) edits: Edits<'a>,
}

// === impl Local ===

impl<'a> Local<'a> {
    /// A refusal, after which nothing further is read.
    pub(super) fn refusing(status: u16, text: &'a str, to_head: bool) -> Self {
        let (version, edits) = (Version::Http11, Edits::default());
        Self { status, text: text.into(), to_head, version, keep_alive: false, edits }
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

    /// The same to a gRPC call: a response of trailers only, whose status is in `grpc-status` (gRPC over HTTP/2, "Responses").
    pub(super) fn grpc_response(&self, date: &str) -> (Response<()>, Bytes) {
        let mut fields = FieldMap::default();
        fields.field(b"date", date.as_bytes());
        fields.field(b"content-type", b"application/grpc");
        fields.begin(b"grpc-status");
        fields.display(grpc::status_of_http(self.status));
        fields.end();
        fields.field(b"grpc-message", grpc::message(&self.text).as_bytes());
        self.edits.write(&mut fields);
        let mut response = Response::new(());
        *response.headers_mut() = fields.map;
        (response, Bytes::new())
    }

    fn fields(&self, date: &str, length: usize, out: &mut impl Fields) {
        out.field(b"date", date.as_bytes());
        let mut own = |name: &[u8], value: &[u8]| {
            if !self.edits.drops(name) {
                out.field(name, value);
            }
        };
        own(b"content-type", b"text/plain; charset=utf-8");
        own(b"cache-control", b"no-store");
        if self.status == 405 {
            own(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        if self.status == 503 {
            own(b"retry-after", b"1");
        }
        self.edits.write(out);
        out.begin(b"content-length");
        out.display(length);
        out.end();
    }

    fn body(&self) -> String {
        format!("{} {}: {}\n", self.status, reason(self.status), self.text)
    }
}

/// The status's reason phrase (RFC 9110, section 15).
fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unassigned")
}
