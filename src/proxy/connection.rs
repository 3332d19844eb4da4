//! One client connection: read a head, handle the request, and again, until one side has enough.

use std::{future::poll_fn, io, net::SocketAddr, rc::Rc, task::Poll, time::Duration};

use tokio::io::AsyncWriteExt as _;

use super::{
    buffer::Buffer,
    downstream::Downstream,
    error::refusal_of_head,
    h2, handle,
    handshake::{self, Secured, Shaken},
    listener::Inlet,
    relay::poll_fill,
    respond::Local,
    timer::Timer,
    worker::Worker,
};
use crate::{
    http::{HeadError, HeadLimits, Progress, RequestHead},
    net::{Plain, Stream},
    snapshot::ListenerSettings,
    telemetry::Refusal,
    types::clock,
};

/// How long a client may go on sending after its connection was given up, and how much is thrown away meanwhile. Closing
/// at once would reset the connection, and the reset could overtake the response.
pub(super) const LINGER: Duration = Duration::from_secs(1);
pub(super) const LINGER_BYTES: usize = 1024 * 1024;
/// How long a connection that waits for a request when Weir stops may take to send one more. Closing it at once would lose what a
/// client is just sending, and a client may not send a POST again that way (RFC 9112, section 9.3.1).
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// A client and what has been read from it.
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) peer: SocketAddr,
    pub(super) buffer: Buffer,
    pub(super) timer: Timer,
    /// What it said of itself in its TLS handshake.
    pub(super) secured: Option<Rc<Secured>>,
    /// Whether the client has closed its sending side.
    pub(super) ended: bool,
    /// Whether it has sent a request.
    asked: bool,
    idle_slot: Option<usize>,
}

/// What becomes of the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It carries the next request.
    KeepAlive,
    /// It ends in order; all that was asked for was read.
    Close,
    /// It ends in order, but the client may still be sending.
    Linger,
    /// It ends visibly: the response is incomplete.
    Reset,
}

/// What waiting for a head gave.
enum Next {
    Request,
    Refused(HeadError),
    /// The head did not arrive in time.
    Late,
    /// The client left, or kept still for too long, or Weir is stopping.
    Over,
}

/// Serves a connection until it ends.
pub(super) async fn serve(worker: Rc<Worker>, inlet: Rc<Inlet>, socket: Plain, peer: SocketAddr) {
    let Some(tls) = inlet.tls(&worker) else {
        return serve_h1(worker, inlet, (socket.into(), None), peer).await;
    };
    let Some(Shaken { stream, secured, h2 }) = handshake::shake(&worker, &inlet, socket, &tls).await else {
        return;
    };
    drop(tls);
    if h2 {
        h2::serve(worker, inlet, h2::Rewound::new(Vec::new(), stream), (peer, Some(secured))).await;
    } else {
        serve_h1(worker, inlet, (stream, Some(secured)), peer).await;
    }
}

/// Serves a connection that begins with HTTP/1.1, which is how HTTP/2 begins in the clear, too.
async fn serve_h1(
    worker: Rc<Worker>,
    inlet: Rc<Inlet>,
    (stream, secured): (Stream, Option<Rc<Secured>>),
    peer: SocketAddr,
) {
    let mut client = Client {
        stream,
        secured,
        peer,
        buffer: Buffer::default(),
        timer: Timer::default(),
        ended: false,
        asked: false,
        idle_slot: None,
    };
    let mut head = RequestHead::default();
    let after = loop {
        let settings = inlet.settings(&worker);
        let after = match client.next_head(&worker, &settings, &mut head).await {
            Next::Request if !settings.h1 => {
                let text = "this listener speaks HTTP/2 only";
                client.refuse(&worker, &inlet, (505, Refusal::Unsupported), text).await
            }
            Next::Request => handle::handle(&worker, &inlet, &mut Downstream::H1(&mut client), &head).await,
            Next::Refused(HeadError::Version) if client.speaks_h2(&settings) => {
                worker.idle.release(client.idle_slot);
                let (stream, peer) = client.rewound(&worker);
                return h2::serve(worker, inlet, stream, (peer, None)).await;
            }
            Next::Refused(error) => {
                let (status, refusal) = refusal_of_head(error);
                client.refuse(&worker, &inlet, (status, refusal), &error.to_string()).await
            }
            Next::Late => {
                client
                    .refuse(&worker, &inlet, (408, Refusal::Timeout), "the request did not arrive in time")
                    .await
            }
            Next::Over => After::Close,
        };
        client.buffer.release_head();
        client.asked = true;
        if after != After::KeepAlive {
            break after;
        }
    };
    worker.idle.release(client.idle_slot);
    client.close(&worker, after).await;
}

