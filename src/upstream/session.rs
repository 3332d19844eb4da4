//! HTTP/2 connections to endpoints: each carries many requests at once, per worker and per endpoint.
//!
//! A request goes to the connection with the fewest requests of those that have room; when none has, another connection is
//! opened. Openings to one endpoint wait for each other: the second of two requests nearly always finds room on the connection
//! that the first one opened.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use h2::{Ping, PingPong, client::SendRequest};
use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{Keeping, breaker::Permit};
use crate::{
    net::{Stream, tls::ClientTls},
    types::clock,
};

/// What an endpoint may send on a stream before it was passed on to the client.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for a connection: enough for all its streams, so that one slow client never holds up the others.
const CONNECTION_WINDOW: u32 = 128 * STREAM_WINDOW;
/// The largest frame that an endpoint may send.
const FRAME: u32 = 16 * 1024;
/// A response's header list, decoded.
const HEADER_LIST: u32 = 64 * 1024;
/// What may wait to be sent on a stream.
const SEND_BUFFER: usize = 64 * 1024;
/// What DATA frames of less than 256 bytes may cost that clients do not take, each by what it is short of 256. One more ends the
/// connection, with the streams of all other clients, so it is what the windows of 20 streams hold of the smallest messages of gRPC.
const SMALL_FRAMES: usize = 64 * 1024 * 1024;
/// Streams assumed to be allowed until the endpoint has said how many are (RFC 9113, section 6.5.2).
const FIRST_STREAMS: usize = 100;
/// Most connections of a worker to one endpoint.
const MAX_SESSIONS: usize = 64;
/// Time to exchange prefaces.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// One worker's HTTP/2 connections, by endpoint id.
#[derive(Debug, Default)]
pub struct Sessions {
    by_endpoint: RefCell<Vec<PerEndpoint>>,
}

#[derive(Debug)]
struct PerEndpoint {
    open: Vec<Rc<Session>>,
    /// One permit: who has it may open a connection.
    opening: Arc<Semaphore>,
}

/// One connection.
#[derive(Debug)]
struct Session {
    sender: SendRequest<Bytes>,
    ping: RefCell<PingPong>,
    /// Set once the endpoint's settings are known.
    settled: OnceCell<()>,
    /// What it was secured with; `None` is in the clear.
    tls: Option<Arc<ClientTls>>,
    active: Cell<usize>,
    /// Shared with the task that drives the connection, which must not hold the sender: it ends when nobody does.
    closed: Rc<Cell<bool>>,
    /// When its last request ended.
    idle_since: Cell<Instant>,
}

/// A place for one request on a connection.
#[derive(Debug)]
pub struct Lease {
    session: Rc<Session>,
    /// Whether the connection has carried a request before.
    pub reused: bool,
}

