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

use super::{connection, respond::Local, worker::Worker};
use crate::{
    net::{Listener, Plain, tls::ServerTls},
    snapshot::ListenerSettings,
    telemetry::{ListenerShard, Refusal, Sharded},
    types::Name,
};

/// A pause after an accept that failed for want of something (descriptors, memory), so that it is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A listener as one worker sees it.
pub(super) struct Inlet {
    /// Its name.
    pub(super) name: Name,
    /// Its statistics.
    pub(super) shards: Arc<Sharded<ListenerShard>>,
    /// The settings from when it was opened, for connections that outlive its removal.
    pub(super) settings: ListenerSettings,
    /// Its TLS from then.
    pub(super) tls: Option<Arc<ServerTls>>,
}

// === impl Inlet ===

impl Inlet {
    /// The listener's settings now.
    pub(super) fn settings(&self, worker: &Worker) -> ListenerSettings {
        worker.snapshot().listeners.get(&self.name).map_or(self.settings, |listener| listener.settings)
    }

    /// What handshakes are answered with now; `None` is in the clear.
    pub(super) fn tls(&self, worker: &Worker) -> Option<Arc<ServerTls>> {
        match worker.snapshot().listeners.get(&self.name) {
            Some(listener) => listener.tls.clone(),
            None => self.tls.clone(),
        }
    }

    /// The worker's share of its statistics.
    pub(super) fn shard(&self, worker: &Worker) -> &ListenerShard {
        self.shards.worker(worker.index)
    }

    /// Accepts connections until `stop` says otherwise, and then those that the kernel has accepted already: closing the
    /// socket on them would reset them.
    pub(super) async fn accept(
        self: Rc<Self>,
        worker: Rc<Worker>,
        listener: Listener,
        stop: oneshot::Receiver<()>,
    ) {
        tokio::select! {
            biased;
            _ = stop => {}
            () = self.accept_on(&worker, &listener) => {}
        }
        // The runtime may not know of the last ones yet, so the socket itself is asked.
        let Ok(leftover) = listener.into_leftover() else { return };
        while let Some((socket, peer)) = leftover.next() {
            self.admit(&worker, socket, peer);
        }
    }

    async fn accept_on(self: &Rc<Self>, worker: &Rc<Worker>, listener: &Listener) {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => self.admit(worker, socket, peer),
                Err(error) if is_about_the_peer(&error) => {}
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn admit(self: &Rc<Self>, worker: &Rc<Worker>, socket: Plain, peer: SocketAddr) {
        let limit = u64::from(self.settings(worker).max_connections);
        let open: u64 = self.shards.iter().map(ListenerShard::connections).sum();
        if limit > 0 && open >= limit {
            self.shed(worker, &socket);
            return;
        }
        let (inlet, worker) = (Rc::clone(self), Rc::clone(worker));
        tokio::task::spawn_local(async move {
            let _open = Open::new(&inlet, &worker);
            connection::serve(Rc::clone(&worker), Rc::clone(&inlet), socket, peer).await;
        });
    }

    /// Turns a connection away: a short answer if it fits into the socket at once, and the end.
    fn shed(&self, worker: &Worker, socket: &Plain) {
        let shard = self.shard(worker);
        shard.shed();
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
        worker.connections.set(worker.connections.get() + 1);
        Self { inlet, worker }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.inlet.shard(self.worker).closed();
        self.worker.connections.set(self.worker.connections.get() - 1);
    }
}

/// Errors of accept(2) that say that one peer left before it was accepted.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
