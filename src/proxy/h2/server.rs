//! One HTTP/2 connection: streams are taken as they come, each is served by a task that has nothing else to do.

use std::{
    cell::Cell,
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};

use super::{
    lanes::Spares,
    limits,
    rewound::Rewound,
    stream::{Asking, StreamClient},
};
use crate::{
    http::{HeadError, HeadLimits, RequestHead},
    proxy::{
        downstream::Downstream, error::refusal_of_head, handle, handshake::Secured, listener::Inlet,
        respond::Local, timer::Timer, worker::Worker,
    },
    snapshot::ListenerSettings,
    types::clock,
};

type Connection = h2::server::Connection<Rewound, Bytes>;

/// What a connection and its streams share.
pub(super) struct Shared {
    pub(super) worker: Rc<Worker>,
    inlet: Rc<Inlet>,
    peer: SocketAddr,
    secured: Option<Rc<Secured>>,
    /// Streams that are served now.
    active: Cell<usize>,
    /// Streams that the client has reset.
    cancelled: Cell<u32>,
}

/// A connection under way.
struct Serving {
    shared: Rc<Shared>,
    timer: Timer,
    /// Streams so far.
    opened: u32,
    /// Whether the idle time is counted.
    idle: bool,
    /// Whether the client was told that no further request is taken.
    ending: bool,
    idle_slot: Option<usize>,
}

/// A stream to be served.
pub(super) struct Job {
    pub(super) stream: Active,
    client: StreamClient,
    head: RequestHead,
    /// Whether the head is one that can be served.
    understood: Result<(), HeadError>,
    /// Whether it asks for a head alone.
    to_head: bool,
}

/// A stream that counts as served for as long as this lives.
pub(super) struct Active(Rc<Shared>);

/// Serves a connection until it ends.
pub(in crate::proxy) async fn serve(
    worker: Rc<Worker>,
    inlet: Rc<Inlet>,
    stream: Rewound,
    (peer, secured): (SocketAddr, Option<Rc<Secured>>),
) {
    let settings = inlet.settings(&worker);
    let Some(mut connection) = shake_hands(&settings, stream).await else { return };
    let (active, cancelled) = (Cell::default(), Cell::default());
    let mut serving = Serving {
        shared: Rc::new(Shared { worker, inlet, peer, secured, active, cancelled }),
        timer: Timer::default(),
        opened: 0,
        idle: false,
        ending: false,
        idle_slot: None,
    };
    poll_fn(|cx| serving.poll(cx, &mut connection)).await;
    serving.shared.worker.idle.release(serving.idle_slot);
}

/// Exchanges the prefaces (RFC 9113, section 3.4), within the time that a request's head has.
async fn shake_hands(settings: &ListenerSettings, stream: Rewound) -> Option<Connection> {
    let mut timer = Timer::default();
    timer.set(clock::now(), settings.header_timeout);
    let mut handshake = pin!(limits::builder(settings).handshake(stream));
    tokio::select! {
        biased;
        connection = &mut handshake => connection.ok(),
        () = timer.expired() => None,
    }
}

// === impl Serving ===

impl Serving {
    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<()> {
        loop {
            self.watch_conduct(connection);
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.take(request, respond);
                    continue;
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            self.shared.worker.idle.register(&mut self.idle_slot, cx.waker());
            self.watch_idleness();
            if self.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self.ending {
                return Poll::Ready(());
            }
            self.end(connection);
            self.idle = false;
        }
    }

    /// Ends the connection, in order when Weir stops, at once when the client resets most of what it asks for.
    fn watch_conduct(&mut self, connection: &mut Connection) {
        if self.shared.worker.draining.get() {
            self.end(connection);
        }
        let cancelled = self.shared.cancelled.get();
        if cancelled > limits::CANCELLED && cancelled > self.opened / 2 && !self.ending {
            self.ending = true;
            connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        }
    }

    /// Counts the time without streams; a connection that is told to go has the same time again to do so.
    fn watch_idleness(&mut self) {
        let idle = self.shared.active.get() == 0;
        if idle != self.idle {
            self.idle = idle;
            if idle {
                let settings = self.shared.inlet.settings(&self.shared.worker);
                self.timer.set(clock::now(), settings.idle_timeout);
            } else {
                self.timer.set_deadline(None);
            }
        }
    }

    /// Takes no further requests (GOAWAY); those under way finish.
    fn end(&mut self, connection: &mut Connection) {
        if !self.ending {
            self.ending = true;
            connection.graceful_shutdown();
        }
    }

    /// Has a stream served. Its head is taken over at once, so that nothing but what was made of it is carried on.
    fn take(&mut self, request: ::http::Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.opened = self.opened.saturating_add(1);
        let stream = Active::new(&self.shared);
        let (parts, body) = request.into_parts();
        self.shared.worker.lanes.serve(|Spares { mut head, bytes, timer }| {
            let shared = &self.shared;
            let asking = Asking { peer: shared.peer, secured: shared.secured.clone(), body, respond };
            let mut client = StreamClient::new(&parts, asking, (bytes, timer));
            let settings = shared.inlet.settings(&shared.worker);
            let limits = HeadLimits { bytes: settings.max_header_bytes, fields: settings.max_headers };
            let understood = head.translate(&parts, client.body.is_ended(), limits, &mut client.bytes);
            let to_head = parts.method == ::http::Method::HEAD;
            Job { stream, client, head, understood, to_head }
        });
    }
}

// === impl Job ===

impl Job {
    pub(super) async fn serve(&mut self) {
        let Self { stream: Active(shared), client, head, understood, to_head } = self;
        let (worker, inlet) = (&shared.worker, &shared.inlet);
        match understood {
            Ok(()) => {
                handle::handle(worker, inlet, &mut Downstream::H2(client), head).await;
            }
            Err(error) => {
                let (status, refusal) = refusal_of_head(*error);
                inlet.shard(worker).refused(refusal);
                let text = error.to_string();
                client.respond(worker, &Local::refusing(status, &text, *to_head)).await;
            }
        }
        if client.is_cancelled() {
            shared.cancelled.set(shared.cancelled.get() + 1);
        }
        client.linger().await;
    }

    /// The worker, and what can be used again.
    pub(super) fn end(self) -> (Rc<Worker>, Spares) {
        let worker = Rc::clone(&self.stream.0.worker);
        (worker, Spares::of(self.head, self.client))
    }
}

// === impl Active ===

impl Active {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.active.set(shared.active.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
    }
}
