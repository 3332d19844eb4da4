//! Header rules: what of a head is passed on, and what Weir adds.
//!
//! RFC 9110, section 7.6.1: hop-by-hop fields end here, and so does what `Connection` names, except fields that nobody may
//! name away. A peer that is not trusted has its forwarding fields replaced, never believed.

use std::{fmt::Write as _, net::IpAddr};

use super::{
    fields::{FieldMap, Fields, List, is_disguised, write_hops_left},
    identity::Testimony,
    policy::Edits,
    recent::RecentFields,
    trace::{hex, is_traceparent},
    trailing::{Trailing, is_forged_region},
    websocket,
};
use crate::{
    http::{BodyDecoder, Framing, Headers, Known, ResponseHead, Version, framing},
    split::RegionHeader,
    types::address::is_unix_peer,
};

/// Writes a request's head for the upstream.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpstreamHead<'a> {
    /// The method.
    pub(super) method: &'a str,
    /// Path and query, as received.
    pub(super) path_and_query: &'a [u8],
    /// The Host that is sent.
    pub(super) host: &'a [u8],
    /// The Host that the client sent; empty when it sent none.
    pub(super) client_host: &'a [u8],
    /// The client's fields.
    pub(super) headers: Headers<'a>,
    /// How the body is delimited.
    pub(super) framing: Framing,
    /// Whether the peer's forwarding fields are believed.
    pub(super) trusted: bool,
    /// The address of the connection's other end.
    pub(super) peer_ip: IpAddr,
    /// `http` or `https`: how the client came in.
    pub(super) scheme: &'static str,
    /// Who the client is by its certificate, as the field tells it.
    pub(super) identity: Option<&'a str>,
    /// Headers that name a region, and the peers that each is believed from.
    pub(super) region_headers: &'a [RegionHeader],
    /// The protocol that the connection is to become.
    pub(super) upgrade: Option<&'a [u8]>,
    /// 256 random bits, for the ids that are missing.
    pub(super) entropy: [u64; 4],
    /// What the route changes.
    pub(super) edits: Edits<'a>,
    /// What the backend learns of the user.
    pub(super) testimony: Testimony<'a>,
}

/// What Weir says in a response's head beside what the upstream said.
#[derive(Debug)]
pub(super) struct ClientHead<'a> {
    /// The client's version.
    pub(super) version: Version,
    /// Whether the connection stays open for another request.
    pub(super) keep_alive: bool,
    /// Whether the body is written in chunks.
    pub(super) chunked: bool,
    /// A Set-Cookie value for the assignment.
    pub(super) set_cookie: Option<&'a str>,
    /// The date to add where the upstream gave none.
    pub(super) date: &'a str,
    /// What the route changes.
    pub(super) edits: Edits<'a>,
    /// The proof for an HTTP/1.1 client whose WebSocket an endpoint has opened over HTTP/2.
    pub(super) proof: Option<&'a str>,
}

// === impl UpstreamHead ===

