//! Where pieces of a body go: an HTTP/1.1 connection, in its coding, or an HTTP/2 stream, as far as its window allows.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::SendStream;
use tokio::io::AsyncWrite as _;

use super::frame::Frame;
use crate::{
    http::chunked,
    net::Stream,
    proxy::{buffer::BufferPool, fields::Fields as _, relay::Coding},
};

/// When this much waits to be written, it is written before more is taken.
const OUT_MAX: usize = 16 * 1024;

/// Bytes on their way to an HTTP/1.1 connection: a head, then a body in its coding.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Vec<u8>,
    sent: usize,
    /// Whether the stream may keep back what it took.
    kept_back: bool,
    pub(super) coding: Coding,
    /// Whether any byte was written.
    pub(super) touched: bool,
}

/// One side's receiving end.
pub(super) enum Sink<'a> {
    /// An HTTP/1.1 connection.
    Connection(&'a mut Stream, &'a mut Outgoing),
    /// An HTTP/2 stream.
    Stream(&'a mut SendStream<Bytes>),
}

// === impl Outgoing ===

impl Outgoing {
    pub(super) fn new(bytes: Vec<u8>, coding: Coding) -> Self {
        Self { bytes, sent: 0, kept_back: false, coding, touched: false }
    }

    /// Gives the memory back, if it has any.
    pub(super) fn give_back(mut self, pool: &BufferPool) {
        self.bytes.clear();
        self.sent = 0;
        self.release(pool);
    }

    /// The same with all that was to be sent gone; more may still come.
    pub(super) fn release(&mut self, pool: &BufferPool) {
        if self.bytes.is_empty() && self.bytes.capacity() > 0 {
            pool.put_outgoing(std::mem::take(&mut self.bytes));
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.sent == self.bytes.len() && !self.kept_back
    }

    /// Whether something was begun to be written and is not there as a whole.
    pub(super) fn is_cut(&self) -> bool {
        self.sent > 0
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
            self.touched = true;
            self.kept_back = true;
        }
        self.bytes.clear();
        self.sent = 0;
        if self.kept_back {
            ready!(Pin::new(&mut *stream).poll_flush(cx))?;
            self.kept_back = false;
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, frame: Frame) {
        let chunked = self.coding == Coding::Chunked;
        match frame {
            Frame::Data { bytes, last } => {
                if chunked && !bytes.is_empty() {
                    chunked::write_size(&mut self.bytes, bytes.len());
                }
                self.bytes.extend_from_slice(&bytes);
                if chunked && !bytes.is_empty() {
                    self.bytes.extend_from_slice(b"\r\n");
                }
                if chunked && last {
                    self.bytes.extend_from_slice(b"0\r\n\r\n");
                }
            }
            Frame::Trailers(fields) if chunked => {
                self.bytes.extend_from_slice(b"0\r\n");
                for (name, value) in &fields {
                    self.bytes.field(name.as_str().as_bytes(), value.as_bytes());
                }
                self.bytes.extend_from_slice(b"\r\n");
            }
            Frame::End if chunked => self.bytes.extend_from_slice(b"0\r\n\r\n"),
            // A counted body has no room for trailers, and its end needs no sign.
            Frame::Trailers(_) | Frame::End => {}
        }
    }
}

// === impl Sink ===

impl Sink<'_> {
    /// Takes the frame, or as much of it as there is room for; what is left stays in `frame`.
    pub(super) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        frame: &mut Option<Frame>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Connection(stream, out) => {
                if out.bytes.len() > OUT_MAX {
                    ready!(out.poll_flush(cx, stream))?;
                }
                if let Some(frame) = frame.take() {
                    out.take(frame);
                }
                Poll::Ready(Ok(()))
            }
            Self::Stream(stream) => poll_send(cx, stream, frame),
        }
    }

    /// Hands everything that was taken to the network; an HTTP/2 connection does that by itself.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Connection(stream, out) => out.poll_flush(cx, stream),
            Self::Stream(_) => Poll::Ready(Ok(())),
        }
    }
}

/// Sends a frame on an HTTP/2 stream as far as the receiver's window allows (RFC 9113, section 5.2).
fn poll_send(
    cx: &mut Context<'_>,
    stream: &mut SendStream<Bytes>,
    frame: &mut Option<Frame>,
) -> Poll<io::Result<()>> {
    let sent = match frame.take() {
        None => Ok(()),
        Some(Frame::End) => stream.send_data(Bytes::new(), true),
        Some(Frame::Trailers(fields)) => stream.send_trailers(fields),
        Some(Frame::Data { bytes, last }) if bytes.is_empty() => {
            if last {
                stream.send_data(bytes, true)
            } else {
                Ok(())
            }
        }
        Some(Frame::Data { mut bytes, last }) => {
            stream.reserve_capacity(bytes.len());
            let mut room = stream.capacity();
            if room == 0 {
                room = match stream.poll_capacity(cx) {
                    Poll::Pending => {
                        *frame = Some(Frame::Data { bytes, last });
                        return Poll::Pending;
                    }
                    Poll::Ready(Some(Ok(room))) => room,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                    Poll::Ready(None) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                };
            }
            let part = bytes.split_to(room.min(bytes.len()));
            let whole = bytes.is_empty();
            if !whole {
                *frame = Some(Frame::Data { bytes, last });
            }
            stream.send_data(part, whole && last)
        }
    };
    Poll::Ready(sent.map_err(io::Error::other))
}
