//! Bodies in pieces: what passes between two sides that do not share a form.

use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use h2::RecvStream;

use crate::{
    http::{BodyDecoder, chunked::Piece},
    net::Stream,
    proxy::{
        buffer::{Buffer, BufferPool, SIZE},
        fields::may_trail,
        relay::{RelayError, poll_fill},
    },
};

/// A piece of a body. A clone shares its data.
#[derive(Debug, Clone)]
pub(in crate::proxy) enum Frame {
    /// Data; `last` when nothing follows it.
    Data { bytes: Bytes, last: bool },
    /// The end, with fields.
    Trailers(HeaderMap),
    /// The end.
    End,
}

/// A body that comes on an HTTP/2 stream. The sender may send on as its data is passed on, not as it arrives.
#[derive(Debug)]
pub(in crate::proxy) struct StreamBody {
    stream: RecvStream,
    /// Bytes that were given out and that the sender was not told to replace yet.
    owed: usize,
    touched: bool,
    ended: bool,
    tape: Option<Tape>,
}

/// What was taken of a body, to be given out again.
#[derive(Debug)]
struct Tape {
    frames: Vec<Frame>,
    /// Data bytes that may still be added.
    room: usize,
    /// Frames that were given out again, of those there are.
    played: usize,
}

// === impl StreamBody ===

impl StreamBody {
    pub(in crate::proxy) fn new(stream: RecvStream) -> Self {
        let ended = stream.is_end_stream();
        Self { stream, owed: 0, touched: false, ended, tape: None }
    }

    /// Whether it has ended, or there is none.
    pub(in crate::proxy) fn is_ended(&self) -> bool {
        self.ended
    }

    /// From here on, what is taken is kept as long as it is not more than `limit` bytes.
    pub(in crate::proxy) fn keep(&mut self, limit: usize) {
        self.tape = (limit > 0).then(|| Tape { frames: Vec::new(), room: limit, played: 0 });
    }

    /// Whether it can be taken from its start again.
    pub(in crate::proxy) fn can_rewind(&self) -> bool {
        !self.touched || self.tape.is_some()
    }

    /// The whole body; `None` when it was not kept, or has not ended.
    pub(in crate::proxy) fn kept(&self) -> Option<Bytes> {
        let tape = self.tape.as_ref().filter(|_| self.ended)?;
        let mut body = Vec::new();
        for frame in &tape.frames {
            if let Frame::Data { bytes, .. } = frame {
                body.extend_from_slice(bytes);
            }
        }
        Some(body.into())
    }

    /// Begins again; false when what was taken is gone.
    pub(in crate::proxy) fn rewind(&mut self) -> bool {
        if let Some(tape) = &mut self.tape {
            tape.played = 0;
        }
        self.can_rewind()
    }

    /// The next piece. What was given out before counts as passed on.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, RelayError>> {
        if self.owed > 0 {
            // An error here is one of the stream, which the next call tells.
            drop(self.stream.flow_control().release_capacity(self.owed));
            self.owed = 0;
        }
        if let Some(again) = self.tape.as_mut().and_then(Tape::play) {
            return Poll::Ready(Ok(again));
        }
        if self.ended {
            return Poll::Ready(Ok(Frame::End));
        }
        self.touched = true;
        let frame = ready!(self.poll_stream(cx))?;
        self.tape = self.tape.take().and_then(|tape| tape.record(&frame));
        Poll::Ready(Ok(frame))
    }

    /// Takes what comes and throws it away; ready at the end, or when `left` bytes came.
    pub(in crate::proxy) fn poll_discard(&mut self, cx: &mut Context<'_>, left: &mut usize) -> Poll<()> {
        self.tape = None;
        loop {
            match ready!(self.poll_frame(cx)) {
                Ok(Frame::Data { bytes, last: false }) if bytes.len() < *left => *left -= bytes.len(),
                _ => return Poll::Ready(()),
            }
        }
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, RelayError>> {
        if let Some(data) = ready!(self.stream.poll_data(cx)) {
            let bytes = data.map_err(broken)?;
            self.owed = bytes.len();
            self.ended = self.stream.is_end_stream();
            return Poll::Ready(Ok(Frame::Data { bytes, last: self.ended }));
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).map_err(broken)?;
        self.ended = true;
        Poll::Ready(Ok(match trailers {
            Some(fields) => Frame::Trailers(passing(&fields)),
            None => Frame::End,
        }))
    }
}

// === impl Tape ===

impl Tape {
    /// The next frame that is to be given out again.
    fn play(&mut self) -> Option<Frame> {
        let frame = self.frames.get(self.played)?.clone();
        self.played += 1;
        Some(frame)
    }

    /// The tape with `frame` on it, while there is room.
    fn record(mut self, frame: &Frame) -> Option<Self> {
        if let Frame::Data { bytes, .. } = frame {
            self.room = self.room.checked_sub(bytes.len())?;
        }
        self.frames.push(frame.clone());
        self.played += 1;
        Some(self)
    }
}

/// What an HTTP/2 stream says of its end too early.
fn broken(error: h2::Error) -> RelayError {
    RelayError::Read(if error.is_io() {
        error.into_io().unwrap_or_else(|| std::io::ErrorKind::ConnectionReset.into())
    } else {
        std::io::Error::other(error)
    })
}

/// A body that comes on an HTTP/1.1 connection.
pub(super) struct ConnectionBody<'a> {
    pub(super) stream: &'a mut Stream,
    pub(super) buffer: &'a mut Buffer,
    pub(super) decoder: &'a mut BodyDecoder,
}

// === impl ConnectionBody ===

impl ConnectionBody<'_> {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        pool: &BufferPool,
    ) -> Poll<Result<Frame, RelayError>> {
        loop {
            match self.decoder.next(self.buffer.unread())? {
                Piece::Data(range) => {
                    let bytes = Bytes::copy_from_slice(self.buffer.unread_at(range.clone()));
                    self.buffer.consume(range.end);
                    let last = matches!(self.decoder, BodyDecoder::Length(0));
                    return Poll::Ready(Ok(Frame::Data { bytes, last }));
                }
                Piece::End(used) => {
                    self.buffer.consume(used);
                    return Poll::Ready(Ok(trailers(self.decoder.trailers())));
                }
                Piece::NeedMore => self.buffer.consume(self.buffer.unread().len()),
            }
            pool.provide(self.buffer);
            if self.buffer.is_full() {
                pool.grow_to(self.buffer, self.buffer.capacity() + SIZE);
            }
            let filled = poll_fill(cx, self.stream, self.buffer);
            if filled.is_pending() {
                pool.reclaim_if_drained(self.buffer);
            }
            if ready!(filled).map_err(RelayError::Read)? == 0 {
                let end = if self.decoder.may_end() { Ok(Frame::End) } else { Err(RelayError::Truncated) };
                return Poll::Ready(end);
            }
        }
    }
}

/// Trailer lines as a frame, without those that may not pass.
fn trailers(lines: &[u8]) -> Frame {
    if lines.is_empty() {
        return Frame::End;
    }
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let section = [lines, b"\r\n"].concat();
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(&section, &mut fields) else {
        return Frame::End;
    };
    let mut map = HeaderMap::new();
    for field in fields.iter().filter(|field| may_trail(field.name.as_bytes())) {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value.trim_ascii())) {
            map.append(name, value);
        }
    }
    Frame::Trailers(map)
}

fn passing(fields: &HeaderMap) -> HeaderMap {
    let kept = fields.iter().filter(|(name, _)| may_trail(name.as_str().as_bytes()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
