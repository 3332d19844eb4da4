//! A body read as its framing says: which bytes at hand are data, and when it has ended.

use super::{
    Framing,
    chunked::{ChunkedDecoder, ChunkedError, Piece},
};

/// Reads a body of any framing.
#[derive(Debug)]
pub enum BodyDecoder {
    /// A counted body with this many bytes to come; also no body.
    Length(u64),
    /// A chunked body.
    Chunked(Box<ChunkedDecoder>),
    /// All until the connection closes.
    UntilClose,
}

// === impl BodyDecoder ===

impl BodyDecoder {
    /// A decoder for a body of this framing.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Reads on in `bytes`, up to the end of the first run of data.
    ///
    /// # Errors
    /// When a chunked body is malformed.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Piece, ChunkedError> {
        match self {
            Self::Length(0) => Ok(Piece::End(0)),
            Self::Length(_) | Self::UntilClose if bytes.is_empty() => Ok(Piece::NeedMore),
            Self::Length(left) => {
                let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= len as u64;
                Ok(Piece::Data(0..len))
            }
            Self::UntilClose => Ok(Piece::Data(0..bytes.len())),
            Self::Chunked(decoder) => decoder.next(bytes),
        }
    }

    /// Whether the whole body has been read; never true of one that only the connection's end ends.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Whether the connection may end here: all is read, or its end is the body's end.
    #[must_use]
    pub fn may_end(&self) -> bool {
        matches!(self, Self::UntilClose) || self.is_done()
    }

    /// Bytes known to be still to come.
    #[must_use]
    pub fn known_left(&self) -> u64 {
        match self {
            Self::Length(left) => *left,
            Self::Chunked(decoder) => decoder.known_left(),
            Self::UntilClose => 0,
        }
    }

    /// The trailer fields of a chunked body that has ended, as lines; else empty.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        if let Self::Chunked(decoder) = self { decoder.trailers() } else { &[] }
    }
}
