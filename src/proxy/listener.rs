//! Accepting connections: each worker has sockets of its own for each listener, or handles to shared ones.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use socket2::SockRef;
use tokio::sync::oneshot;

use super::{caps::ByAddress, connection, plane::Queue, respond::Local, source, worker::Worker};
use crate::{
    net::{self, Plain, tls::ServerTls},
    snapshot::{Listener, ListenerSettings},
    telemetry::{ListenerShard, Refusal, Sharded, Shed},
    types::{Name, address::is_unix_peer},
};

/// A pause after an accept that failed for want of something (descriptors, memory), so that it is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// The most connections that are taken from a socket before it is closed: the longest queue there usually is.
const LEFTOVER: usize = 4096;

/// A listener as one worker sees it.
pub(super) struct Inlet {
    /// Its name.
    pub(super) name: Name,
    /// Its statistics.
    pub(super) shards: Arc<Sharded<ListenerShard>>,
    /// What it was when it was opened, for connections that outlive its removal.
    pub(super) opened: Listener,
    /// Its connections by client address, over all workers.
    pub(super) by_address: Arc<ByAddress>,
}

// === impl Inlet ===

impl Inlet {
    /// Something of what the listener is now.
    pub(super) fn current<T>(&self, worker: &Worker, read: impl FnOnce(&Listener) -> T) -> T {
        read(worker.snapshot().listeners.get(&self.name).unwrap_or(&self.opened))
    }

    /// The listener's settings now.
    pub(super) fn settings(&self, worker: &Worker) -> ListenerSettings {
        self.current(worker, |listener| listener.settings)
    }

    /// What handshakes are answered with now; `None` is in the clear.
    pub(super) fn tls(&self, worker: &Worker) -> Option<Arc<ServerTls>> {
        self.current(worker, |listener| listener.tls.clone())
    }

    /// The worker's share of its statistics.
    pub(super) fn shard(&self, worker: &Worker) -> &ListenerShard {
        self.shards.worker(worker.index)
    }

    /// Accepts connections until `stop` says otherwise, and then those that the kernel has accepted already, unless they are
    /// another process's.
    pub(super) async fn accept(
        self: Rc<Self>,
        worker: Rc<Worker>,
        listener: net::Listener,
        stop: oneshot::Receiver<Queue>,
    ) {
        let queue = tokio::select! {
            biased;
            queue = stop => queue.unwrap_or(Queue::Take),
            () = self.accept_on(&worker, &listener) => Queue::Take,
        };
        if queue == Queue::Leave {
            return;
        }
        // The runtime may not know of the last ones yet, so the socket itself is asked.
        let Ok(leftover) = listener.into_leftover() else { return };
        // Where a service manager holds the socket, too, there may be more all the time.
        for _ in 0..LEFTOVER {
            let Some((socket, peer)) = leftover.next() else { return };
            self.admit(&worker, socket, peer);
        }
    }

    async fn accept_on(self: &Rc<Self>, worker: &Rc<Worker>, listener: &net::Listener) {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => self.admit(worker, socket, peer),
                Err(error) if is_about_the_peer(&error) => {}
                Err(_) => {
                    self.shard(worker).accept_error();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(self: &Rc<Self>, worker: &Rc<Worker>, mut socket: Plain, peer: SocketAddr) {
        if let Some(limit) = self.full(worker) {
            self.shed(worker, &socket, limit);
            return;
        }
        let (inlet, worker) = (Rc::clone(self), Rc::clone(worker));
        tokio::task::spawn_local(async move {
            let _open = Open::new(&inlet, &worker);
            let Some(client) = source::source(&worker, &inlet, &mut socket, peer).await else { return };
            let most = inlet.settings(&worker).max_connections_per_address;
            let counted = most > 0 && !is_unix_peer(client.ip());
            let counted = counted.then(|| inlet.by_address.admit(client.ip(), most));
            if let Some(None) = counted {
                inlet.shed(&worker, &socket, Shed::Address);
                return;
            }
            connection::serve(Rc::clone(&worker), Rc::clone(&inlet), socket, client).await;
        });
    }

    /// The limit at which no further connection is taken, if one is reached. Costs no lock and no shared write.
    fn full(&self, worker: &Worker) -> Option<Shed> {
        let limit = u64::from(self.settings(worker).max_connections);
        if limit > 0 && self.shards.iter().map(ListenerShard::connections).sum::<u64>() >= limit {
            return Some(Shed::Listener);
        }
        let limit = worker.snapshot().limits.max_connections;
        (limit > 0 && worker.connections.total() >= limit).then_some(Shed::Total)
    }

    /// Turns a connection away: a short answer if it fits into the socket at once, and the end.
    fn shed(&self, worker: &Worker, socket: &Plain, limit: Shed) {
        let shard = self.shard(worker);
        shard.shed(limit);
        shard.refused(Refusal::Overload);
        if self.tls(worker).is_some() {
            // Nothing that could be said in the clear would be understood.
            return;
        }
        let mut out = Vec::new();
        let local = Local::refusing(503, "too many connections", false);
        worker.with_date(|date| local.write(date, &mut out));
        drop(socket.try_write(&out));
        // The answer's end is said before the close, which is a reset when the request has arrived meanwhile.
        drop(SockRef::from(socket).shutdown(Shutdown::Write));
    }
}

/// Counts a connection as open for as long as it lives.
struct Open<'a> {
    inlet: &'a Inlet,
    worker: &'a Worker,
}

// === impl Open ===

impl<'a> Open<'a> {
    fn new(inlet: &'a Inlet, worker: &'a Worker) -> Self {
        inlet.shard(worker).opened();
        worker.connections.opened();
        Self { inlet, worker }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.inlet.shard(self.worker).closed();
        self.worker.connections.closed();
    }
}

/// Errors of accept(2) that say that one peer left before it was accepted.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
