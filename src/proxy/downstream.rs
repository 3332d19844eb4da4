//! Who asked: the client's end of one request, whichever protocol it speaks.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use super::{
    buffer::Mark,
    connection::{After, Client},
    h2::StreamClient,
    handshake::Secured,
    respond::Local,
    worker::Worker,
};

/// The client's end of a request.
pub(super) enum Downstream<'c> {
    /// A connection that speaks HTTP/1.1; it carries one request after the other.
    H1(&'c mut Client),
    /// A stream of an HTTP/2 connection.
    H2(&'c mut StreamClient),
}

/// A place in a request's body to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) enum BodyMark {
    H1(Mark),
    H2,
}

// === impl Downstream ===

impl Downstream<'_> {
    /// The bytes that the request's head marks places in.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::H1(client) => client.buffer.all(),
            Self::H2(client) => &client.bytes,
        }
    }

    /// The other end of the connection.
    pub(super) fn peer(&self) -> SocketAddr {
        match self {
            Self::H1(client) => client.peer,
            Self::H2(client) => client.peer,
        }
    }

    /// What the client said of itself in its TLS handshake.
    pub(super) fn secured(&self) -> Option<&Rc<Secured>> {
        match self {
            Self::H1(client) => client.secured.as_ref(),
            Self::H2(client) => client.secured.as_ref(),
        }
    }

    /// Whether the request is a gRPC call.
    pub(super) fn is_grpc(&self) -> bool {
        match self {
            Self::H1(_) => false,
            Self::H2(client) => client.grpc,
        }
    }

    /// Whether a part of the body is there already.
    pub(super) fn has_body_at_hand(&self) -> bool {
        match self {
            Self::H1(client) => !client.buffer.is_drained(),
            Self::H2(_) => false,
        }
    }

    /// Whether another request may come, or is there already.
    pub(super) fn may_ask_again(&self) -> bool {
        match self {
            Self::H1(client) => client.may_ask_again(),
            Self::H2(_) => true,
        }
    }

    /// Does nothing for a while; false when the client left meanwhile.
    pub(super) async fn pause(&mut self, time: Duration) -> bool {
        match self {
            Self::H1(client) => client.pause(time).await,
            Self::H2(client) => client.pause(time).await,
        }
    }

    /// Sends a response of our own.
    pub(super) async fn respond(&mut self, worker: &Worker, local: &Local<'_>) -> After {
        match self {
            Self::H1(client) => client.respond(worker, local).await,
            Self::H2(client) => client.respond(worker, local).await,
        }
    }

    /// Where the body is now.
    pub(super) fn mark(&self) -> BodyMark {
        match self {
            Self::H1(client) => BodyMark::H1(client.buffer.mark()),
            Self::H2(_) => BodyMark::H2,
        }
    }

    /// From here on, what is read of the body is kept to be read again, as long as it is not more than `limit` bytes.
    pub(super) fn keep(&mut self, limit: usize) {
        match self {
            Self::H1(client) => client.buffer.keep(limit),
            Self::H2(client) => client.body.keep(limit),
        }
    }

    /// Whether [`rewind`](Self::rewind) would do.
    pub(super) fn can_rewind(&self, mark: BodyMark) -> bool {
        match (self, mark) {
            (Self::H1(client), BodyMark::H1(mark)) => client.buffer.can_rewind(mark),
            (Self::H2(client), BodyMark::H2) => client.body.can_rewind(),
            _ => false,
        }
    }

    /// Makes the body unread again from `mark` on; false when that cannot be.
    pub(super) fn rewind(&mut self, mark: BodyMark) -> bool {
        match (self, mark) {
            (Self::H1(client), BodyMark::H1(mark)) => client.buffer.rewind(mark),
            (Self::H2(client), BodyMark::H2) => client.body.rewind(),
            _ => false,
        }
    }
}
