//! One direction of an exchange: a body read from one connection and written to the other.
//!
//! Nothing is read while there is something to write, so a slow reader slows its sender down (back-pressure) and a body
//! costs one buffer however long it is. Data goes out from the buffer it came into; only small pieces are copied, to leave
//! with the head or the chunk sizes in one system call.

use std::{
    io::{self, IoSlice},
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    buffer::{Buffer, BufferPool, SIZE},
    trailing::Trailing,
};
use crate::http::{BodyDecoder, chunked, chunked::Piece};

/// Pieces up to this are copied behind what waits to be sent; larger ones are sent from where they are.
const COPY_MAX: usize = 4096;
/// When this much waits, it is sent before more is decoded.
const OUT_MAX: usize = 16 * 1024;

/// One direction.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    decoder: BodyDecoder,
    coding: Coding,
    trailing: Trailing<'a>,
    /// Bytes to send, from `sent` on: a head, chunk sizes, small data.
    out: Vec<u8>,
    sent: usize,
    /// Data to send after `out`, counted from the start of the buffer's unread bytes.
    direct: Range<usize>,
    /// Data bytes that were written.
    pub(super) data_written: u64,
    /// Most data bytes that are taken.
    limit: Option<u64>,
    /// Whether any byte was written.
    pub(super) touched: bool,
    /// Whether the stream may have taken bytes that its socket has not: TLS does.
    kept_back: bool,
    ended: bool,
}

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is: the length was announced, or the connection's end ends it.
    Plain,
    /// In chunks.
    Chunked,
}

