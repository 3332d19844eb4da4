//! A client that speaks HTTP/2, by the crate `h2`; and frames by hand, for what that crate would never send.
//!
//! A thread of its own drives the connections, so that a case sends and waits as with any other client.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, Response};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::{self, Handle, Runtime},
    task::{JoinError, JoinHandle},
};
use tokio_rustls::TlsConnector;

use super::{Client, PATIENCE, tls::Wants};

/// What every HTTP/2 connection begins with, and empty SETTINGS.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A client's connection.
pub(crate) struct H2Client {
    runtime: Arc<Runtime>,
    sender: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// A stream of it.
pub(crate) struct Stream {
    runtime: Arc<Runtime>,
    response: Option<ResponseFuture>,
    sending: SendStream<Bytes>,
    body: Option<RecvStream>,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

/// A GET of `http://a` and this path.
pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(format!("http://a{path}")).body(()).unwrap()
}

/// A POST of the same.
pub(crate) fn post(path: &str) -> Request<()> {
    Request::post(format!("http://a{path}")).body(()).unwrap()
}

/// Waits for what must come before [`PATIENCE`] is over.
fn wait<T>(on: &Handle, what: &str, work: impl Future<Output = T>) -> T {
    on.block_on(async { tokio::time::timeout(PATIENCE, work).await })
        .unwrap_or_else(|_| panic!("it took too long: {what}"))
}

// === impl H2Client ===

impl H2Client {
    /// In the clear, with prior knowledge.
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::with(address, &mut Builder::new())
    }

    /// The same with settings of its own.
    pub(crate) fn with(address: SocketAddr, builder: &mut Builder) -> Self {
        let runtime = new_runtime();
        let opened = wait(runtime.handle(), "a connection", async {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            spawn(builder, stream).await
        });
        Self::of(runtime, opened)
    }

