//! How a message's body is delimited (RFC 9112, section 6.3), and nothing in between.

use super::{Headers, Known, head::Version};

/// Most digits of a length: any such number fits the signed 64 bits that most servers count in, so nobody reads another.
const MAX_DIGITS: usize = 18;

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// This many bytes, at least one.
    Length(u64),
    /// Chunks (RFC 9112, section 7.1).
    Chunked,
    /// Everything until the connection closes; responses only.
    UntilClose,
}

/// Why a body's length is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("Content-Length beside Transfer-Encoding")]
    LengthAndCoding,
    /// More than one length, or something that is no number.
    #[error("invalid Content-Length")]
    Length,
    /// `chunked` is not the last coding, or stands twice, or the version has no codings.
    #[error("invalid Transfer-Encoding")]
    Coding,
    /// A coding other than `chunked`.
    #[error("transfer coding not supported")]
    Unsupported,
}

/// The framing of a request: no length and no coding means no body.
///
/// # Errors
/// When the fields contradict each other or cannot be understood.
pub fn of_request(headers: Headers<'_>, version: Version) -> Result<Framing, FramingError> {
    let length = content_length(headers)?;
    if !is_chunked(headers, version)? {
        return Ok(length.map_or(Framing::None, of_length));
    }
    match length {
        Some(_) => Err(FramingError::LengthAndCoding),
        None => Ok(Framing::Chunked),
    }
}

/// The framing of a response with `status`; `to_head` when it answers a HEAD.
///
/// # Errors
/// When the fields contradict each other or cannot be understood.
pub fn of_response(
    headers: Headers<'_>,
    version: Version,
    status: u16,
    to_head: bool,
) -> Result<Framing, FramingError> {
    if status < 200 || status == 204 {
        return Ok(Framing::None);
    }
    let length = content_length(headers)?;
    if to_head || status == 304 {
        return Ok(Framing::None);
    }
    if is_chunked(headers, version)? {
        return if length.is_some() { Err(FramingError::LengthAndCoding) } else { Ok(Framing::Chunked) };
    }
    Ok(length.map_or(Framing::UntilClose, of_length))
}

pub(super) fn of_length(length: u64) -> Framing {
    if length == 0 { Framing::None } else { Framing::Length(length) }
}

pub(super) fn content_length(headers: Headers<'_>) -> Result<Option<u64>, FramingError> {
    let mut values = headers.known(Known::ContentLength);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.is_empty() || value.len() > MAX_DIGITS {
        return Err(FramingError::Length);
    }
    let mut length = 0_u64;
    for digit in value {
        if !digit.is_ascii_digit() {
            return Err(FramingError::Length);
        }
        length = length * 10 + u64::from(digit - b'0');
    }
    Ok(Some(length))
}

/// Whether the body is chunked. Several fields are one list (RFC 9110, section 5.3).
fn is_chunked(headers: Headers<'_>, version: Version) -> Result<bool, FramingError> {
    let mut seen = false;
    let mut chunked = false;
    for value in headers.known(Known::TransferEncoding) {
        if version == Version::Http10 {
            return Err(FramingError::Coding);
        }
        seen = true;
        for coding in value.split(|byte| *byte == b',') {
            let coding = coding.trim_ascii();
            if chunked {
                return Err(FramingError::Coding);
            }
            if coding.eq_ignore_ascii_case(b"chunked") {
                chunked = true;
            } else if is_registered(coding) {
                return Err(FramingError::Unsupported);
            } else {
                return Err(FramingError::Coding);
            }
        }
    }
    if seen && !chunked { Err(FramingError::Coding) } else { Ok(chunked) }
}

/// Codings that are well-formed but that Weir does not undo (IANA HTTP Transfer Coding registry).
fn is_registered(coding: &[u8]) -> bool {
    ["gzip", "x-gzip", "deflate", "compress", "x-compress"]
        .iter()
        .any(|name| coding.eq_ignore_ascii_case(name.as_bytes()))
}
