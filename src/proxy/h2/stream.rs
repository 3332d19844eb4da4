//! The client's end of one stream.

use std::{
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use ::http::header::CONTENT_TYPE;
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};

use crate::{
    http::grpc,
    proxy::{
        bridge::StreamBody,
        connection::{After, LINGER, LINGER_BYTES},
        error::ProxyError,
        handshake::Secured,
        respond::Local,
        timer::Timer,
        worker::Worker,
    },
    types::clock,
};

/// A stream that a client has opened, and what was read from it.
pub(in crate::proxy) struct StreamClient {
    /// The bytes of the request's head.
    pub(in crate::proxy) bytes: Vec<u8>,
    /// The other end of the connection.
    pub(in crate::proxy) peer: SocketAddr,
    /// What the client said of itself in its TLS handshake.
    pub(in crate::proxy) secured: Option<Rc<Secured>>,
    /// The request's body.
    pub(in crate::proxy) body: StreamBody,
    pub(in crate::proxy) timer: Timer,
    respond: SendResponse<Bytes>,
    /// Whether the request is a gRPC call.
    pub(in crate::proxy) grpc: bool,
    cancelled: bool,
    /// Whether the response is our own.
    answered: bool,
    /// The response's body, once its head was sent.
    sending: Option<SendStream<Bytes>>,
}

/// Who asks on a stream, and its two directions.
pub(super) struct Asking {
    pub(super) peer: SocketAddr,
    pub(super) secured: Option<Rc<Secured>>,
    pub(super) body: RecvStream,
    pub(super) respond: SendResponse<Bytes>,
}

// === impl StreamClient ===

impl StreamClient {
    /// The client's end of a stream; `bytes` are empty, and the timer has no deadline.
    pub(super) fn new(
        request: &::http::request::Parts,
        Asking { peer, secured, body, respond }: Asking,
        (bytes, timer): (Vec<u8>, Timer),
    ) -> Self {
        let content_type = request.headers.get(CONTENT_TYPE);
        Self {
            bytes,
            peer,
            secured,
            body: StreamBody::new(body),
            timer,
            respond,
            grpc: content_type.is_some_and(|value| grpc::is_grpc(value.as_bytes())),
            cancelled: false,
            answered: false,
            sending: None,
        }
    }

    /// Does nothing for a while; false when the client left meanwhile.
    pub(in crate::proxy) async fn pause(&mut self, time: Duration) -> bool {
        self.timer.set(clock::now(), time);
        poll_fn(|cx| {
            if self.poll_gone(cx).is_ready() {
                return Poll::Ready(false);
            }
            self.timer.poll(cx).map(|()| true)
        })
        .await
    }

    /// After an answer of our own, takes what the client still sends of its request. It is told that the rest is not wanted only
    /// then (RFC 9113, section 8.1): many take that for the end of the response as well.
    pub(super) async fn linger(&mut self) {
        if !self.answered || self.body.is_ended() || self.cancelled {
            return;
        }
        let mut left = LINGER_BYTES;
        self.timer.set(clock::now(), LINGER);
        poll_fn(|cx| {
            if self.body.poll_discard(cx, &mut left).is_ready() || self.poll_gone(cx).is_ready() {
                return Poll::Ready(());
            }
            self.timer.poll(cx)
        })
        .await;
    }

    /// Sends a response of our own.
    pub(in crate::proxy) async fn respond(&mut self, worker: &Worker, local: &Local<'_>) -> After {
        let (response, body) = worker.with_date(|date| {
            let grpc = if self.grpc { local.grpc_response(date) } else { None };
            grpc.unwrap_or_else(|| local.response(date))
        });
        self.answered = true;
        if self.begin(response, body.is_empty()).is_ok()
            && !body.is_empty()
            && let Some(sending) = &mut self.sending
        {
            drop(sending.send_data(body, true));
        }
        After::Close
    }

    /// Sends the response's head; `ended` when it has no body.
    pub(in crate::proxy) fn begin(
        &mut self,
        response: ::http::Response<()>,
        ended: bool,
    ) -> Result<(), ProxyError> {
        let sending = self.respond.send_response(response, ended).map_err(|_| ProxyError::ClientGone)?;
        self.sending = Some(sending);
        Ok(())
    }

    /// Sends an interim response.
    pub(in crate::proxy) fn interim(&mut self, response: ::http::Response<()>) {
        // A client that is gone is noticed elsewhere.
        drop(self.respond.send_informational(response));
    }

    /// Where the response's body goes; `None` before its head was sent.
    pub(in crate::proxy) fn sending(&mut self) -> Option<&mut SendStream<Bytes>> {
        self.sending.as_mut()
    }

    /// Ready when the client has reset the stream or is gone.
    pub(in crate::proxy) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let gone = match &mut self.sending {
            Some(sending) => sending.poll_reset(cx).map(drop),
            None => self.respond.poll_reset(cx).map(drop),
        };
        self.cancelled |= gone.is_ready();
        gone
    }

    /// Whether the client has reset the stream while it was served.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Breaks the response off, so that the client sees it as incomplete.
    pub(in crate::proxy) fn reset(&mut self, reason: Reason) {
        match &mut self.sending {
            Some(sending) => sending.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}