    /// In TLS, as `wants` agrees by ALPN.
    pub(crate) fn tls(address: SocketAddr, wants: &Wants, name: &str) -> Self {
        let connector = TlsConnector::from(Arc::new(wants.clone().alpn(&["h2"]).config()));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let runtime = new_runtime();
        let opened = wait(runtime.handle(), "a connection in TLS", async {
            let stream = TcpStream::connect(address).await.unwrap();
            let stream = connector.connect(name, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            spawn(&mut Builder::new(), stream).await
        });
        Self::of(runtime, opened)
    }

    fn of(runtime: Runtime, (sender, driver): Opened) -> Self {
        Self { runtime: Arc::new(runtime), sender, driver }
    }

    /// Begins a request; `ended` when it has no body. Waits while the server allows no further stream.
    pub(crate) fn open(&mut self, request: Request<()>, ended: bool) -> Stream {
        self.try_open(request, ended).unwrap_or_else(|error| panic!("no stream: {error}"))
    }

    /// The same, where the connection may have ended.
    pub(crate) fn try_open(&mut self, request: Request<()>, ended: bool) -> Result<Stream, h2::Error> {
        let sender = self.sender.clone();
        let opening = async {
            let mut sender = sender.ready().await?;
            sender.send_request(request, ended)
        };
        let (response, sending) = wait(self.runtime.handle(), "room for a stream", opening)?;
        Ok(Stream { runtime: Arc::clone(&self.runtime), response: Some(response), sending, body: None })
    }

    /// Whether the server takes extended CONNECT (RFC 8441, section 3). Waits for its settings.
    pub(crate) fn may_connect(&mut self) -> bool {
        // They are before whatever is answered.
        self.open(get("/settings"), true).head();
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// Most streams that the server allows, once it has said so.
    pub(crate) fn most_streams(&self) -> usize {
        self.sender.current_max_send_streams()
    }

    /// Sends a request without a body and gives its response.
    pub(crate) fn ask(&mut self, request: Request<()>) -> Answer {
        self.open(request, true).answer()
    }

    /// Sends a request with this body and gives its response. The end is in the last frame, so that no answer is there before it.
    pub(crate) fn ask_with(&mut self, request: Request<()>, body: &[u8]) -> Answer {
        let Some(before_last) = body.len().checked_sub(1) else { return self.ask(request) };
        let mut stream = self.open(request, false);
        let (first, last) = body.split_at(before_last);
        stream.send(first);
        stream.sending.send_data(Bytes::copy_from_slice(last), true).expect("the stream is open");
        stream.answer()
    }

    /// Ends the connection once its streams are over; the reason that the server gave, if it was an error.
    pub(crate) fn end(self) -> Option<Reason> {
        let Self { runtime, sender, driver } = self;
        drop(sender);
        reason_of(wait(runtime.handle(), "the connection's end", driver))
    }

    /// Waits until the server ends the connection; the reason that it gave, if it was an error.
    pub(crate) fn end_by_server(self) -> Option<Reason> {
        let Self { runtime, sender, driver } = self;
        let reason = reason_of(wait(runtime.handle(), "the end by the server", driver));
        drop(sender);
        reason
    }

    /// Ends the connection without a word.
    pub(crate) fn vanish(self) {
        self.driver.abort();
    }
}

fn reason_of(ended: Result<Result<(), h2::Error>, JoinError>) -> Option<Reason> {
    let error = ended.unwrap().err()?;
    Some(error.reason().unwrap_or_else(|| panic!("no reason: {error}")))
}

type Opened = (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>);

fn new_runtime() -> Runtime {
    runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn spawn<S>(builder: &mut Builder, stream: S) -> Opened
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Cases may leave as many small messages unread as they like.
    builder.data_frame_budget(usize::MAX);
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

// === impl Stream ===

impl Stream {
    /// Sends data, as the server has room for it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> &mut Self {
        assert!(self.try_send(bytes), "the stream no longer takes what is sent");
        self
    }

    /// The same; whether the stream took it all.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        let sending = &mut self.sending;
        wait(self.runtime.handle(), "room for data", async {
            let mut left = Bytes::copy_from_slice(bytes);
            while !left.is_empty() {
                sending.reserve_capacity(left.len());
                let Some(Ok(room)) = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await else {
                    return false;
                };
                if sending.send_data(left.split_to(room.min(left.len())), false).is_err() {
                    return false;
                }
            }
            true
        })
    }

    /// Sends up to `len` bytes of data without waiting longer than `patience` for room; how many that was.
    pub(crate) fn send_until_stuck(&mut self, len: usize, patience: Duration) -> usize {
        let sending = &mut self.sending;
        self.runtime.block_on(async {
            let mut left = len;
            while left > 0 {
                sending.reserve_capacity(left);
                let room = std::future::poll_fn(|cx| sending.poll_capacity(cx));
                let Ok(Some(Ok(room))) = tokio::time::timeout(patience, room).await else { break };
                let count = room.min(left);
                sending.send_data(Bytes::from(vec![b'x'; count]), false).expect("the stream is open");
                left -= count;
            }
            len - left
        })
    }

    /// Says that no more will be sent.
    pub(crate) fn finish(&mut self) -> &mut Self {
        self.sending.send_data(Bytes::new(), true).expect("the stream is open");
        self
    }

    /// Ends the body with fields.
    pub(crate) fn send_trailers(&mut self, fields: &[(&'static str, &'static str)]) -> &mut Self {
        let fields = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        self.sending.send_trailers(fields.collect()).expect("the stream is open");
        self
    }

    /// Resets the stream.
    pub(crate) fn reset(mut self, reason: Reason) {
        self.sending.send_reset(reason);
    }

    /// The response's head.
    pub(crate) fn head(&mut self) -> Response<()> {
        self.try_head().unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// The same, if there is one.
    pub(crate) fn try_head(&mut self) -> Result<Response<()>, h2::Error> {
        let response = self.response.take().expect("it was not read yet");
        let (head, body) = wait(self.runtime.handle(), "a response", response)?.into_parts();
        self.body = Some(body);
        Ok(Response::from_parts(head, ()))
    }

    /// The next interim response.
    pub(crate) fn interim(&mut self) -> Response<()> {
        let response = self.response.as_mut().expect("the response was not read yet");
        let next = std::future::poll_fn(|cx| response.poll_informational(cx));
        wait(self.runtime.handle(), "an interim response", next).expect("one more").unwrap()
    }

    /// The next piece of the response's body; `None` is its end.
    pub(crate) fn data(&mut self) -> Option<Bytes> {
        self.try_data().map(|data| data.unwrap_or_else(|error| panic!("no data: {error}")))
    }

    pub(crate) fn try_data(&mut self) -> Option<Result<Bytes, h2::Error>> {
        let body = self.body.as_mut().expect("the head was read");
        let data = wait(self.runtime.handle(), "data", body.data())?;
        if let Ok(data) = &data {
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        Some(data)
    }

    /// What has come of the body and was not read yet, in bytes, without room for more being given.
    pub(crate) fn data_and_keep_window(&mut self) -> Option<Bytes> {
        let body = self.body.as_mut().expect("the head was read");
        wait(self.runtime.handle(), "data", body.data()).map(Result::unwrap)
    }

    /// Gives the server room for as much as was read and kept.
    pub(crate) fn release(&mut self, count: usize) {
        let body = self.body.as_mut().expect("the head was read");
        body.flow_control().release_capacity(count).unwrap();
    }

    /// The response, which must be whole.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let mut body = Vec::new();
        while let Some(data) = self.data() {
            body.extend_from_slice(&data);
        }
        let stream = self.body.as_mut().expect("the head was read");
        let trailers =
            wait(self.runtime.handle(), "trailers", stream.trailers()).unwrap().unwrap_or_default();
        Answer { head, body, trailers }
    }

    /// The reason with which the server breaks the response off, before its head or after it.
    pub(crate) fn broken(&mut self) -> Option<Reason> {
        if let Err(error) = self.try_head() {
            return error.reason();
        }
        loop {
            match self.try_data() {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error.reason(),
                None => panic!("the response is whole"),
            }
        }
    }

    /// The reason with which the server resets the stream.
    pub(crate) fn reset_reason(&mut self) -> Reason {
        let sending = &mut self.sending;
        wait(self.runtime.handle(), "a reset", std::future::poll_fn(|cx| sending.poll_reset(cx))).unwrap()
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub(crate) fn text(&self) -> String {
        super::wire::text(&self.body)
    }

    /// The value of the only field of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.head.headers().get_all(name).iter();
        let value = values.next()?.to_str().unwrap();
        assert!(values.next().is_none(), "{name} stands several times in {:?}", self.head);
        Some(value)
    }

    /// The assignment cookie that is set, as `name=value`.
    pub(crate) fn cookie(&self) -> Option<String> {
        let mut set =
            self.head.headers().get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
        let value = set.find(|value| value.starts_with("weir="))?;
        Some(value.split(';').next().unwrap_or_default().to_owned())
    }
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// Types of frames.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// `END_STREAM`, and `END_HEADERS`.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

// === impl Frame ===

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Self {
        Self { kind, flags, stream, payload: payload.as_ref().to_vec() }
    }

    /// HEADERS of a GET that ends its stream.
    pub(crate) fn get(stream: u32) -> Self {
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
        Self::new(kind::HEADERS, END_STREAM | END_HEADERS, stream, block(&fields))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let len = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let stream = self.stream.to_be_bytes();
        [&len[1..], &[self.kind, self.flags], &stream, &self.payload].concat()
    }

    /// The error that a RST_STREAM or GOAWAY tells.
    pub(crate) fn reason(&self) -> Reason {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        Reason::from(u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap()))
    }
}

/// Fields as a block of literals that no table remembers (RFC 7541, section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "longer texts have longer lengths");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A client that has sent the preface and nothing else.
pub(crate) fn raw(address: SocketAddr) -> Client {
    let mut client = Client::to(address);
    client.send(PREFACE);
    client
}

/// The next frame; `None` when the connection has ended.
pub(crate) fn next_frame(client: &mut Client) -> Option<Frame> {
    let head = client.try_bytes(9).ok()?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7fff_ffff;
    let payload = client.try_bytes(usize::try_from(len).unwrap()).ok()?;
    Some(Frame { kind: head[3], flags: head[4], stream, payload })
}

/// The next frame of this type, whatever is before it.
pub(crate) fn next_of(client: &mut Client, kind: u8) -> Frame {
    let mut before = Vec::new();
    loop {
        let frame = next_frame(client).unwrap_or_else(|| panic!("no frame {kind} but {before:?}"));
        if frame.kind == kind {
            return frame;
        }
        before.push(frame);
    }
}
