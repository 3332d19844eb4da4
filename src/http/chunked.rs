//! The chunked coding (RFC 9112, section 7.1), read strictly and written plainly.
//!
//! The decoder is fed the bytes at hand and says how many it used and which of them are data. It accepts CRLF only, bounds
//! what is neither data nor useful (extensions, trailers), and drops extensions: they are hop-by-hop and nobody reads them.

use std::ops::Range;

/// Most bytes of one chunk-size line, with its extension.
const MAX_LINE: usize = 4096;
/// Most bytes of a trailer section.
const MAX_TRAILERS: usize = 16 * 1024;

/// Reads a chunked body.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// Bytes of the current line or trailer section so far.
    line: usize,
    /// The trailer section, with the line that ends it; empty when there are no trailers.
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a size line: the size so far and its hexadecimal digits.
    Size { size: u64, digits: u8 },
    /// After the size and white space: only an extension or the line's end may follow.
    AfterSize { size: u64 },
    /// After the size, in an extension.
    Extension { size: u64, text: Text },
    /// After a size line's CR.
    SizeLf { size: u64 },
    /// In data, with this many bytes to come.
    Data { left: u64 },
    /// After data, before its CR.
    DataCr,
    /// After data, before its LF.
    DataLf,
    /// In the trailer section.
    Trailers,
    /// All read.
    Done,
}

/// Where in an extension: a quoted string may hold what ends the others (RFC 9110, section 5.6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Plain,
    Quoted,
    Escaped,
}

/// What one step gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These of the bytes given are data; everything up to the range's end is used.
    Data(Range<usize>),
    /// All bytes given are used, and more are needed.
    NeedMore,
    /// The body has ended; this many of the bytes given are used.
    End(usize),
}

/// A body that is not chunked as RFC 9112 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunked body")]
pub struct ChunkedError;

impl Default for State {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

// === impl Text ===

impl Text {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Plain, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::Plain,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Escaped, _) => Self::Quoted,
            (same, _) => same,
        }
    }
}

// === impl ChunkedDecoder ===

impl ChunkedDecoder {
    /// Reads on in `bytes`, up to the end of the first run of data.
    ///
    /// # Errors
    /// When the body is malformed or its bounds are passed.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Piece, ChunkedError> {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Data { left } => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    let left = left - len as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                    return Ok(Piece::Data(at..at + len));
                }
                State::Trailers => {
                    let used = self.trailer_bytes(&bytes[at..])?;
                    at += used;
                }
                State::Done => return Ok(Piece::End(at)),
                _ => {
                    self.state = self.framing_byte(bytes[at])?;
                    at += 1;
                }
            }
        }
        if self.state == State::Done { Ok(Piece::End(at)) } else { Ok(Piece::NeedMore) }
    }

    /// Whether the whole body has been read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of the current chunk that are still to come.
    #[must_use]
    pub fn known_left(&self) -> u64 {
        if let State::Data { left } = self.state { left } else { 0 }
    }

    /// The trailer fields, as lines ended by CRLF without the empty line; empty when there are none.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        self.trailers.strip_suffix(b"\r\n").unwrap_or_default()
    }

    fn framing_byte(&mut self, byte: u8) -> Result<State, ChunkedError> {
        self.line += 1;
        if self.line > MAX_LINE {
            return Err(ChunkedError);
        }
        match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == 15 {
                    return Err(ChunkedError);
                }
                Ok(State::Size { size: size << 4 | u64::from(hex_value(byte)), digits: digits + 1 })
            }
            (State::Size { size, digits: 1.. }, b'\r') => Ok(State::SizeLf { size }),
            (State::Size { size, digits: 1.. } | State::AfterSize { size }, b';') => {
                Ok(State::Extension { size, text: Text::Plain })
            }
            // "bad whitespace" before an extension (RFC 9112, section 7.1.1)
            (State::Size { size, digits: 1.. } | State::AfterSize { size }, b' ' | b'\t') => {
                Ok(State::AfterSize { size })
            }
            (State::AfterSize { size } | State::Extension { size, text: Text::Plain }, b'\r') => {
                Ok(State::SizeLf { size })
            }
            (State::Extension { size, text }, b'\t' | b' '..=b'~' | 0x80..) => {
                Ok(State::Extension { size, text: text.after(byte) })
            }
            (State::SizeLf { size }, b'\n') => {
                self.line = 0;
                Ok(if size == 0 { State::Trailers } else { State::Data { left: size } })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.line = 0;
                Ok(State::default())
            }
            _ => Err(ChunkedError),
        }
    }

    /// Takes bytes of the trailer section; it ends with an empty line. Returns how many were used.
    fn trailer_bytes(&mut self, bytes: &[u8]) -> Result<usize, ChunkedError> {
        for (at, byte) in bytes.iter().enumerate() {
            self.trailers.push(*byte);
            if *byte == b'\n' {
                let section = &self.trailers[..];
                if !section.ends_with(b"\r\n") {
                    return Err(ChunkedError);
                }
                if section == b"\r\n" || section.ends_with(b"\r\n\r\n") {
                    self.check_trailers()?;
                    self.state = State::Done;
                    return Ok(at + 1);
                }
            } else if self.trailers.len() > MAX_TRAILERS {
                return Err(ChunkedError);
            }
        }
        Ok(bytes.len())
    }

    fn check_trailers(&self) -> Result<(), ChunkedError> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        match httparse::parse_headers(&self.trailers, &mut fields) {
            Ok(httparse::Status::Complete((used, _))) if used == self.trailers.len() => Ok(()),
            _ => Err(ChunkedError),
        }
    }
}

/// Writes one chunk's size line into `out`; the data and CRLF follow it. Nothing for no data, which would end the body.
pub fn write_size(out: &mut Vec<u8>, len: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0_u8; 16];
    let mut at = text.len();
    let mut rest = len;
    while at > 0 {
        at -= 1;
        text[at] = DIGITS[rest & 15];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
    out.extend_from_slice(b"\r\n");
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