// === impl Client ===

impl Client {
    /// Whether another request may come, or is there already.
    pub(super) fn may_ask_again(&self) -> bool {
        !self.ended || !self.buffer.is_drained()
    }

    /// Whether the connection begins as HTTP/2 does with clients that know it beforehand, and may.
    fn speaks_h2(&self, settings: &ListenerSettings) -> bool {
        settings.h2c && !self.asked && self.buffer.unread().starts_with(h2::PREFACE)
    }

    /// The stream with what was read of it, for another protocol.
    fn rewound(mut self, worker: &Worker) -> (h2::Rewound, SocketAddr) {
        let before = self.buffer.unread().to_vec();
        worker.buffers.reclaim(&mut self.buffer);
        (h2::Rewound::new(before, self.stream), self.peer)
    }

    /// Reads until a whole head is there.
    async fn next_head(
        &mut self,
        worker: &Worker,
        settings: &ListenerSettings,
        head: &mut RequestHead,
    ) -> Next {
        let limits = HeadLimits { bytes: settings.max_header_bytes, fields: settings.max_headers };
        let mut seen = 0;
        let mut timed = false;
        loop {
            let unread = self.buffer.unread();
            // The first bytes tell what is no HTTP at all. After them only a new line can complete a head, so a client that
            // sends single bytes costs no parse for each.
            let first = seen == 0 && !unread.is_empty();
            if first || memchr::memchr(b'\n', &unread[seen..]).is_some() || unread.len() >= limits.bytes {
                match head.parse(unread, limits) {
                    Err(error) => return Next::Refused(error),
                    Ok(Progress::Complete) => {
                        self.buffer.keep_head(head.head_len);
                        return Next::Request;
                    }
                    Ok(Progress::Partial) => {}
                }
            }
            seen = self.buffer.unread().len();
            if seen > 0 && !timed {
                timed = true;
                self.timer.set(clock::now(), settings.header_timeout);
            }
            let filled = if seen == 0 {
                self.first_bytes(worker, settings.idle_timeout).await
            } else {
                self.fill(worker, limits.bytes).await
            };
            match filled {
                // Nothing was asked: an answer could be taken for that to the next request. Empty lines, which some
                // clients send behind a body, are nothing as well (RFC 9112, section 2.2).
                None if self.buffer.unread().iter().all(|byte| matches!(byte, b'\r' | b'\n')) => {
                    return Next::Over;
                }
                None => return Next::Late,
                Some(Ok(count)) if count > 0 => {}
                Some(_) => return Next::Over,
            }
        }
    }

    /// Reads the first bytes of a request; holds no buffer while there are none. `None` when the connection is to end: it
    /// was idle for too long, or Weir is stopping.
    ///
    /// What has arrived is read even when Weir stops, and there is a moment for one more request, whose answer tells the client.
    async fn first_bytes(&mut self, worker: &Worker, timeout: Duration) -> Option<io::Result<usize>> {
        if self.ended {
            return None;
        }
        let mut timed = None;
        poll_fn(|cx| {
            // A socket may look readable and have nothing: one that was just accepted always looks so.
            if self.stream.poll_read_ready(cx).is_ready() {
                worker.buffers.provide(&mut self.buffer);
                if let Poll::Ready(filled) = poll_fill(cx, &mut self.stream, &mut self.buffer) {
                    return Poll::Ready(Some(filled));
                }
            }
            worker.buffers.reclaim(&mut self.buffer);
            let draining = worker.draining.get();
            if timed != Some(draining) {
                timed = Some(draining);
                self.timer.set(clock::now(), if draining { LAST_REQUEST } else { timeout });
            }
            worker.idle.register(&mut self.idle_slot, cx.waker());
            self.timer.poll(cx).map(|()| None)
        })
        .await
    }

