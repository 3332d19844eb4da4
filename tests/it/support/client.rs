//! A client that sends what it is told, byte for byte.

use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use super::{
    PATIENCE,
    tls::{Session, Wants},
    wire::{Broken, End, Fields, Head, Wire},
};

/// A client's connection.
pub(crate) struct Client {
    wire: Wire,
}

/// A response.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

// === impl Client ===

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    /// In TLS, asking for `name`; shakes hands.
    pub(crate) fn tls(address: SocketAddr, wants: &Wants, name: &str) -> Self {
        Self::try_tls(address, wants, name).unwrap_or_else(|error| panic!("no TLS with {name}: {error}"))
    }

    /// Goes on in TLS, asking for `name`, after what was sent in the clear.
    pub(crate) fn secure(mut self, wants: &Wants, name: &str) -> Self {
        let mut session = wants.session(name);
        session.shake(&self.wire.stream).unwrap_or_else(|error| panic!("no TLS with {name}: {error}"));
        self.wire.session = Some(session);
        self
    }

    /// The same, if hands can be shaken.
    pub(crate) fn try_tls(address: SocketAddr, wants: &Wants, name: &str) -> std::io::Result<Self> {
        let mut client = Self::to(address);
        let mut session = wants.session(name);
        session.shake(&client.wire.stream)?;
        client.wire.session = Some(session);
        Ok(client)
    }

    /// What its handshake agreed on.
    pub(crate) fn session(&self) -> &Session {
        self.wire.session.as_ref().expect("a client in TLS")
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { wire: Wire::new(stream, PATIENCE) }
    }

    /// Sends; panics when the connection no longer takes it.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.wire.send(bytes.as_ref()).expect("the connection takes what is sent");
        self
    }

    /// Sends as much as the connection takes; whether that was all.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.send(bytes.as_ref()).is_ok()
    }

    /// Sends as much as the connection takes without waiting longer than `patience` for room; how many bytes that was.
    pub(crate) fn send_until_stuck(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.wire.send_until_stuck(bytes, patience)
    }

    /// Closes the sending side.
    pub(crate) fn half_close(&mut self) -> &mut Self {
        self.wire.finish();
        self
    }

    /// Closes the connection.
    pub(crate) fn close(self) {}

    /// Resets the connection.
    pub(crate) fn reset(self) {
        self.wire.reset_on_drop();
    }

    /// Another handle to send with, for a thread of its own.
    pub(crate) fn sender(&self) -> Arc<TcpStream> {
        Arc::clone(&self.wire.stream)
    }

    /// The connection's own address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.wire.stream.local_addr().unwrap()
    }

    /// The next response, interim ones too.
    pub(crate) fn response(&mut self) -> Response {
        self.try_response().unwrap_or_else(|broken| panic!("no whole response: {broken}"))
    }

    /// The next response, if it is whole.
    pub(crate) fn try_response(&mut self) -> Result<Response, Broken> {
        self.read_response(false)
    }

    /// The next response, which answers a HEAD.
    pub(crate) fn response_to_head(&mut self) -> Response {
        self.read_response(true).unwrap_or_else(|broken| panic!("no whole response: {broken}"))
    }

    /// Sends a request and gives its response.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request);
        self.response()
    }

    /// The head of the next response alone.
    pub(crate) fn response_head(&mut self) -> (u16, Head) {
        let head = self.wire.head().unwrap_or_else(|broken| panic!("no response head: {broken}"));
        (status(&head).expect("a status line"), head)
    }

    /// The next chunk of a response; `None` is its end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        self.wire.chunk().unwrap_or_else(|broken| panic!("no chunk: {broken}"))
    }

    /// Exactly so many bytes of a response.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        self.wire.exactly(len).unwrap_or_else(|broken| panic!("not {len} bytes: {broken}"))
    }

    /// The same, if so many come.
    pub(crate) fn try_bytes(&mut self, len: usize) -> Result<Vec<u8>, Broken> {
        self.wire.exactly(len)
    }

    /// How the connection ends, whatever comes before.
    pub(crate) fn end(&mut self) -> End {
        self.wire.end()
    }

    /// Whether nothing is left to read but the connection's end.
    pub(crate) fn ends_here(&mut self) -> bool {
        self.wire.unread.is_empty() && matches!(self.wire.fill(), Err(Broken::Ended(..)))
    }

    /// Everything that comes until the connection ends, and how it does.
    pub(crate) fn everything(&mut self) -> (String, End) {
        let end = loop {
            match self.wire.fill() {
                Ok(()) => {}
                Err(Broken::Ended(end, _)) => break end,
                Err(broken) => panic!("the connection is still open: {broken}"),
            }
        };
        (super::wire::text(&std::mem::take(&mut self.wire.unread)), end)
    }

    fn read_response(&mut self, to_head: bool) -> Result<Response, Broken> {
        let head = self.wire.head()?;
        let status = status(&head).ok_or_else(|| Broken::Malformed(head.start.clone()))?;
        let mut trailers = Vec::new();
        let length = head.get("content-length").map(|length| length.parse().expect("a length"));
        let chunked = head.get("transfer-encoding") == Some("chunked");
        assert!(length.is_none() || !chunked, "both framings: {head:?}");
        let body = if to_head || status < 200 || status == 204 || status == 304 {
            Vec::new()
        } else if chunked {
            let (body, fields) = self.wire.chunked()?;
            trailers = fields;
            body
        } else if let Some(length) = length {
            self.wire.exactly(length)?
        } else {
            self.wire.rest()?
        };
        Ok(Response { status, head, body, trailers })
    }
}

// === impl Response ===

impl Response {
    pub(crate) fn text(&self) -> String {
        super::wire::text(&self.body)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    /// The assignment cookie that is set, as `name=value`.
    pub(crate) fn cookie(&self) -> Option<String> {
        let set = self.head.all("set-cookie").into_iter().find(|value| value.starts_with("weir="))?;
        Some(set.split(';').next().unwrap_or_default().to_owned())
    }
}

fn status(head: &Head) -> Option<u16> {
    head.start.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}
