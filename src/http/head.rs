//! Request and response heads: parsing, and everything about framing that must be decided before a byte is forwarded.
//!
//! The tokenizer is the crate `httparse`. It is lenient where RFC 9112 lets a recipient be, so the checks here close what
//! would let two parties read one message differently: bare LF, `Content-Length` beside `Transfer-Encoding`, repeated or
//! odd lengths, codings other than a single `chunked`, more than one Host. Requests are strict, because they come from
//! anybody. Responses may end their lines with a bare LF, as nginx and HAProxy accept: Weir writes them anew, so nobody
//! behind it sees the difference.

use std::ops::Range;

use super::{
    Headers, Slot,
    framing::{self, Framing, FramingError},
    headers::Known,
};

/// Most header fields that can be configured for a head.
pub const MAX_HEADERS: usize = 1000;
/// Fields that are tried first: nearly every head has fewer, and a small array is cheaper to clear.
const USUAL_HEADERS: usize = 48;

/// A parsed request head. It marks places in the buffer it was parsed from, and is reused from request to request.
#[derive(Debug, Default)]
pub struct RequestHead {
    pub(super) slots: Vec<Slot>,
    pub(super) method: Range<usize>,
    pub(super) target: Range<usize>,
    /// Bytes of the head, up to and with the empty line.
    pub head_len: usize,
    /// The minor version: HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client lets the connection live on after the response.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The protocol that the client wants to go on with, where its request can become a tunnel.
    pub upgrade: Option<Upgrade>,
}

/// A parsed response head, like [`RequestHead`].
#[derive(Debug, Default)]
pub struct ResponseHead {
    pub(super) slots: Vec<Slot>,
    pub(super) reason: Range<usize>,
    /// Bytes of the head.
    pub head_len: usize,
    /// The version that the upstream speaks.
    pub version: Version,
    /// The status code, 100 to 999.
    pub status: u16,
    /// How the body is delimited, given the request's method.
    pub framing: Framing,
    /// Whether the upstream lets the connection live on.
    pub keep_alive: bool,
}

/// What a request asks its connection or stream to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// WebSocket (RFC 6455), asked for by `Upgrade` or by an extended CONNECT (RFC 8441).
    WebSocket,
    /// Any other protocol, by `Upgrade` (RFC 9110, section 7.8).
    Other,
}

/// Versions of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

/// What a client's bounded head may hold.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub bytes: usize,
    /// Header fields.
    pub fields: usize,
}

/// Whether a head is there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Partial,
    /// The head is complete.
    Complete,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Bytes that are no request or status line or header field.
    #[error("malformed head")]
    Malformed,
    /// A line ends with LF alone.
    #[error("a line ends with a bare LF")]
    BareLf,
    /// Not HTTP/1.0 or HTTP/1.1.
    #[error("unsupported HTTP version")]
    Version,
    /// Longer than the limit, within the request line.
    #[error("request target too long")]
    TargetTooLong,
    /// Longer than the limit.
    #[error("header fields too large")]
    TooLarge,
    /// More fields than the limit.
    #[error("too many header fields")]
    TooMany,
    /// The body's length is ambiguous or not understood.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

// === impl RequestHead ===

