//! Where header fields are written to: the bytes of an HTTP/1.1 head, or the map of an HTTP/2 message.
//!
//! Header rules say what is written once, for both.

use std::net::IpAddr;

use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::recent::RecentFields;
use crate::http::Known;

/// Takes header fields, one after the other, each in parts.
pub(super) trait Fields {
    /// A field of this name begins.
    fn begin(&mut self, name: &[u8]);
    /// A part of its value.
    fn part(&mut self, bytes: &[u8]);
    /// It ends.
    fn end(&mut self);

    /// A whole field.
    fn field(&mut self, name: &[u8], value: &[u8]) {
        self.begin(name);
        self.part(value);
        self.end();
    }

    /// A part of a value that is an address.
    fn ip(&mut self, ip: IpAddr)
    where
        Self: Sized,
    {
        match ip {
            // Each request says one, so it has a way of its own, without the machinery of formatting.
            IpAddr::V4(ip) => {
                let (text, len) = dotted(ip.octets());
                self.part(&text[..len]);
            }
            IpAddr::V6(ip) => self.display(ip),
        }
    }

    /// A part of a value, as it is displayed.
    fn display(&mut self, value: impl std::fmt::Display)
    where
        Self: Sized,
    {
        use std::fmt::Write as _;
        struct Sink<'a, F>(&'a mut F);
        impl<F: Fields> std::fmt::Write for Sink<'_, F> {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                self.0.part(text.as_bytes());
                Ok(())
            }
        }
        let _ = write!(Sink(self), "{value}");
    }
}

/// A field whose value is a list; it begins with the first member, so that an empty list is no field.
pub(super) struct List<'f, F> {
    out: &'f mut F,
    name: &'static [u8],
    begun: bool,
}

/// The fields of an HTTP/2 message. What a map cannot hold, a head that was taken strictly does not have.
#[derive(Debug, Default)]
pub(super) struct FieldMap<'r> {
    pub(super) map: HeaderMap,
    /// Knows the fields that were said before.
    recent: Option<&'r RecentFields>,
    name: Option<HeaderName>,
    value: Vec<u8>,
}

// === impl Fields ===

impl Fields for Vec<u8> {
    fn begin(&mut self, name: &[u8]) {
        self.extend_from_slice(name);
        self.extend_from_slice(b": ");
    }

    fn part(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn end(&mut self) {
        self.extend_from_slice(b"\r\n");
    }
}

impl Fields for FieldMap<'_> {
    fn begin(&mut self, name: &[u8]) {
        self.name = HeaderName::from_bytes(name).ok();
        self.value.clear();
    }

    fn part(&mut self, bytes: &[u8]) {
        self.value.extend_from_slice(bytes);
    }

    fn end(&mut self) {
        if let (Some(name), Ok(value)) = (self.name.take(), HeaderValue::from_bytes(&self.value)) {
            self.map.append(name, value);
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let field = match self.recent {
            Some(recent) => recent.field(name, value),
            None => HeaderName::from_bytes(name).ok().zip(HeaderValue::from_bytes(value).ok()),
        };
        if let Some((name, value)) = field {
            self.map.append(name, value);
        }
    }
}

// === impl List ===

impl<'f, F: Fields> List<'f, F> {
    pub(super) fn new(out: &'f mut F, name: &'static [u8]) -> Self {
        Self { out, name, begun: false }
    }

    /// Where the next member is written to.
    pub(super) fn next(&mut self) -> &mut F {
        if self.begun {
            self.out.part(b", ");
        } else {
            self.out.begin(self.name);
            self.begun = true;
        }
        self.out
    }

    /// Ends the list; what comes next is another field.
    pub(super) fn end(self) -> &'f mut F {
        if self.begun {
            self.out.end();
        }
        self.out
    }
}

// === impl FieldMap ===

impl<'r> FieldMap<'r> {
    /// A map whose whole fields may be ones that `recent` knows.
    pub(super) fn repeating(recent: &'r RecentFields) -> Self {
        Self { recent: Some(recent), ..Self::default() }
    }
}

/// The address in decimal numbers with dots between them, and how many bytes that is.
fn dotted(octets: [u8; 4]) -> ([u8; 15], usize) {
    let mut text = [b'.'; 15];
    let mut len = 0;
    for (at, octet) in octets.into_iter().enumerate() {
        len += usize::from(at > 0);
        for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
            if octet >= least {
                text[len] = b'0' + digit;
                len += 1;
            }
        }
    }
    (text, len)
}

/// Whether a trailer field may pass: not if it would mean something to framing, routing or trust (RFC 9110, section 6.5.1).
pub(super) fn may_trail(name: &[u8]) -> bool {
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
    Known::of(name) == Known::Other
        && !is_disguised(name)
        && !FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
}

/// Whether servers that turn `-` into `_` (CGI, WSGI) would take the name for one that some rule is about: such a field
/// passes no rule, so it does not pass at all.
pub(super) fn is_disguised(name: &[u8]) -> bool {
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

/// Max-Forwards, counted down; one that is no number passes as it is (RFC 9110, section 7.6.2).
pub(super) fn write_hops_left(out: &mut impl Fields, value: &[u8]) {
    let hops = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u32>().ok());
    out.begin(b"max-forwards");
    match hops {
        Some(hops) => out.display(hops.saturating_sub(1)),
        None => out.part(value),
    }
    out.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are_displayed() {
        let some = [0, 1, 9, 10, 19, 99, 100, 101, 199, 255];
        let v4 = some.iter().flat_map(|a| some.iter().map(|b| IpAddr::from([*a, *b, 0, *a])));
        for ip in v4.chain(["2001:db8::1".parse().unwrap()]) {
            let mut out = Vec::new();
            out.ip(ip);
            assert_eq!(String::from_utf8(out).unwrap(), ip.to_string());
        }
    }
}