    /// Reads once; `None` when the timer ran out.
    async fn fill(&mut self, worker: &Worker, limit: usize) -> Option<io::Result<usize>> {
        if self.buffer.is_full() {
            worker.buffers.grow_to(&mut self.buffer, limit);
        }
        poll_fn(|cx| {
            if let Poll::Ready(filled) = poll_fill(cx, &mut self.stream, &mut self.buffer) {
                return Poll::Ready(Some(filled));
            }
            self.timer.poll(cx).map(|()| None)
        })
        .await
    }

    /// Does nothing for a while; false when the client left meanwhile. What it sends is kept.
    pub(super) async fn pause(&mut self, time: Duration) -> bool {
        self.timer.set(clock::now(), time);
        poll_fn(|cx| {
            while !self.ended && !self.buffer.is_full() {
                match poll_fill(cx, &mut self.stream, &mut self.buffer) {
                    Poll::Pending => break,
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Ready(Ok(count)) => self.ended = count == 0,
                }
            }
            self.timer.poll(cx).map(|()| true)
        })
        .await
    }

    /// Answers a request that cannot be understood; the connection ends.
    async fn refuse(
        &mut self,
        worker: &Worker,
        inlet: &Inlet,
        (status, refusal): (u16, Refusal),
        text: &str,
    ) -> After {
        inlet.shard(worker).refused(refusal);
        self.respond(worker, &Local::refusing(status, text, false)).await
    }

    /// Sends a response of our own.
    pub(super) async fn respond(&mut self, worker: &Worker, local: &Local<'_>) -> After {
        let mut out = worker.buffers.take_outgoing();
        worker.with_date(|date| local.write(date, &mut out));
        self.timer.set(clock::now(), Duration::from_secs(10));
        let sent = tokio::select! {
            biased;
            sent = send(&mut self.stream, &out) => sent.is_ok(),
            () = self.timer.expired() => false,
        };
        worker.buffers.put_outgoing(out);
        match (sent, local.keep_alive) {
            (true, true) => After::KeepAlive,
            (true, false) => After::Linger,
            (false, _) => After::Reset,
        }
    }

    /// Ends the connection as `after` says.
    async fn close(mut self, worker: &Worker, after: After) {
        worker.buffers.reclaim(&mut self.buffer);
        match after {
            After::KeepAlive | After::Close => self.say_goodbye().await,
            After::Reset => self.stream.reset_on_close(),
            After::Linger => {
                if self.stream.shutdown().await.is_ok() && !self.ended {
                    self.discard(worker).await;
                }
            }
        }
    }

    /// Tells a TLS client that nothing is missing (RFC 8446, section 6.1). In the clear the socket's own end says it.
    async fn say_goodbye(&mut self) {
        if self.stream.tls().is_some() {
            self.timer.set(clock::now(), LINGER);
            tokio::select! {
                biased;
                _ = self.stream.shutdown() => {}
                () = self.timer.expired() => {}
            }
        }
    }

    /// Throws away what the client still sends.
    async fn discard(&mut self, worker: &Worker) {
        let mut left = LINGER_BYTES;
        self.timer.set(clock::now(), LINGER);
        while left > 0 {
            worker.buffers.provide(&mut self.buffer);
            match self.fill(worker, 0).await {
                Some(Ok(count)) if count > 0 => left = left.saturating_sub(count),
                _ => break,
            }
            self.buffer.consume(self.buffer.unread().len());
        }
        worker.buffers.reclaim(&mut self.buffer);
    }
}

async fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