/// Why a direction stopped before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    /// The sending side failed.
    #[error("reading")]
    Read(#[source] io::Error),
    /// The sending side ended the connection in the middle of the body.
    #[error("the body ended too early")]
    Truncated,
    /// The body is larger than it may be.
    #[error("the body is too large")]
    TooLarge,
    /// The sending side's chunks are malformed.
    #[error(transparent)]
    Chunked(#[from] chunked::ChunkedError),
    /// The receiving side failed.
    #[error("writing")]
    Write(#[source] io::Error),
}

// === impl Relay ===

impl<'a> Relay<'a> {
    /// A direction that begins with the bytes in `out`.
    pub(super) fn new(decoder: BodyDecoder, coding: Coding, out: Vec<u8>) -> Self {
        Self {
            decoder,
            coding,
            trailing: Trailing::default(),
            out,
            sent: 0,
            direct: 0..0,
            data_written: 0,
            limit: None,
            touched: false,
            kept_back: false,
            ended: false,
        }
    }

    /// Keeps back what the route keeps back of fields behind the body.
    pub(super) fn keeping_back(self, trailing: Trailing<'a>) -> Self {
        Self { trailing, ..self }
    }

    /// From here on, no more data than this is taken.
    pub(super) fn limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
    }

    /// Adds bytes to be sent ahead of the body; what they are is the caller's business.
    pub(super) fn out_mut(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The memory of the bytes to send, for reuse.
    pub(super) fn into_out(self) -> Vec<u8> {
        self.out
    }

    /// Starts the body: it comes as `decoder` says and goes as `coding` says.
    pub(super) fn begin(&mut self, decoder: BodyDecoder, coding: Coding) {
        self.decoder = decoder;
        self.coding = coding;
        self.limit = None;
        self.ended = false;
    }

    /// Whether the whole body has been read and written.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.is_flushed()
    }

    /// Whether the body has been read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.ended || self.decoder.is_done()
    }

    /// Whether something was begun to be written and is not there as a whole.
    pub(super) fn is_cut(&self) -> bool {
        self.sent > 0
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_written() && !self.kept_back
    }

    fn is_written(&self) -> bool {
        self.sent == self.out.len() && self.direct.is_empty()
    }

    /// Moves what can be moved. Ready when the whole body has been written; `moved` is set when any byte was.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_, impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
        pool: &BufferPool,
    ) -> Poll<Result<(), RelayError>> {
        loop {
            self.decode(ends.buffer)?;
            ready!(self.poll_flush(cx, ends)).map_err(RelayError::Write)?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if !ends.buffer.is_drained() {
                continue;
            }
            pool.provide(ends.buffer);
            if ends.buffer.is_full() {
                // All of it is a head that is kept.
                pool.grow_to(ends.buffer, ends.buffer.capacity() + SIZE);
            }
            let filled = poll_fill(cx, ends.read, ends.buffer);
            if filled.is_pending() {
                // A stream that says nothing for a while shall not hold memory meanwhile.
                pool.reclaim_if_drained(ends.buffer);
            }
            let count = ready!(filled).map_err(RelayError::Read)?;
            ends.moved = true;
            if count == 0 {
                if !self.decoder.may_end() {
                    return Poll::Ready(Err(RelayError::Truncated));
                }
                self.end();
            }
        }
    }

    /// Writes what waits to be written and nothing else.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_, impl AsyncRead + Unpin, impl AsyncWrite + Unpin>,
    ) -> Poll<io::Result<()>> {
        while !self.is_written() {
            let waiting = &self.out[self.sent..];
            let data = ends.buffer.unread_at(self.direct.clone());
            let write = Pin::new(&mut *ends.write);
            let count = if data.is_empty() {
                ready!(write.poll_write(cx, waiting))?
            } else if waiting.is_empty() {
                ready!(write.poll_write(cx, data))?
            } else {
                ready!(write.poll_write_vectored(cx, &[IoSlice::new(waiting), IoSlice::new(data)]))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            ends.moved = true;
            self.touched = true;
            self.kept_back = true;
            let from_out = count.min(waiting.len());
            self.sent += from_out;
            self.direct.start += count - from_out;
        }
        if self.direct.end > 0 {
            ends.buffer.consume(self.direct.end);
            self.direct = 0..0;
        }
        if self.sent > 0 {
            self.out.clear();
            self.sent = 0;
        }
        if self.kept_back {
            ready!(Pin::new(&mut *ends.write).poll_flush(cx))?;
            self.kept_back = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what is at hand: copies small pieces to what waits, marks a large one to be sent from where it is.
    fn decode(&mut self, buffer: &mut Buffer) -> Result<(), RelayError> {
        while !self.ended && self.direct.is_empty() && self.out.len() < OUT_MAX {
            let piece = self.decoder.next(buffer.unread())?;
            let data = if let Piece::Data(range) = &piece { range.len() as u64 } else { 0 };
            if self.limit.is_some_and(|limit| self.data_written + data + self.decoder.known_left() > limit) {
                return Err(RelayError::TooLarge);
            }
            match piece {
                Piece::NeedMore => {
                    buffer.consume(buffer.unread().len());
                    return Ok(());
                }
                Piece::End(used) => {
                    buffer.consume(used);
                    self.end();
                }
                Piece::Data(range) => self.take(buffer, range),
            }
        }
        Ok(())
    }

    fn take(&mut self, buffer: &mut Buffer, range: Range<usize>) {
        self.data_written += range.len() as u64;
        let chunked = self.coding == Coding::Chunked;
        if chunked {
            chunked::write_size(&mut self.out, range.len());
        }
        if range.len() > COPY_MAX && !chunked {
            self.direct = range;
            return;
        }
        self.out.extend_from_slice(buffer.unread_at(range.clone()));
        if chunked {
            self.out.extend_from_slice(b"\r\n");
        }
        buffer.consume(range.end);
    }

    fn end(&mut self) {
        self.ended = true;
        if self.coding == Coding::Chunked {
            self.out.extend_from_slice(b"0\r\n");
            super::headers::write_trailers(self.decoder.trailers(), self.trailing, &mut self.out);
            self.out.extend_from_slice(b"\r\n");
        }
    }
}

/// What a direction runs between, for one step.
pub(super) struct Ends<'a, R, W> {
    /// Where the body comes from.
    pub(super) read: &'a mut R,
    /// What has been read of it.
    pub(super) buffer: &'a mut Buffer,
    /// Where it goes.
    pub(super) write: &'a mut W,
    /// Set when a byte moved.
    pub(super) moved: bool,
}

/// Reads once into the buffer's room; 0 is the connection's end.
pub(super) fn poll_fill(
    cx: &mut Context<'_>,
    read: &mut (impl AsyncRead + Unpin),
    buffer: &mut Buffer,
) -> Poll<io::Result<usize>> {
    let mut room = ReadBuf::new(buffer.spare());
    debug_assert!(room.remaining() > 0, "reading needs room");
    ready!(Pin::new(read).poll_read(cx, &mut room))?;
    let count = room.filled().len();
    buffer.filled(count);
    Poll::Ready(Ok(count))
}
