//! Origins that follow a script and remember exactly what they saw.

use std::{
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    Gate, PATIENCE, ok,
    tls::Session,
    wire::{Broken, End, Fields, Head, Wire, text},
};

/// An origin.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

/// The origin's end of a connection, for scripts.
pub(crate) struct Peer {
    /// Which connection of the origin it is, from 0.
    pub(crate) number: usize,
    wire: Wire,
    shared: Arc<Shared>,
}

/// A request as an origin saw it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

/// What an origin saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// By connection, in the order of their coming.
    pub(crate) connections: Vec<Connection>,
}

/// What an origin saw on one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection {
    pub(crate) bytes: Vec<u8>,
    /// The requests that its script has read.
    pub(crate) requests: Vec<Request>,
    pub(crate) end: Option<End>,
    /// Why there was no TLS.
    pub(crate) refused: Option<String>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    stopped: AtomicBool,
    streams: Mutex<Vec<Weak<TcpStream>>>,
}

// === impl Origin ===

impl Origin {
    /// Runs `script` for every connection, and closes it afterwards.
    pub(crate) fn scripted(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0".parse().unwrap(), script)
    }

    /// The same in TLS.
    pub(crate) fn tls(
        config: &Arc<ServerConfig>,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::clone(config);
        Self::scripted(move |peer| {
            let mut session = Session::server(&config);
            match session.shake(&peer.wire.stream) {
                Ok(()) => {
                    peer.wire.session = Some(session);
                    script(peer);
                }
                Err(error) => peer.log(|connection| connection.refused = Some(error.to_string())),
            }
        })
    }

    /// The same at a given address.
    pub(crate) fn on(address: SocketAddr, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = listen(address);
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (script, accepting) = (Arc::new(script), Arc::clone(&shared));
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { continue };
                if accepting.stopped.load(Ordering::Acquire) {
                    return;
                }
                accepting.update(|seen| seen.connections.push(Connection::default()));
                let mut wire = Wire::new(stream, 4 * PATIENCE);
                accepting.streams.lock().unwrap().push(Arc::downgrade(&wire.stream));
                let tapped = Arc::clone(&accepting);
                wire.tap = Some(Box::new(move |bytes| {
                    tapped.update(|seen| seen.connections[number].bytes.extend_from_slice(bytes));
                }));
                let mut peer = Peer { number, wire, shared: Arc::clone(&accepting) };
                let script = Arc::clone(&script);
                thread::spawn(move || script(&mut peer));
            }
        });
        Self { address, shared }
    }

    /// Answers every request with the same bytes.
    pub(crate) fn answering(response: impl AsRef<[u8]>) -> Self {
        let response = response.as_ref().to_vec();
        Self::scripted(move |peer| while peer.request().is_some() && peer.send(&response) {})
    }

    /// Answers every request with its own name.
    pub(crate) fn named(name: &str) -> Self {
        Self::answering(ok(name))
    }

    /// Answers `/slow` once the gate is open, and anything else at once, with "ok".
    pub(crate) fn slow(gate: &Gate) -> Self {
        let gate = gate.clone();
        Self::scripted(move |peer| {
            while let Some(request) = peer.request() {
                if request.target() == "/slow" {
                    gate.wait();
                }
                peer.send(ok("ok"));
            }
        })
    }

    /// Waits until somebody has asked for `/slow`.
    pub(crate) fn is_asked_slowly(&self) {
        self.wait("the slow request", |seen| seen.requests().any(|request| request.target() == "/slow"));
    }

    /// Answers one request with these bytes and closes the connection.
    pub(crate) fn answering_once(response: impl AsRef<[u8]>) -> Self {
        let response = response.as_ref().to_vec();
        Self::scripted(move |peer| {
            if peer.request().is_some() {
                peer.send(&response);
            }
        })
    }

    /// What it has seen up to now.
    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits until it has seen what is wanted.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let seen = self.shared.seen.lock().unwrap();
        let (seen, timeout) =
            self.shared.changed.wait_timeout_while(seen, PATIENCE, |seen| !wanted(seen)).unwrap();
        assert!(!timeout.timed_out(), "the origin never saw {what}; it saw {seen:#?}");
        seen.clone()
    }

    /// The only request that it has seen.
    pub(crate) fn only_request(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "the origin saw {requests:#?}");
        requests.into_iter().next().unwrap()
    }

    /// All requests that scripts have read, by connection.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen().requests().cloned().collect()
    }

    /// Ends it now: no new connections, and those there are break.
    pub(crate) fn stop(self) {}
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
        for stream in self.shared.streams.lock().unwrap().drain(..).filter_map(|stream| stream.upgrade()) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

// === impl Shared ===

