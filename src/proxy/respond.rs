//! Responses that Weir makes itself: refusals, what the client gets when no backend answered, and what routes answer.

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
    /// What it says.
    pub(super) body: Body<'a>,
    /// Fields that only it has.
    pub(super) fields: Vec<(&'static str, Vec<u8>)>,
    /// Whether it answers a HEAD.
    pub(super) to_head: bool,
    /// The client's version.
    pub(super) version: Version,
    /// Whether the connection stays open.
    pub(super) keep_alive: bool,
    /// What the route changes.
    pub(super) edits: Edits<'a>,
}

/// What a response of our own says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    /// One sentence for a person; never anything that only operators should know.
    Sentence(&'a str),
    /// What the control file says.
    Content { content_type: &'a str, text: &'a str },
}

// === impl Local ===

impl<'a> Local<'a> {
    /// A refusal, after which nothing further is read.
    pub(super) fn refusing(status: u16, text: &'a str, to_head: bool) -> Self {
        let (version, edits) = (Version::Http11, Edits::default());
        let body = Body::Sentence(text);
        Self { status, body, fields: Vec::new(), to_head, version, keep_alive: false, edits }
    }

    /// Appends the response to `out`, for HTTP/1.1.
    pub(super) fn write(&self, date: &str, out: &mut Vec<u8>) {
        write_status_line(out, self.status, reason(self.status).as_bytes());
        let body = self.text();
        self.write_fields(date, body.len(), out);
        write_connection(out, self.version, self.keep_alive);
        out.extend_from_slice(b"\r\n");
        if !self.to_head {
            out.extend_from_slice(body.as_bytes());
        }
    }

    /// The response and its body, for HTTP/2.
    pub(super) fn response(&self, date: &str) -> (Response<()>, Bytes) {
        let body = self.text();
        let mut fields = FieldMap::default();
        self.write_fields(date, body.len(), &mut fields);
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = fields.map;
        (response, if self.to_head { Bytes::new() } else { Bytes::from(body.into_owned()) })
    }

    /// The same to a gRPC call: a response of trailers only, whose status is in `grpc-status` (gRPC over HTTP/2, "Responses").
    /// `None` for what is no failure, or is answered as the control file says.
    pub(super) fn grpc_response(&self, date: &str) -> Option<(Response<()>, Bytes)> {
        let Body::Sentence(text) = self.body else { return None };
        if self.status < 400 {
            return None;
        }
        let mut fields = FieldMap::default();
        fields.field(b"date", date.as_bytes());
        fields.field(b"content-type", b"application/grpc");
        fields.begin(b"grpc-status");
        fields.display(grpc::status_of_http(self.status));
        fields.end();
        fields.field(b"grpc-message", grpc::message(text).as_bytes());
        for (name, value) in &self.fields {
            fields.field(name.as_bytes(), value);
        }
        self.edits.write(&mut fields);
        let mut response = Response::new(());
        *response.headers_mut() = fields.map;
        Some((response, Bytes::new()))
    }

    /// Bytes of the body that is sent.
    pub(super) fn body_len(&self) -> usize {
        if self.to_head { 0 } else { self.text().len() }
    }

    fn write_fields(&self, date: &str, length: usize, out: &mut impl Fields) {
        out.field(b"date", date.as_bytes());
        let mut own = |name: &[u8], value: &[u8]| {
            if !self.edits.replaces(name) {
                out.field(name, value);
            }
        };
        match self.body {
            Body::Sentence(_) => {
                own(b"content-type", b"text/plain; charset=utf-8");
                own(b"cache-control", b"no-store");
            }
            Body::Content { content_type, .. } if length > 0 => {
                own(b"content-type", content_type.as_bytes());
            }
            Body::Content { .. } => {}
        }
        if self.status == 405 {
            own(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        if self.status == 503 && matches!(self.body, Body::Sentence(_)) {
            own(b"retry-after", b"1");
        }
        for (name, value) in &self.fields {
            own(name.as_bytes(), value);
        }
        self.edits.write(out);
        // Neither has a length (RFC 9110, section 8.6); of a 304 it would be that of another response.
        if !matches!(self.status, 204 | 304) {
            out.begin(b"content-length");
            out.display(length);
            out.end();
        }
    }

    fn text(&self) -> Cow<'a, str> {
        match self.body {
            Body::Sentence(text) => format!("{} {}: {text}\n", self.status, reason(self.status)).into(),
            Body::Content { text, .. } => text.into(),
        }
    }
}

/// An interim response, for HTTP/2.
pub(super) fn interim(status: u16, fields: FieldMap<'_>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::PROCESSING);
    *response.headers_mut() = fields.map;
    response
}

/// The status's reason phrase (RFC 9110, section 15).
fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unassigned")
}
