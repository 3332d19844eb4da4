//! A response that waits: its head was read, and whether the client gets it depends on what another attempt comes to.
//!
//! Nothing more is read of it meanwhile, so it costs its connection and the buffer that its head came in, for as long as the
//! other attempt takes.

use super::{sink::Outgoing, upstream::Upstream};
use crate::{
    http::{BodyDecoder, ResponseHead, chunked::Piece},
    proxy::{buffer::Buffer, relay::Coding, worker::Worker},
    upstream::UpstreamConnection,
};

/// An upstream whose response waits.
pub(in crate::proxy) struct Held {
    pub(super) upstream: Upstream,
    /// Whether the whole request went up.
    sent: bool,
}

// === impl Held ===

impl Held {
    pub(super) fn new(upstream: Upstream, sent: bool) -> Self {
        Self { upstream, sent }
    }

    /// On a connection; `buffer` begins with the response's head.
    pub(in crate::proxy) fn on_connection(
        connection: UpstreamConnection,
        buffer: Buffer,
        sent: bool,
    ) -> Self {
        let mut upstream = Upstream::connection(connection, Outgoing::new(Vec::new(), Coding::Plain));
        if let Upstream::Connection { buffer: empty, answered, .. } = &mut upstream {
            *empty = buffer;
            *answered = true;
        }
        Self::new(upstream, sent)
    }

    /// Nobody gets it. Gives the connection back if the whole response is there already.
    pub(in crate::proxy) fn discard(
        self,
        worker: &Worker,
        head: &ResponseHead,
    ) -> Option<UpstreamConnection> {
        let mut upstream = self.upstream;
        let whole = match &mut upstream {
            Upstream::Connection { buffer, .. } => {
                buffer.consume(head.head_len);
                skip(buffer, BodyDecoder::new(head.framing))
            }
            Upstream::Stream { .. } => false,
        };
        upstream.finish(worker, whole && self.sent && head.keep_alive)
    }
}

/// Uses up a body; whether its end was there.
fn skip(buffer: &mut Buffer, mut decoder: BodyDecoder) -> bool {
    loop {
        match decoder.next(buffer.unread()) {
            Ok(Piece::Data(range)) => buffer.consume(range.end),
            Ok(Piece::End(used)) => {
                buffer.consume(used);
                return true;
            }
            Ok(Piece::NeedMore) | Err(_) => return false,
        }
    }
}