impl UpstreamHead<'_> {
    /// Appends the head to `out`, for HTTP/1.1.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for part in
            [self.method.as_bytes(), b" ", self.path_and_query, b" HTTP/1.1\r\nhost: ", self.host, b"\r\n"]
        {
            out.extend_from_slice(part);
        }
        self.fields(out);
        if self.framing == Framing::Chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        if let Some(protocol) = self.upgrade {
            out.extend_from_slice(b"connection: upgrade\r\n");
            out.field(b"upgrade", protocol);
            if protocol == b"websocket" && self.headers.get("sec-websocket-key").is_none() {
                websocket::write_key(out, [self.entropy[0], self.entropy[1]]);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The head as an HTTP/2 request (RFC 9113, section 8.3.1), which `connects` to a WebSocket (RFC 8441, section 4).
    ///
    /// # Errors
    /// When method, host or path are none that HTTP/2 has.
    pub(super) fn request(&self, connects: bool) -> Result<::http::Request<()>, ::http::Error> {
        let mut fields = FieldMap::default();
        self.fields(&mut fields);
        let path = ::http::uri::PathAndQuery::try_from(self.path_and_query)?;
        let authority = ::http::uri::Authority::try_from(self.host)?;
        let uri = ::http::Uri::builder().scheme(self.scheme).authority(authority).path_and_query(path);
        let mut request = ::http::Request::new(());
        *request.method_mut() = ::http::Method::from_bytes(self.method.as_bytes())?;
        *request.uri_mut() = uri.build()?;
        *request.headers_mut() = fields.map;
        if connects {
            *request.method_mut() = ::http::Method::CONNECT;
            request.headers_mut().remove("sec-websocket-key");
            request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        }
        Ok(request)
    }

    fn fields(&self, out: &mut impl Fields) {
        let named = ConnectionOptions::of(self.headers);
        let mut seen = Seen::default();
        let counts_hops = matches!(self.method, "TRACE" | "OPTIONS");
        for (known, name, value) in self.headers.iter_known() {
            if counts_hops && name.eq_ignore_ascii_case(b"max-forwards") {
                write_hops_left(out, value);
                continue;
            }
            let passes = self.passes(known, value, &mut seen);
            if passes
                && !named.names(known, name)
                && !self.is_withheld(known, name)
                && !self.edits.drops(name)
                && !self.testimony.drops(name)
            {
                out.field(name, value);
            }
        }
        self.edits.write(out);
        self.testimony.write(out);
        self.write_forwarding(out);
        self.write_ids(out, &seen);
    }

    fn passes(&self, known: Known, value: &[u8], seen: &mut Seen) -> bool {
        match known {
            Known::Host
            | Known::Connection
            | Known::ProxyConnection
            | Known::KeepAlive
            | Known::TransferEncoding
            | Known::Upgrade
            | Known::ProxyAuthenticate
            | Known::ProxyAuthorization
            | Known::Trailer
            | Known::XForwardedClientCert
            | Known::XForwardedFor
            | Known::XWeirOverride => false,
            Known::Te => value.eq_ignore_ascii_case(b"trailers"),
            Known::Forwarded
            | Known::XForwardedHost
            | Known::XForwardedProto
            | Known::XForwardedPort
            | Known::XRealIp
            | Known::XWeir => self.trusted,
            Known::XRequestId => {
                seen.request_id |= self.trusted;
                self.trusted
            }
            Known::Traceparent => {
                let keep = !seen.traceparent && is_traceparent(value);
                seen.traceparent |= keep;
                keep
            }
            Known::Expect => value.eq_ignore_ascii_case(b"100-continue") && self.framing != Framing::None,
            Known::ContentLength => self.framing != Framing::Chunked,
            Known::Cookie | Known::Other => true,
        }
    }

    /// Whether the field says under another name what only those may say who are believed: it passes every rule, and a
    /// backend might believe it.
    fn is_withheld(&self, known: Known, name: &[u8]) -> bool {
        known == Known::Other
            && (is_disguised(name) || is_forged_region(self.region_headers, self.peer_ip, name))
    }

    /// X-Forwarded-For is appended to where it is believed, and begun anew where not; the others are set where missing.
    fn write_forwarding(&self, out: &mut impl Fields) {
        let mut list = List::new(out, b"x-forwarded-for");
        let mut has = [false; 2];
        if self.trusted {
            for (known, _, value) in self.headers.iter_known() {
                match known {
                    Known::XForwardedFor if !value.is_empty() => list.next().part(value),
                    Known::XForwardedProto => has[0] = true,
                    Known::XForwardedHost => has[1] = true,
                    _ => {}
                }
            }
        }
        // Who comes over a unix socket has no address that could be told.
        if !is_unix_peer(self.peer_ip) {
            list.next().ip(self.peer_ip);
        }
        let out = list.end();
        if !has[0] {
            out.field(b"x-forwarded-proto", self.scheme.as_bytes());
        }
        if !has[1] && !self.client_host.is_empty() {
            out.field(b"x-forwarded-host", self.client_host);
        }
        if let Some(identity) = self.identity {
            out.field(b"x-forwarded-client-cert", identity.as_bytes());
        }
    }

    /// An id for the request, and a trace to belong to (W3C Trace Context, section 3.2), where there is none.
    fn write_ids(&self, out: &mut impl Fields, seen: &Seen) {
        let [a, b, c, d] = self.entropy;
        if !seen.request_id {
            out.begin(b"x-request-id");
            out.part(&hex(a));
            out.part(&hex(b));
            out.end();
        }
        if !seen.traceparent {
            out.begin(b"traceparent");
            out.part(b"00-");
            out.part(&hex(c | 1));
            out.part(&hex(d));
            out.part(b"-");
            out.part(&hex(a ^ d | 1));
            out.part(b"-00");
            out.end();
        }
    }
}

/// Which of the fields that Weir would add are there already.
#[derive(Debug, Default)]
struct Seen {
    request_id: bool,
    traceparent: bool,
}

// === impl ClientHead ===

impl ClientHead<'_> {
    /// Appends the upstream's head, as an HTTP/1.1 client is to see it, to `out`.
    pub(super) fn write(&self, head: &ResponseHead, bytes: &[u8], out: &mut Vec<u8>) {
        if let Some(proof) = self.proof {
            write_status_line(out, 101, b"Switching Protocols");
            self.fields(head, bytes, out);
            out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
            out.field(b"sec-websocket-accept", proof.as_bytes());
            out.extend_from_slice(b"\r\n");
            return;
        }
        write_status_line(out, head.status, head.reason(bytes));
        self.fields(head, bytes, out);
        if head.status == 101 {
            out.extend_from_slice(b"connection: upgrade\r\n");
            for protocol in head.headers(bytes).known(Known::Upgrade) {
                out.field(b"upgrade", protocol);
            }
            out.extend_from_slice(b"\r\n");
            return;
        }
        if self.chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        write_connection(out, self.version, self.keep_alive);
        out.extend_from_slice(b"\r\n");
    }

    /// The same for an HTTP/2 client. A tunnel that was opened is an answer like any other there (RFC 8441, section 5).
    pub(super) fn response(
        &self,
        head: &ResponseHead,
        bytes: &[u8],
        recent: &RecentFields,
    ) -> ::http::Response<()> {
        let mut fields = FieldMap::repeating(recent);
        self.fields(head, bytes, &mut fields);
        if head.status == 101 {
            fields.map.remove("sec-websocket-accept");
        }
        let mut response = ::http::Response::new(());
        *response.headers_mut() = fields.map;
        let status = if head.status == 101 { 200 } else { head.status };
        *response.status_mut() =
            ::http::StatusCode::from_u16(status).unwrap_or(::http::StatusCode::BAD_GATEWAY);
        response
    }

    fn fields(&self, head: &ResponseHead, bytes: &[u8], out: &mut impl Fields) {
        let headers = head.headers(bytes);
        let named = ConnectionOptions::of(headers);
        let bodiless = matches!(head.status, 101 | 204) || self.proof.is_some();
        let mut has_date = false;
        for (known, name, value) in headers.iter_known() {
            let passes = match known {
                Known::Connection
                | Known::ProxyConnection
                | Known::KeepAlive
                | Known::TransferEncoding
                | Known::Upgrade
                | Known::ProxyAuthenticate
                | Known::Te
                | Known::Trailer => false,
                Known::ContentLength => !bodiless && head.framing != Framing::Chunked,
                _ => !named.names(known, name),
            };
            if passes && !self.edits.drops(name) {
                has_date |= name.eq_ignore_ascii_case(b"date");
                out.field(name, value);
            }
        }
        self.edits.write(out);
        if !has_date {
            out.field(b"date", self.date.as_bytes());
        }
        if let Some(cookie) = self.set_cookie {
            out.field(b"set-cookie", cookie.as_bytes());
        }
    }
}

