//! One attempt on one endpoint, over whatever the two sides speak.
//!
//! Two HTTP/1.1 connections have an [`Exchange`], which moves bytes as they come; where HTTP/2 is on a side, a [`Bridge`] passes
//! bodies in pieces. Both have the same phases, and whoever forwards sees no difference.

use super::{
    bridge::{Bridge, Held},
    downstream::BodyMark,
    error::ProxyError,
    exchange::Exchange,
    headers::ClientHead,
};
use crate::{
    http::ResponseHead,
    upstream::{Lease, UpstreamConnection},
};

/// What a request is sent over.
#[derive(Debug)]
pub(super) enum Leased {
    /// An HTTP/1.1 connection, for this request alone.
    Connection(UpstreamConnection),
    /// A place on an HTTP/2 connection.
    Stream(Lease),
}

/// An attempt under way.
pub(super) enum Attempt<'a, 'c> {
    /// Between two HTTP/1.1 connections.
    Exchange(Exchange<'a>),
    /// Between any other two sides.
    Bridge(Bridge<'a, 'c>),
}

macro_rules! either {
    ($self:ident, $attempt:ident => $call:expr) => {
        match $self {
            Attempt::Exchange($attempt) => $call,
            Attempt::Bridge($attempt) => $call,
        }
    };
}

// === impl Leased ===

impl Leased {
    /// Whether it has carried a request before.
    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Connection(connection) => connection.reused,
            Self::Stream(lease) => lease.reused,
        }
    }
}

// === impl Attempt ===

impl Attempt<'_, '_> {
    /// Sends the request and waits for the response's head.
    pub(super) async fn response_head(
        &mut self,
        head: &mut ResponseHead,
        to_head: bool,
    ) -> Result<(), ProxyError> {
        either!(self, attempt => attempt.response_head(head, to_head).await)
    }

    /// The bytes that the response's head marks places in.
    pub(super) fn bytes(&self) -> &[u8] {
        either!(self, attempt => attempt.bytes())
    }

    /// Queues the head for the client, and what of the body came with it.
    pub(super) fn begin_response(
        &mut self,
        head: &ResponseHead,
        client_head: &ClientHead<'_>,
    ) -> Result<(), ProxyError> {
        either!(self, attempt => attempt.begin_response(head, client_head))
    }

    /// What both sides send from here on are bytes of another protocol.
    pub(super) fn open_tunnel(&mut self) {
        either!(self, attempt => attempt.open_tunnel());
    }

    /// Streams the response to its end.
    pub(super) async fn response_body(&mut self) -> Result<(), ProxyError> {
        either!(self, attempt => attempt.response_body().await)
    }

    /// Goes on with the request after its response, as long as the upstream takes it.
    pub(super) async fn rest_of_request(&mut self) {
        either!(self, attempt => attempt.rest_of_request().await);
    }

    /// Whether the response's body had to wait for the client or the upstream.
    pub(super) fn has_waited(&self) -> bool {
        either!(self, attempt => attempt.has_waited())
    }

    /// Whether the client got any byte.
    pub(super) fn is_response_begun(&self) -> bool {
        either!(self, attempt => attempt.is_response_begun())
    }

    /// Whether the client took a part of an interim response and not the whole.
    pub(super) fn is_interim_cut(&self) -> bool {
        either!(self, attempt => attempt.is_interim_cut())
    }

    /// Whether the client may send another request, or has.
    pub(super) fn may_ask_again(&self) -> bool {
        either!(self, attempt => attempt.may_ask_again())
    }

    /// Body bytes that went to the client.
    pub(super) fn body_bytes(&self) -> u64 {
        either!(self, attempt => attempt.body_bytes())
    }

    /// The `grpc-status` in the fields behind the response's body. gRPC is spoken over HTTP/2 alone.
    pub(super) fn grpc_status(&self) -> Option<u8> {
        match self {
            Self::Exchange(_) => None,
            Self::Bridge(bridge) => bridge.grpc_status(),
        }
    }

    /// Whether the whole request went up, so that what the client sends next is another one.
    pub(super) fn is_request_sent(&self) -> bool {
        either!(self, attempt => attempt.is_request_sent())
    }

    /// Parts with the client; the response, of which the head was read, waits.
    pub(super) fn hold(self) -> Held {
        either!(self, attempt => attempt.hold())
    }

    /// Whether the client's body can be read again from `mark` on.
    pub(super) fn can_rewind(&self, mark: BodyMark) -> bool {
        match (self, mark) {
            (Self::Exchange(exchange), BodyMark::H1(mark)) => exchange.can_rewind(mark),
            (Self::Exchange(_), BodyMark::H2) => false,
            (Self::Bridge(bridge), mark) => bridge.can_rewind(mark),
        }
    }

    /// Makes an incomplete response visible as one, where the end of the connection does not.
    pub(super) fn break_off(&mut self) {
        if let Self::Bridge(bridge) = self {
            bridge.break_off();
        }
    }

    /// Gives back the memory, and the connection if it can carry another request.
    pub(super) fn finish(self, keep_alive: bool) -> Option<UpstreamConnection> {
        either!(self, attempt => attempt.finish(keep_alive))
    }
}