impl RequestHead {
    /// Parses the head at the start of `bytes` into this.
    ///
    /// # Errors
    /// When no further byte could make it acceptable.
    pub fn parse(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Progress, HeadError> {
        let parsed = with_fields(limits.fields, |fields| {
            let mut request = httparse::Request::new(fields);
            match request.parse(bytes) {
                Ok(httparse::Status::Complete(head_len)) => {
                    self.slots.clear();
                    self.slots.extend(request.headers.iter().map(|field| slot(bytes, field)));
                    self.method = range(bytes, request.method.unwrap_or_default().as_bytes());
                    self.target = range(bytes, request.path.unwrap_or_default().as_bytes());
                    self.version = version(request.version);
                    Ok(Some(head_len))
                }
                Ok(httparse::Status::Partial) if bytes.len() < limits.bytes => Ok(None),
                Ok(httparse::Status::Partial) if request.version.is_none() => {
                    Err(Refusal::Final(HeadError::TargetTooLong))
                }
                Ok(httparse::Status::Partial) => Err(Refusal::Final(HeadError::TooLarge)),
                Err(httparse::Error::Version) if !has_version(bytes) => {
                    Err(Refusal::Final(HeadError::Malformed))
                }
                Err(error) => Err(error.into()),
            }
        })?;
        let Some(head_len) = parsed else { return Ok(Progress::Partial) };
        if head_len > limits.bytes {
            let in_line = self.target.end > limits.bytes;
            return Err(if in_line { HeadError::TargetTooLong } else { HeadError::TooLarge });
        }
        if has_bare_lf(&bytes[..head_len]) {
            return Err(HeadError::BareLf);
        }
        self.head_len = head_len;
        self.settle(bytes)?;
        Ok(Progress::Complete)
    }

    /// Works out what the fields say of this message itself.
    fn settle(&mut self, bytes: &[u8]) -> Result<(), HeadError> {
        let headers = Headers::new(bytes, &self.slots);
        self.framing = framing::of_request(headers, self.version)?;
        self.keep_alive = keep_alive(headers, self.version);
        self.expects_continue = self.version == Version::Http11
            && headers.known(Known::Expect).any(|value| value.eq_ignore_ascii_case(b"100-continue"));
        self.upgrade = self.upgrade_asked(bytes);
        Ok(())
    }

    /// What an `Upgrade` that `Connection` names asks for. Only a GET without a body can become a tunnel here; a change to
    /// another HTTP or to TLS, which would hide requests from the rules, is never passed on.
    fn upgrade_asked(&self, bytes: &[u8]) -> Option<Upgrade> {
        let headers = Headers::new(bytes, &self.slots);
        let mut protocols = headers.known(Known::Upgrade);
        let protocol = protocols.next()?;
        let plain = self.version == Version::Http11 && self.framing == Framing::None;
        if !plain || protocols.next().is_some() || self.method(bytes) != "GET" {
            return None;
        }
        let named = headers
            .known(Known::Connection)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
        let starts = |prefix: &str| {
            protocol.len() >= prefix.len() && protocol[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
        };
        let hides = protocol.contains(&b',') || ["h2", "http", "tls"].into_iter().any(starts);
        match protocol {
            _ if !named || hides || protocol.is_empty() => None,
            _ if protocol.eq_ignore_ascii_case(b"websocket") => Some(Upgrade::WebSocket),
            _ => Some(Upgrade::Other),
        }
    }

    /// The method, with its case.
    #[must_use]
    pub fn method<'b>(&self, buffer: &'b [u8]) -> &'b str {
        std::str::from_utf8(&buffer[self.method.clone()]).unwrap_or_default()
    }

    /// The request target, byte for byte.
    #[must_use]
    pub fn target<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        &buffer[self.target.clone()]
    }

    /// The header fields.
    #[must_use]
    pub fn headers<'b>(&'b self, buffer: &'b [u8]) -> Headers<'b> {
        Headers::new(buffer, &self.slots)
    }
}

// === impl ResponseHead ===