/// The fields of an interim response that pass.
pub(super) fn interim_fields(head: &ResponseHead, bytes: &[u8], out: &mut impl Fields) {
    let headers = head.headers(bytes);
    let named = ConnectionOptions::of(headers);
    for (known, name, value) in headers.iter_known() {
        let framing = matches!(known, Known::ContentLength | Known::TransferEncoding | Known::Trailer);
        if !framing && !is_hop_by_hop(known) && !named.names(known, name) {
            out.field(name, value);
        }
    }
}

/// Appends an interim response, such as 100 or 103, to `out`.
pub(super) fn write_interim(head: &ResponseHead, bytes: &[u8], out: &mut Vec<u8>) {
    write_status_line(out, head.status, head.reason(bytes));
    interim_fields(head, bytes, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends trailer fields, given as lines, without those that would mean something to framing, routing or trust
/// (RFC 9110, section 6.5.1), and those that are kept back.
pub(super) fn write_trailers(lines: &[u8], trailing: Trailing<'_>, out: &mut Vec<u8>) {
    if lines.is_empty() {
        return;
    }
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let section = [lines, b"\r\n"].concat();
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(&section, &mut fields) else {
        return;
    };
    for field in fields {
        let name = field.name.as_bytes();
        if trailing.passes(name) {
            out.field(name, field.value);
        }
    }
}

/// Appends `Connection` where the version's default is not what is meant.
pub(super) fn write_connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (_, false) => out.extend_from_slice(b"connection: close\r\n"),
        (Version::Http10, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (Version::Http11 | Version::Http2, true) => {}
    }
}

/// Appends a status line.
pub(super) fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_display(out, status);
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// What `Connection` names, beside `close` and `keep-alive`.
#[derive(Clone, Copy)]
struct ConnectionOptions<'a> {
    headers: Headers<'a>,
    any: bool,
}

