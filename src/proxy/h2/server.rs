//! One HTTP/2 connection: streams are taken as they come, each is served by a task of its own.

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

use super::{limits, rewound::Rewound, stream::StreamClient};
use crate::{
    http::{HeadLimits, RequestHead},
    proxy::{
        downstream::Downstream, error::refusal_of_head, handle, handshake::Secured, listener::Inlet,
        respond::Local, timer::Timer, worker::Worker,
    },
    snapshot::ListenerSettings,
    types::clock,
};

type Connection = h2::server::Connection<Rewound, Bytes>;
type Accepted = (::http::Request<RecvStream>, SendResponse<Bytes>);

/// A connection under way.
struct Serving {
    worker: Rc<Worker>,
    inlet: Rc<Inlet>,
    peer: SocketAddr,
    secured: Option<Rc<Secured>>,
    /// Streams that are served now.
    active: Rc<Cell<usize>>,
    timer: Timer,
    /// Streams so far, and those of them that the client reset.
    opened: u32,
    cancelled: Rc<Cell<u32>>,
    /// Whether the idle time is counted.
    idle: bool,
    /// Whether the client was told that no further request is taken.
    ending: bool,
    idle_slot: Option<usize>,
}

/// What a connection comes to.
enum Next {
    Stream(Box<Accepted>),
    Over,
}

/// Serves a connection until it ends.
pub(in crate::proxy) async fn serve(
    worker: Rc<Worker>,
    inlet: Rc<Inlet>,
    stream: Rewound,
    (peer, secured): (SocketAddr, Option<Rc<Secured>>),
) {
    let settings = inlet.settings(&worker);
    let Some(mut connection) = shake_hands(&settings, stream).await else { return };
    let mut serving = Serving {
        worker,
        inlet,
        peer,
        secured,
        active: Rc::default(),
        timer: Timer::default(),
        opened: 0,
        cancelled: Rc::default(),
        idle: false,
        ending: false,
        idle_slot: None,
    };
    while let Next::Stream(accepted) = poll_fn(|cx| serving.poll_next(cx, &mut connection)).await {
        serving.spawn(*accepted);
    }
    serving.worker.idle.release(serving.idle_slot);
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
    fn poll_next(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Next> {
        if self.worker.draining.get() {
            self.end(connection);
        }
        let cancelled = self.cancelled.get();
        if cancelled > limits::CANCELLED && cancelled > self.opened / 2 && !self.ending {
            self.ending = true;
            connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        }
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok(accepted))) => return Poll::Ready(Next::Stream(Box::new(accepted))),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Next::Over),
                Poll::Pending => {}
            }
            self.worker.idle.register(&mut self.idle_slot, cx.waker());
            self.watch_idleness();
            if self.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self.ending {
                return Poll::Ready(Next::Over);
            }
            self.end(connection);
            self.idle = false;
        }
    }

    /// Counts the time without streams; a connection that is told to go has the same time again to do so.
    fn watch_idleness(&mut self) {
        let idle = self.active.get() == 0;
        if idle != self.idle {
            self.idle = idle;
            if idle {
                let settings = self.inlet.settings(&self.worker);
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

    fn spawn(&mut self, (request, respond): Accepted) {
        let guard = Active::new(&self.active);
        self.opened = self.opened.saturating_add(1);
        let cancelled = Rc::clone(&self.cancelled);
        let (worker, inlet) = (Rc::clone(&self.worker), Rc::clone(&self.inlet));
        let (parts, body) = request.into_parts();
        let mut client =
            StreamClient::new(&worker, (self.peer, self.secured.clone()), &parts, (body, respond));
        tokio::task::spawn_local(async move {
            let _active = guard;
            let mut head = RequestHead::default();
            let settings = inlet.settings(&worker);
            let limits = HeadLimits { bytes: settings.max_header_bytes, fields: settings.max_headers };
            match head.translate(&parts, client.body.is_ended(), limits, &mut client.bytes) {
                Ok(()) => {
                    handle::handle(&worker, &inlet, &mut Downstream::H2(&mut client), &head).await;
                }
                Err(error) => {
                    let (status, refusal) = refusal_of_head(error);
                    inlet.shard(&worker).refused(refusal);
                    let text = error.to_string();
                    let to_head = parts.method == ::http::Method::HEAD;
                    client.respond(&worker, &Local::refusing(status, &text, to_head)).await;
                }
            }
            if client.is_cancelled() {
                cancelled.set(cancelled.get() + 1);
            }
            client.linger().await;
            client.finish(&worker);
        });
    }
}

/// Counts a stream as served for as long as it lives.
struct Active(Rc<Cell<usize>>);

// === impl Active ===

impl Active {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