impl ResponseHead {
    /// Parses the head at the start of `bytes`, the answer to a request with this method.
    ///
    /// # Errors
    /// When no further byte could make it acceptable.
    pub fn parse(&mut self, bytes: &[u8], to_head: bool, limits: HeadLimits) -> Result<Progress, HeadError> {
        let parsed = with_fields(limits.fields, |fields| {
            let mut response = httparse::Response::new(fields);
            match response.parse(bytes) {
                Ok(httparse::Status::Complete(head_len)) => {
                    self.slots.clear();
                    self.slots.extend(response.headers.iter().map(|field| slot(bytes, field)));
                    self.reason = range(bytes, response.reason.unwrap_or_default().as_bytes());
                    self.version = version(response.version);
                    self.status = response.code.unwrap_or_default();
                    Ok(Some(head_len))
                }
                Ok(httparse::Status::Partial) if bytes.len() < limits.bytes => Ok(None),
                Ok(httparse::Status::Partial) => Err(Refusal::Final(HeadError::TooLarge)),
                Err(error) => Err(error.into()),
            }
        })?;
        let Some(head_len) = parsed else { return Ok(Progress::Partial) };
        if head_len > limits.bytes {
            return Err(HeadError::TooLarge);
        }
        if self.status < 100 {
            return Err(HeadError::Malformed);
        }
        let headers = Headers::new(bytes, &self.slots);
        self.head_len = head_len;
        self.framing = framing::of_response(headers, self.version, self.status, to_head)?;
        self.keep_alive = keep_alive(headers, self.version) && self.framing != Framing::UntilClose;
        Ok(Progress::Complete)
    }

    /// Whether another head follows this one (RFC 9110, section 15.2). 101 ends the HTTP of its connection, so it is final.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// The reason phrase, byte for byte; often empty.
    #[must_use]
    pub fn reason<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        &buffer[self.reason.clone()]
    }

    /// The header fields.
    #[must_use]
    pub fn headers<'b>(&'b self, buffer: &'b [u8]) -> Headers<'b> {
        Headers::new(buffer, &self.slots)
    }
}

/// What stopped a parse: too small a field array is tried again with a larger one.
enum Refusal {
    TooManyFields,
    Final(HeadError),
}

impl From<httparse::Error> for Refusal {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyFields,
            httparse::Error::Version => Self::Final(HeadError::Version),
            _ => Self::Final(HeadError::Malformed),
        }
    }
}

/// Runs `parse` with room for the usual number of fields, and again with the most that the limit allows.
fn with_fields<'b, T>(
    limit: usize,
    mut parse: impl FnMut(&mut [httparse::Header<'b>]) -> Result<T, Refusal>,
) -> Result<T, HeadError> {
    let mut few = [httparse::EMPTY_HEADER; USUAL_HEADERS];
    let first = parse(&mut few[..limit.min(USUAL_HEADERS)]);
    let again = match first {
        Err(Refusal::TooManyFields) if limit > USUAL_HEADERS => {
            parse(&mut vec![httparse::EMPTY_HEADER; limit.min(MAX_HEADERS)])
        }
        other => other,
    };
    again.map_err(|refusal| match refusal {
        Refusal::TooManyFields => HeadError::TooMany,
        Refusal::Final(error) => error,
    })
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::Http10 } else { Version::Http11 }
}

/// Where `part` lies in `whole`, of which it is a slice.
fn range(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if start > whole.len() { 0..0 } else { start..start + part.len() }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a head is at most a mebibyte, and a name fits its limit or is cut"
)]
fn slot(whole: &[u8], field: &httparse::Header<'_>) -> Slot {
    let name = range(whole, field.name.as_bytes());
    let value = field.value.trim_ascii_end();
    let value = range(whole, value);
    Slot {
        name_start: name.start as u32,
        name_len: name.len().min(usize::from(u16::MAX)) as u16,
        value_start: value.start as u32,
        value_len: value.len() as u32,
        known: Known::of(field.name.as_bytes()),
    }
}

/// Whether the request line ends in a version of HTTP, whichever: then it is refused for that, else for being no request.
fn has_version(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start().split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ').skip(2);
    let version = parts.next().and_then(|part| part.strip_prefix(b"HTTP/"));
    parts.next().is_none()
        && matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}

fn has_bare_lf(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

/// RFC 9112, section 9.3: `close` wins; HTTP/1.0 needs `keep-alive`.
fn keep_alive(headers: Headers<'_>, version: Version) -> bool {
    let mut keep = version == Version::Http11;
    for value in headers.known(Known::Connection) {
        for token in value.split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            if token.eq_ignore_ascii_case(b"close") {
                return false;
            }
            keep |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    keep
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