impl Shared {
    fn update(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap());
        self.changed.notify_all();
    }
}

// === impl Peer ===

impl Peer {
    /// The next request with its body; `None` at the connection's end.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let head = self.head()?;
        let body = self.body(&head)?;
        let (body, trailers) = body;
        let request = Request { head, body, trailers };
        self.log(|connection| connection.requests.push(request.clone()));
        Some(request)
    }

    /// The next request's head.
    pub(crate) fn head(&mut self) -> Option<Head> {
        self.recording(Wire::head)
    }

    /// The body that a head announces.
    pub(crate) fn body(&mut self, head: &Head) -> Option<(Vec<u8>, Fields)> {
        if head.has("transfer-encoding") {
            return self.recording(Wire::chunked);
        }
        let length = head.get("content-length").map_or(0, |length| length.parse().unwrap());
        self.recording(|wire| wire.exactly(length)).map(|body| (body, Vec::new()))
    }

    /// The next chunk of a request's body.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        self.recording(Wire::chunk).flatten()
    }

    /// Exactly so many bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Option<Vec<u8>> {
        self.recording(|wire| wire.exactly(len))
    }

    /// Forgets the bytes seen so far, where they are too many to keep.
    pub(crate) fn forget_bytes(&self) {
        self.log(|connection| connection.bytes.clear());
    }

    /// Takes exactly so many bytes, and keeps none of them.
    pub(crate) fn swallow(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            left -= self.bytes(left.min(1 << 20)).unwrap().len();
            self.forget_bytes();
        }
    }

    /// Sends; whether the connection took it.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.send(bytes.as_ref()).is_ok()
    }

    /// Sends as much as the connection takes without waiting longer than `patience` for room.
    pub(crate) fn send_until_stuck(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.wire.send_until_stuck(bytes, patience)
    }

    /// Reads until the connection ends; how it did.
    pub(crate) fn end(&mut self) -> Option<End> {
        let _: Option<()> = self.recording(|wire| {
            loop {
                wire.fill()?;
            }
        });
        let number = self.number;
        self.shared.seen.lock().unwrap().connections[number].end
    }

    /// Says that no more will be sent.
    pub(crate) fn finish(&mut self) {
        self.wire.finish();
    }

    /// What its handshake agreed on.
    pub(crate) fn session(&self) -> &Session {
        self.wire.session.as_ref().expect("an origin in TLS")
    }

    /// Makes the connection end by a reset when the script ends.
    pub(crate) fn reset(&mut self) {
        self.wire.reset_on_drop();
    }

    /// Closes the connection now.
    pub(crate) fn close(&mut self) {
        drop(self.wire.stream.shutdown(Shutdown::Both));
    }

    fn log(&self, change: impl FnOnce(&mut Connection)) {
        self.shared.update(|seen| change(&mut seen.connections[self.number]));
    }

    /// Reads, and remembers the bytes and how the connection ended.
    fn recording<T>(&mut self, read: impl FnOnce(&mut Wire) -> Result<T, Broken>) -> Option<T> {
        match read(&mut self.wire) {
            Ok(value) => Some(value),
            Err(Broken::Ended(end, _)) => {
                self.log(|connection| connection.end = Some(end));
                None
            }
            // A request that is none shows in the bytes, which the case judges.
            Err(_) => None,
        }
    }
}

// === impl Seen ===

impl Seen {
    /// All requests, by connection.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.connections.iter().flat_map(|connection| &connection.requests)
    }

    /// All bytes as text, by connection.
    pub(crate) fn text(&self) -> String {
        self.connections.iter().map(|connection| text(&connection.bytes)).collect()
    }
}

// === impl Request ===

impl Request {
    /// The first line's target.
    pub(crate) fn target(&self) -> &str {
        self.head.start.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.head.has(name)
    }
}

/// An address where nobody listens, and where nobody will: its port is held for as long as the test runs, or another test that
/// runs beside it might get it.
pub(crate) fn nobody() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

/// An address where nobody listens yet.
pub(crate) fn vacant() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A listener whose queue is full, so that connections to it neither succeed nor fail.
pub(crate) struct Deaf {
    pub(crate) address: SocketAddr,
    _held: Vec<socket2::Socket>,
}

// === impl Deaf ===

impl Deaf {
    pub(crate) fn new() -> Self {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let listener = socket();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = vec![listener];
        // The kernel queues one more than it was asked to; what comes after is dropped.
        while held.len() < 8 {
            let filler = socket();
            let connected = filler.connect_timeout(&address, Duration::from_millis(100));
            held.push(filler);
            if connected.is_err() {
                break;
            }
        }
        Self { address: address.as_socket().unwrap(), _held: held }
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(1024).unwrap();
    socket.into()
}
