//! Header rules: what of a head is passed on, and what Weir adds.
//!
//! RFC 9110, section 7.6.1: hop-by-hop fields end here, and so does what `Connection` names, except fields that nobody may
//! name away. A peer that is not trusted has its forwarding fields replaced, never believed.

use std::{fmt::Write as _, net::IpAddr};

use crate::{
    http::{BodyDecoder, Framing, Headers, Known, ResponseHead, Version, framing},
    split::RegionHeader,
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
    /// Headers that name a region, and the peers that each is believed from.
    pub(super) region_headers: &'a [RegionHeader],
    /// 256 random bits, for the ids that are missing.
    pub(super) entropy: [u64; 4],
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
}

// === impl UpstreamHead ===

impl UpstreamHead<'_> {
    /// Appends the head to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for part in
            [self.method.as_bytes(), b" ", self.path_and_query, b" HTTP/1.1\r\nhost: ", self.host, b"\r\n"]
        {
            out.extend_from_slice(part);
        }
        let named = ConnectionOptions::of(self.headers);
        let mut seen = Seen::default();
        for (known, name, value) in self.headers.iter_known() {
            let passes = self.passes(known, value, &mut seen);
            if passes && !named.names(known, name) && !self.is_withheld(known, name) {
                write_field(out, name, value);
            }
        }
        if self.framing == Framing::Chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        self.write_forwarding(out);
        self.write_ids(out, &seen);
        out.extend_from_slice(b"\r\n");
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
            | Known::XForwardedFor => false,
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
        known == Known::Other && (is_disguised(name) || self.is_forged_region(name))
    }

    /// Whether the field names a region and the peer is not one that may.
    fn is_forged_region(&self, name: &[u8]) -> bool {
        self.region_headers.iter().any(|header| {
            header.name.as_bytes().eq_ignore_ascii_case(name) && !header.from.contains(self.peer_ip)
        })
    }

    /// X-Forwarded-For is appended to where it is believed, and begun anew where not; the others are set where missing.
    fn write_forwarding(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"x-forwarded-for: ");
        let mut has = [false; 2];
        if self.trusted {
            for (known, _, value) in self.headers.iter_known() {
                match known {
                    Known::XForwardedFor if !value.is_empty() => {
                        out.extend_from_slice(value);
                        out.extend_from_slice(b", ");
                    }
                    Known::XForwardedProto => has[0] = true,
                    Known::XForwardedHost => has[1] = true,
                    _ => {}
                }
            }
        }
        push_display(out, self.peer_ip);
        out.extend_from_slice(b"\r\n");
        if !has[0] {
            write_field(out, b"x-forwarded-proto", self.scheme.as_bytes());
        }
        if !has[1] && !self.client_host.is_empty() {
            write_field(out, b"x-forwarded-host", self.client_host);
        }
    }

    /// An id for the request, and a trace to belong to (W3C Trace Context, section 3.2), where there is none.
    fn write_ids(&self, out: &mut Vec<u8>, seen: &Seen) {
        let [a, b, c, d] = self.entropy;
        if !seen.request_id {
            out.extend_from_slice(b"x-request-id: ");
            push_hex(out, a);
            push_hex(out, b);
            out.extend_from_slice(b"\r\n");
        }
        if !seen.traceparent {
            out.extend_from_slice(b"traceparent: 00-");
            push_hex(out, c | 1);
            push_hex(out, d);
            out.push(b'-');
            push_hex(out, a ^ d | 1);
            out.extend_from_slice(b"-00\r\n");
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
    /// Appends the upstream's head, as the client is to see it, to `out`.
    pub(super) fn write(&self, head: &ResponseHead, bytes: &[u8], out: &mut Vec<u8>) {
        write_status_line(out, head.status, head.reason(bytes));
        let headers = head.headers(bytes);
        let named = ConnectionOptions::of(headers);
        let bodiless = head.status == 204;
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
            if passes {
                has_date |= name.eq_ignore_ascii_case(b"date");
                write_field(out, name, value);
            }
        }
        if !has_date {
            write_field(out, b"date", self.date.as_bytes());
        }
        if let Some(cookie) = self.set_cookie {
            write_field(out, b"set-cookie", cookie.as_bytes());
        }
        if self.chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        write_connection(out, self.version, self.keep_alive);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends an interim response, such as 100 or 103, to `out`.
pub(super) fn write_interim(head: &ResponseHead, bytes: &[u8], out: &mut Vec<u8>) {
    write_status_line(out, head.status, head.reason(bytes));
    let headers = head.headers(bytes);
    let named = ConnectionOptions::of(headers);
    for (known, name, value) in headers.iter_known() {
        let framing = matches!(known, Known::ContentLength | Known::TransferEncoding | Known::Trailer);
        if !framing && !is_hop_by_hop(known) && !named.names(known, name) {
            write_field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends trailer fields, given as lines, without those that would mean something to framing, routing or trust
/// (RFC 9110, section 6.5.1).
pub(super) fn write_trailers(lines: &[u8], out: &mut Vec<u8>) {
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
        if Known::of(name) == Known::Other && !is_disguised(name) && !is_forbidden_trailer(field.name) {
            write_field(out, field.name.as_bytes(), field.value);
        }
    }
}

/// Appends `Connection` where the version's default is not what is meant.
pub(super) fn write_connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (_, false) => out.extend_from_slice(b"connection: close\r\n"),
        (Version::Http10, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (Version::Http11, true) => {}
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

/// Appends a field.
pub(super) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
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

/// Whether servers that turn `-` into `_` (CGI, WSGI) would take the name for one that some rule is about: such a field
/// passes no rule, so it does not pass at all.
fn is_disguised(name: &[u8]) -> bool {
    const LONGEST: usize = 32;
    if memchr::memchr(b'_', name).is_none() {
        return false;
    }
    let mut plain = [0; LONGEST];
    let len = name.len().min(LONGEST);
    plain[..len].copy_from_slice(&name[..len]);
    plain.iter_mut().filter(|byte| **byte == b'_').for_each(|byte| *byte = b'-');
    Known::of(&plain[..len]) != Known::Other
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

fn is_forbidden_trailer(name: &str) -> bool {
    const FORBIDDEN: [&str; 12] = [
        "authorization",
        "set-cookie",
        "content-encoding",
        "content-type",
        "content-range",
        "cache-control",
        "max-forwards",
        "range",
        "pragma",
        "if-match",
        "location",
        "vary",
    ];
    FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

/// `version-traceid-parentid-flags` in lower-case hexadecimal, neither id all zero (W3C Trace Context, section 3.2.2).
fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    value.len() >= 55
        && (value.len() == 55 || (value[55] == b'-' && !value.starts_with(b"00")))
        && [value[2], value[35], value[52]] == *b"---"
        && hex(&value[..2])
        && !value.starts_with(b"ff")
        && hex(&value[3..35])
        && some(&value[3..35])
        && hex(&value[36..52])
        && some(&value[36..52])
        && hex(&value[53..55])
}

fn push_hex(out: &mut Vec<u8>, value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits: [u8; 16] = std::array::from_fn(|at| DIGITS[(value >> (60 - 4 * at) & 15) as usize]);
    out.extend_from_slice(&digits);
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