// === impl ConnectionOptions ===

impl<'a> ConnectionOptions<'a> {
    fn of(headers: Headers<'a>) -> Self {
        let plain = |value: &[u8]| {
            value.eq_ignore_ascii_case(b"keep-alive")
                || value.eq_ignore_ascii_case(b"close")
                || value.is_empty()
        };
        Self { headers, any: headers.known(Known::Connection).any(|value| !plain(value)) }
    }

    /// Whether the field is named, and may be: what a backend relies on to know who asks for what cannot be named away.
    fn names(self, known: Known, name: &[u8]) -> bool {
        self.any
            && !is_protected(known, name)
            && self
                .headers
                .known(Known::Connection)
                .flat_map(|value| value.split(|byte| *byte == b','))
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(name))
    }
}

fn is_protected(known: Known, name: &[u8]) -> bool {
    match known {
        Known::Host
        | Known::Cookie
        | Known::ContentLength
        | Known::Forwarded
        | Known::XForwardedClientCert
        | Known::XForwardedFor
        | Known::XForwardedHost
        | Known::XForwardedPort
        | Known::XForwardedProto
        | Known::XRealIp
        | Known::XRequestId
        | Known::Traceparent
        | Known::XWeir => true,
        Known::Other => {
            ["authorization", "set-cookie"].iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes()))
        }
        _ => false,
    }
}

fn is_hop_by_hop(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::ProxyConnection
            | Known::KeepAlive
            | Known::TransferEncoding
            | Known::Upgrade
            | Known::ProxyAuthenticate
            | Known::ProxyAuthorization
            | Known::Trailer
            | Known::Te
    )
}

/// Appends what the value displays as.
pub(super) fn push_display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    struct Sink<'a>(&'a mut Vec<u8>);
    impl std::fmt::Write for Sink<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    let _ = write!(Sink(out), "{value}");
}

/// The decoder of a request's body, and how it is written upstream.
pub(super) fn body_of(framing: Framing) -> (BodyDecoder, super::relay::Coding) {
    let coding = if framing == framing::Framing::Chunked {
        super::relay::Coding::Chunked
    } else {
        super::relay::Coding::Plain
    };
    (BodyDecoder::new(framing), coding)
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