/// The right to open a connection to an endpoint.
#[derive(Debug)]
pub struct Opening(#[allow(dead_code, reason = "held for what its drop does")] OwnedSemaphorePermit);

// === impl Sessions ===

impl Sessions {
    /// A place on a connection to `endpoint` that is open, has room and is secured as is wanted; the least busy one.
    pub fn take(&self, endpoint: usize, keeping: Keeping<'_>) -> Option<Lease> {
        let sessions = self.by_endpoint.borrow();
        let open = &sessions.get(endpoint)?.open;
        let usable =
            open.iter().filter(|session| session.has_room() && keeping.accepts(session.tls.as_ref()));
        usable.min_by_key(|session| session.active.get()).map(|session| Lease::new(session, true))
    }

    /// Waits for the right to open a connection to `endpoint`; then look again whether [`take`](Self::take) gives one.
    pub async fn opening(&self, endpoint: usize) -> Option<Opening> {
        let gate = self.with(endpoint, |known| Arc::clone(&known.opening));
        gate.acquire_owned().await.ok().map(Opening)
    }

    /// Makes an HTTP/2 connection of `stream`, which was secured with `tls` and which `permit` allows for as long as it is open.
    /// Needs a `LocalSet` or local runtime: a task drives it from here on.
    ///
    /// # Errors
    /// When the endpoint does not speak HTTP/2, or not in time.
    pub async fn open(
        &self,
        endpoint: usize,
        (stream, tls, permit): (Stream, Option<Arc<ClientTls>>, Option<Permit>),
    ) -> Result<Lease, h2::Error> {
        let shaking = builder().handshake::<_, Bytes>(stream);
        let (sender, mut connection) = match tokio::time::timeout(HANDSHAKE, shaking).await {
            Ok(shaken) => shaken?,
            Err(_) => return Err(h2::Reason::SETTINGS_TIMEOUT.into()),
        };
        let ping = connection.ping_pong().expect("it is asked for once");
        let session = Rc::new(Session {
            sender,
            ping: RefCell::new(ping),
            settled: OnceCell::new(),
            tls,
            active: Cell::new(0),
            closed: Rc::default(),
            idle_since: Cell::new(clock::now()),
        });
        let closed = Rc::clone(&session.closed);
        tokio::task::spawn_local(async move {
            let _permit = permit;
            // How it ended is told to each of its requests.
            drop(connection.await);
            closed.set(true);
        });
        let lease = Lease::new(&session, false);
        self.with(endpoint, |known| {
            known.open.retain(|session| !session.closed.get());
            if known.open.len() < MAX_SESSIONS {
                known.open.push(session);
            }
        });
        Ok(lease)
    }

    /// Closes a connection to one of `endpoints` that carries nothing; whether there was one.
    pub fn give_up(&self, mut endpoints: impl Iterator<Item = usize>) -> bool {
        let mut sessions = self.by_endpoint.borrow_mut();
        endpoints.any(|endpoint| {
            let Some(known) = sessions.get_mut(endpoint) else { return false };
            let unused = known.open.iter().position(|session| session.active.get() == 0);
            unused.map(|at| known.open.swap_remove(at)).is_some()
        })
    }

    /// Forgets what is closed, what `keeping(endpoint)` does not keep, and all connections of endpoints that it has no
    /// answer for. Requests under way finish.
    pub fn sweep<'s>(&self, now: Instant, keeping: impl Fn(usize) -> Option<Keeping<'s>>) {
        for (endpoint, known) in self.by_endpoint.borrow_mut().iter_mut().enumerate() {
            let Some(keeping) = keeping(endpoint) else {
                known.open = Vec::new();
                continue;
            };
            known.open.retain(|session| {
                let limit = keeping.idle_timeout;
                let unused = session.active.get() == 0
                    && !limit.is_zero()
                    && now.saturating_duration_since(session.idle_since.get()) > limit;
                !session.closed.get() && !unused && keeping.accepts(session.tls.as_ref())
            });
        }
    }

    fn with<T>(&self, endpoint: usize, act: impl FnOnce(&mut PerEndpoint) -> T) -> T {
        let mut sessions = self.by_endpoint.borrow_mut();
        if sessions.len() <= endpoint {
            sessions.resize_with(endpoint + 1, || PerEndpoint {
                open: Vec::new(),
                opening: Arc::new(Semaphore::new(1)),
            });
        }
        act(&mut sessions[endpoint])
    }
}

fn builder() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(SMALL_FRAMES)
        .initial_max_send_streams(FIRST_STREAMS);
    builder
}

// === impl Session ===

impl Session {
    /// Waits for the answer to a PING.
    async fn ping(&self) -> Result<(), h2::Error> {
        // Where somebody has sent one already and did not wait for it, that one is waited for.
        drop(self.ping.borrow_mut().send_ping(Ping::opaque()));
        poll_fn(|cx| self.ping.borrow_mut().poll_pong(cx)).await.map(drop)
    }

    fn has_room(&self) -> bool {
        !self.closed.get() && self.active.get() < self.sender.current_max_send_streams()
    }
}

// === impl Lease ===

impl Lease {
    fn new(session: &Rc<Session>, reused: bool) -> Self {
        session.active.set(session.active.get() + 1);
        Self { session: Rc::clone(session), reused }
    }

    /// What requests are sent with.
    #[must_use]
    pub fn sender(&self) -> SendRequest<Bytes> {
        self.session.sender.clone()
    }

    /// Whether the endpoint takes extended CONNECT (RFC 8441, section 3).
    ///
    /// Its settings say so. They are the first that it sends (RFC 9113, section 3.4), so they are known when it has answered a PING;
    /// that is asked once, and only where somebody wants to know.
    ///
    /// # Errors
    /// When the connection ends, or there is no answer in time.
    pub async fn takes_connect(&self) -> Result<bool, h2::Error> {
        let session = &self.session;
        if !session.sender.is_extended_connect_protocol_enabled() {
            let settling = session.settled.get_or_try_init(|| session.ping());
            match tokio::time::timeout(HANDSHAKE, settling).await {
                Ok(settled) => settled?,
                Err(_) => return Err(h2::Reason::SETTINGS_TIMEOUT.into()),
            };
        }
        Ok(session.sender.is_extended_connect_protocol_enabled())
    }

    /// No further request goes over this connection.
    pub fn condemn(&self) {
        self.session.closed.set(true);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.session.active.set(self.session.active.get() - 1);
        self.session.idle_since.set(clock::now());
    }
}
