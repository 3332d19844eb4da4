//! HTTP/2 messages as heads (RFC 9113, section 8).
//!
//! The crate `h2` gives a message as maps. Here it is laid out in a buffer as a head is that came as text, so that everything
//! behind it (routing, splitting, header rules, logs) sees one form, whatever the client or the upstream speaks.

use ::http::{HeaderMap, header, request, response};

use super::{
    Framing, HeadError, HeadLimits, Headers, Known, RequestHead, ResponseHead, Slot, Version, framing,
    head::Upgrade,
};

// === impl RequestHead ===

impl RequestHead {
    /// Takes over an HTTP/2 request; `ended` when it has no body. The head's bytes are appended to `bytes`, which must be
    /// empty.
    ///
    /// `:authority` becomes Host, and a Host beside it must be the same (RFC 9113, section 8.3.1). Cookie fields become one
    /// (section 8.2.3). An extended CONNECT (RFC 8441) becomes the GET that asks for the same.
    ///
    /// # Errors
    /// When the message is malformed or above the limits.
    pub fn translate(
        &mut self,
        parts: &request::Parts,
        ended: bool,
        limits: HeadLimits,
        bytes: &mut Vec<u8>,
    ) -> Result<(), HeadError> {
        self.slots.clear();
        let protocol = parts.extensions.get::<h2::ext::Protocol>();
        let method = if protocol.is_some() { "GET" } else { parts.method.as_str() };
        self.method = append(bytes, method.as_bytes());
        let path = parts.uri.path_and_query().map_or("", |target| target.as_str());
        self.target = append(bytes, path.as_bytes());
        if bytes.len() > limits.bytes {
            return Err(HeadError::TargetTooLong);
        }
        if let Some(authority) = parts.uri.authority() {
            push(&mut self.slots, bytes, (b"host", Known::Host, authority.as_str().as_bytes()));
        }
        let has_authority = !self.slots.is_empty();
        fields(&mut self.slots, bytes, &parts.headers, |known, value| match known {
            Known::Host if has_authority => {
                let same = parts
                    .uri
                    .authority()
                    .is_some_and(|authority| authority.as_str().as_bytes().eq_ignore_ascii_case(value));
                if same { Ok(false) } else { Err(HeadError::Malformed) }
            }
            known => Ok(known != Known::Cookie),
        })?;
        join_cookies(&mut self.slots, bytes, &parts.headers)?;
        if bytes.len() > limits.bytes {
            return Err(HeadError::TooLarge);
        }
        if self.slots.len() > limits.fields {
            return Err(HeadError::TooMany);
        }
        let headers = Headers::new(bytes, &self.slots);
        let length = framing::content_length(headers)?;
        self.framing = match length {
            _ if ended || protocol.is_some() => Framing::None,
            Some(length) => framing::of_length(length),
            None => Framing::Chunked,
        };
        self.expects_continue =
            headers.known(Known::Expect).any(|value| value.eq_ignore_ascii_case(b"100-continue"));
        self.upgrade = protocol.map(|protocol| match protocol.as_str() {
            "websocket" => Upgrade::WebSocket,
            _ => Upgrade::Other,
        });
        self.head_len = bytes.len();
        self.version = Version::Http2;
        self.keep_alive = true;
        Ok(())
    }
}

// === impl ResponseHead ===

impl ResponseHead {
    /// Takes over an HTTP/2 response; `ended` when it has no body, `to_head` when it answers a HEAD. The head's bytes are
    /// appended to `bytes`, which must be empty.
    ///
    /// # Errors
    /// When the message is malformed.
    pub fn translate(
        &mut self,
        parts: &response::Parts,
        (ended, to_head): (bool, bool),
        bytes: &mut Vec<u8>,
    ) -> Result<(), HeadError> {
        self.slots.clear();
        self.reason = 0..0;
        fields(&mut self.slots, bytes, &parts.headers, |_, _| Ok(true))?;
        self.status = parts.status.as_u16();
        self.version = Version::Http2;
        self.keep_alive = true;
        self.head_len = bytes.len();
        let headers = Headers::new(bytes, &self.slots);
        let length = framing::content_length(headers)?;
        let bodiless = ended || to_head || matches!(self.status, 100..=199 | 204 | 304);
        self.framing = match length {
            _ if bodiless => Framing::None,
            Some(length) => framing::of_length(length),
            None => Framing::Chunked,
        };
        Ok(())
    }
}

/// Lays out the fields that `takes` wants.
fn fields(
    slots: &mut Vec<Slot>,
    bytes: &mut Vec<u8>,
    map: &HeaderMap,
    mut takes: impl FnMut(Known, &[u8]) -> Result<bool, HeadError>,
) -> Result<(), HeadError> {
    for (name, value) in map {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        // RFC 9113, section 8.2.1.
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if blank(value.first()) || blank(value.last()) {
            return Err(HeadError::Malformed);
        }
        let known = Known::of(name);
        if takes(known, value)? {
            push(slots, bytes, (name, known, value));
        }
    }
    Ok(())
}

/// Cookies may come in several fields, for better compression; HTTP/1.1 wants one.
fn join_cookies(slots: &mut Vec<Slot>, bytes: &mut Vec<u8>, map: &HeaderMap) -> Result<(), HeadError> {
    let mut crumbs = map.get_all(header::COOKIE).iter();
    let Some(first) = crumbs.next() else { return Ok(()) };
    let name = append(bytes, b"cookie");
    let mut value = append(bytes, first.as_bytes());
    for crumb in crumbs {
        bytes.extend_from_slice(b"; ");
        value.end = append(bytes, crumb.as_bytes()).end;
    }
    let offset = |at: usize| u32::try_from(at).map_err(|_| HeadError::TooLarge);
    slots.push(Slot {
        name_start: offset(name.start)?,
        name_len: 6,
        value_start: offset(value.start)?,
        value_len: offset(value.len())?,
        known: Known::Cookie,
    });
    Ok(())
}

fn push(slots: &mut Vec<Slot>, bytes: &mut Vec<u8>, (name, known, value): (&[u8], Known, &[u8])) {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let name = append(bytes, name);
    let value = append(bytes, value);
    slots.push(Slot {
        name_start: offset(name.start),
        name_len: u16::try_from(name.len()).unwrap_or(u16::MAX),
        value_start: offset(value.start),
        value_len: offset(value.len()),
        known,
    });
}

fn append(bytes: &mut Vec<u8>, part: &[u8]) -> std::ops::Range<usize> {
    let start = bytes.len();
    bytes.extend_from_slice(part);
    start..bytes.len()
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
