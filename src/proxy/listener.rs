//! Accepting connections: one socket per listener and worker, spread by the kernel (SO_REUSEPORT).

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener as StdListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::{connection, respond::Local, worker::Worker};
use crate::{
    http::Version,
    net::tls::ServerTls,
    snapshot::ListenerSettings,
    telemetry::{ListenerShard, Refusal, Sharded},
    types::Name,
};

/// Connections that wait to be accepted; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 4096;
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

/// Opens `count` sockets that share `address`, and gives the address that they have (a port of 0 is chosen once).
///
/// With `exclusive`, the address must be free: sharing a port with another process by accident would send it half of the
/// traffic. Without, it may be shared with sockets of this process.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(
    address: SocketAddr,
    count: usize,
    exclusive: bool,
) -> io::Result<(SocketAddr, Vec<StdListener>)> {
    if exclusive {
        drop(socket(address, false)?);
    }
    let first = socket(address, true)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(socket(address, true)?);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok((address, sockets.into_iter().map(StdListener::from).collect()))
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
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
        listener: TcpListener,
        stop: oneshot::Receiver<()>,
    ) {
        tokio::select! {
            biased;
            _ = stop => {}
            () = self.accept_on(&worker, &listener) => {}
        }
        // The runtime may not know of the last ones yet, so the socket itself is asked.
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.admit(&worker, stream, peer);
            }
        }
    }

    async fn accept_on(self: &Rc<Self>, worker: &Rc<Worker>, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(worker, stream, peer),
                Err(error) if is_about_the_peer(&error) => {}
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn admit(self: &Rc<Self>, worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
        let limit = u64::from(self.settings(worker).max_connections);
        let open: u64 = self.shards.iter().map(ListenerShard::connections).sum();
        if limit > 0 && open >= limit {
            self.shed(worker, &stream);
            return;
        }
        let (inlet, worker) = (Rc::clone(self), Rc::clone(worker));
        tokio::task::spawn_local(async move {
            let _open = Open::new(&inlet, &worker);
            connection::serve(Rc::clone(&worker), Rc::clone(&inlet), stream.into(), peer).await;
        });
    }

    /// Turns a connection away: a short answer if it fits into the socket at once, and the end.
    fn shed(&self, worker: &Worker, stream: &TcpStream) {
        let shard = self.shard(worker);
        shard.shed();
        shard.refused(Refusal::Overload);
        if self.tls(worker).is_some() {
            // Nothing that could be said in the clear would be understood.
            return;
        }
        let mut out = Vec::new();
        let local = Local {
            status: 503,
            text: "too many connections".into(),
            to_head: false,
            version: Version::Http11,
            keep_alive: false,
        };
        worker.with_date(|date| local.write(date, &mut out));
        drop(stream.try_write(&out));
        // The answer's end is said before the close, which is a reset when the request has arrived meanwhile.
        drop(SockRef::from(stream).shutdown(Shutdown::Write));
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
