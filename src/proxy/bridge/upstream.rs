//! The upstream's end of a bridge: a connection that carries this request alone, or a stream of one that carries many.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{SendStream, client::ResponseFuture};
use tokio::io::AsyncWrite as _;

use super::{
    frame::{ConnectionBody, StreamBody},
    pump::Source,
    sink::{Outgoing, Sink},
};
use crate::{
    http::{BodyDecoder, HeadLimits, Progress, ResponseHead},
    proxy::{
        buffer::{Buffer, BufferPool},
        error::ProxyError,
        relay::poll_fill,
        worker::Worker,
    },
    upstream::{Lease, UpstreamConnection},
};

/// What an upstream's response head may hold.
pub(in crate::proxy) const RESPONSE_LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 256 };

/// The upstream's end.
pub(super) enum Upstream {
    /// HTTP/1.1.
    Connection {
        connection: UpstreamConnection,
        buffer: Buffer,
        out: Outgoing,
        decoder: BodyDecoder,
        /// Whether any byte of a response has come.
        answered: bool,
    },
    /// HTTP/2.
    Stream {
        lease: Lease,
        response: ResponseFuture,
        sending: SendStream<Bytes>,
        body: Option<StreamBody>,
        /// The bytes of the response's head.
        bytes: Vec<u8>,
    },
}

// === impl Upstream ===

impl Upstream {
    /// An HTTP/1.1 connection that is to be sent `out`, which begins with the request's head.
    pub(super) fn connection(connection: UpstreamConnection, out: Outgoing) -> Self {
        Self::Connection {
            connection,
            buffer: Buffer::default(),
            out,
            decoder: BodyDecoder::Length(0),
            answered: false,
        }
    }

    /// Opens a stream with the request; `ended` when it has no body.
    pub(super) async fn stream(
        worker: &Worker,
        lease: Lease,
        request: ::http::Request<()>,
        ended: bool,
    ) -> Result<Self, ProxyError> {
        let failed = |error| of_stream(&lease, error);
        let mut sender = lease.sender().ready().await.map_err(failed)?;
        let (response, sending) = sender.send_request(request, ended).map_err(failed)?;
        let bytes = worker.buffers.take_outgoing();
        Ok(Self::Stream { lease, response, sending, body: None, bytes })
    }

    /// The bytes that the response's head marks places in.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Connection { buffer, .. } => buffer.unread(),
            Self::Stream { bytes, .. } => bytes,
        }
    }

    /// Where the request's body goes.
    pub(super) fn sink(&mut self) -> Sink<'_> {
        match self {
            Self::Connection { connection, out, .. } => Sink::Connection(&mut connection.stream, out),
            Self::Stream { sending, .. } => Sink::Stream(sending),
        }
    }

    /// Where the response's body comes from; `None` before its head was there.
    pub(super) fn source(&mut self) -> Option<Source<'_>> {
        match self {
            Self::Connection { connection, buffer, decoder, .. } => {
                Some(Source::Connection(ConnectionBody { stream: &mut connection.stream, buffer, decoder }))
            }
            Self::Stream { body, .. } => body.as_mut().map(Source::Stream),
        }
    }

    /// Tells an HTTP/1.1 endpoint that nothing more comes; on a stream the last frame has said so.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        if let Self::Connection { connection, .. } = self {
            let _ = Pin::new(&mut connection.stream).poll_shutdown(cx);
        }
    }

    /// The whole request was taken: the memory that it was laid out in serves the next one while this waits for its answer.
    pub(super) fn request_is_sent(&mut self, pool: &BufferPool) {
        if let Self::Connection { out, .. } = self {
            out.release(pool);
        }
    }

    /// Whether the upstream takes what it was sent.
    pub(super) fn is_request_flushed(&self) -> bool {
        match self {
            Self::Connection { out, .. } => out.is_flushed(),
            Self::Stream { .. } => true,
        }
    }

    /// Reads on until a response's head is there: an interim one, or the one that counts.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        head: &mut ResponseHead,
        to_head: bool,
    ) -> Poll<Result<(), ProxyError>> {
        match self {
            Self::Connection { connection, buffer, out, answered, .. } => loop {
                let unread = buffer.unread();
                if !unread.is_empty()
                    && let Progress::Complete =
                        head.parse(unread, to_head, RESPONSE_LIMITS).map_err(ProxyError::Head)?
                {
                    return Poll::Ready(Ok(()));
                }
                worker.buffers.provide(buffer);
                if buffer.is_full() {
                    buffer.release_head();
                }
                let filled = poll_fill(cx, &mut connection.stream, buffer);
                if filled.is_pending() {
                    worker.buffers.reclaim_if_drained(buffer);
                }
                let source = match ready!(filled) {
                    Ok(count) if count > 0 => {
                        *answered = true;
                        continue;
                    }
                    Ok(_) => None,
                    Err(error) => Some(error),
                };
                return Poll::Ready(Err(if *answered {
                    ProxyError::Truncated(source)
                } else {
                    ProxyError::Closed { reused: connection.reused, unsent: !out.touched, source }
                }));
            },
            Self::Stream { lease, response, body, bytes, .. } => {
                bytes.clear();
                let (parts, ended) = match response.poll_informational(cx) {
                    Poll::Ready(Some(Ok(interim))) => (interim.into_parts().0, true),
                    _ => {
                        let answer = ready!(Pin::new(response).poll(cx));
                        let (parts, stream) = answer.map_err(|error| of_stream(lease, error))?.into_parts();
                        let stream = body.insert(StreamBody::new(stream));
                        (parts, stream.is_ended())
                    }
                };
                head.translate(&parts, (ended, to_head), bytes).map_err(ProxyError::Head)?;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The head was used: what follows is the body, or another head.
    pub(super) fn consume_head(&mut self, head: &ResponseHead) {
        if let Self::Connection { buffer, .. } = self {
            buffer.consume(head.head_len);
        }
    }

    /// The response's body comes as its head says.
    pub(super) fn begin_body(&mut self, decoder_of: BodyDecoder) {
        if let Self::Connection { decoder, .. } = self {
            *decoder = decoder_of;
        }
    }

    /// Gives back the memory, and the connection if `clean` and it can carry another request.
    pub(super) fn finish(self, worker: &Worker, clean: bool) -> Option<UpstreamConnection> {
        match self {
            Self::Connection { connection, mut buffer, out, .. } => {
                let clean = clean && buffer.is_drained();
                worker.buffers.reclaim(&mut buffer);
                out.give_back(&worker.buffers);
                clean.then_some(connection)
            }
            Self::Stream { bytes, .. } => {
                worker.buffers.put_outgoing(bytes);
                None
            }
        }
    }
}

/// What an error on a stream before its response means. A stream that was refused was not looked at (RFC 9113, section
/// 8.7), so it may be sent again; of others nobody can say.
fn of_stream(lease: &Lease, error: h2::Error) -> ProxyError {
    if error.reason() == Some(h2::Reason::REFUSED_STREAM) && !error.is_go_away() {
        return ProxyError::Refused(io_of(error));
    }
    if error.is_io() || error.is_go_away() {
        lease.condemn();
    }
    // An endpoint that says goodbye names the last stream that it has looked at; only those after it fail so.
    let unsent = error.is_go_away() && error.is_remote();
    ProxyError::Closed { reused: lease.reused || unsent, unsent, source: Some(io_of(error)) }
}

fn io_of(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    } else {
        io::Error::other(error)
    }
}
