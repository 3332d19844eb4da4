//! One direction of a bridge: pieces of a body from one side to the other. Nothing is taken from the one while the other has
//! no room, so a slow reader slows its sender down.

use std::task::{Context, Poll, ready};

use super::{
    frame::{ConnectionBody, Frame, StreamBody},
    sink::Sink,
};
use ::http::{HeaderMap, header::Entry};

use crate::{
    http::grpc,
    proxy::{buffer::BufferPool, relay::RelayError, trailing::Trailing},
};

/// One side's sending end.
pub(super) enum Source<'a> {
    /// An HTTP/1.1 connection.
    Connection(ConnectionBody<'a>),
    /// An HTTP/2 stream.
    Stream(&'a mut StreamBody),
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Pump {
    waiting: Option<Frame>,
    /// Whether the source has said its end.
    read: bool,
    /// Whether all was handed over.
    done: bool,
    /// Most data bytes that are taken.
    limit: Option<u64>,
    /// Data bytes that were taken from the source.
    pub(super) data: u64,
    /// Set when a frame moved; cleared by whoever looks.
    pub(super) moved: bool,
    /// The `grpc-status` in the fields at the end.
    pub(super) grpc_status: Option<u8>,
}

// === impl Pump ===

impl Pump {
    /// A direction that has nothing to move.
    pub(super) fn finished() -> Self {
        Self { read: true, done: true, ..Self::default() }
    }

    /// A direction that takes no more data than this.
    pub(super) fn limited(limit: Option<u64>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// A direction that has nothing to move but what its sink holds already.
    pub(super) fn without_body() -> Self {
        Self { read: true, ..Self::default() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the source has been read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.read
    }

    /// Whether the sink has no room for what was read.
    pub(super) fn is_stuck(&self) -> bool {
        self.waiting.is_some()
    }

    /// Moves what can be moved, but for fields behind the body that are kept back; ready when all was.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (source, sink): (&mut Source<'_>, &mut Sink<'_>),
        trailing: Trailing<'_>,
        pool: &BufferPool,
    ) -> Poll<Result<(), RelayError>> {
        loop {
            while self.waiting.is_some() {
                ready!(sink.poll_take(cx, &mut self.waiting)).map_err(RelayError::Write)?;
                self.moved = true;
            }
            if self.read {
                ready!(sink.poll_flush(cx)).map_err(RelayError::Write)?;
                self.done = true;
                return Poll::Ready(Ok(()));
            }
            let polled = match source {
                Source::Connection(body) => body.poll_frame(cx, pool),
                Source::Stream(body) => body.poll_frame(cx),
            };
            let Poll::Ready(frame) = polled else {
                // Nothing more comes for now: what there is goes out.
                ready!(sink.poll_flush(cx)).map_err(RelayError::Write)?;
                return Poll::Pending;
            };
            let mut frame = frame?;
            self.moved = true;
            let known = match source {
                Source::Connection(body) => body.decoder.known_left(),
                Source::Stream(_) => 0,
            };
            match &mut frame {
                Frame::Data { bytes, last } => {
                    self.data += bytes.len() as u64;
                    if self.limit.is_some_and(|limit| self.data + known > limit) {
                        return Poll::Ready(Err(RelayError::TooLarge));
                    }
                    self.read = *last;
                }
                Frame::Trailers(fields) => {
                    keep_back(fields, trailing);
                    self.grpc_status =
                        fields.get("grpc-status").and_then(|value| grpc::status_of(value.as_bytes()));
                    self.read = true;
                }
                Frame::End => self.read = true,
            }
            self.waiting = Some(frame);
        }
    }
}

/// Takes out what the route keeps from its backend.
fn keep_back(fields: &mut HeaderMap, trailing: Trailing<'_>) {
    let names: Vec<_> =
        fields.keys().filter(|name| trailing.keeps(name.as_str().as_bytes())).cloned().collect();
    for name in names {
        if let Entry::Occupied(entry) = fields.entry(name) {
            entry.remove_entry_mult();
        }
    }
}
