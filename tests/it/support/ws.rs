//! WebSocket (RFC 6455): frames by hand, clients that open one over either version of HTTP, and origins that echo.

use std::{net::SocketAddr, sync::mpsc};

use aws_lc_rs::digest;
use h2::{Reason, ext::Protocol};
use http::{Method, Request};

use super::{
    Client, End, Origin, Peer,
    h2::{H2Client, Stream},
    ok,
    tls::Wants,
};

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The key of every client, and what proves that it was read (RFC 6455, section 1.3).
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A frame, without its mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) last: bool,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

/// How a client comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    H1,
    H1Tls,
    H2,
    H2Tls,
}

/// All of them.
pub(crate) const WAYS: [Way; 4] = [Way::H1, Way::H1Tls, Way::H2, Way::H2Tls];

/// A client's end of a WebSocket.
pub(crate) struct Socket {
    inner: Inner,
    unread: Vec<u8>,
    /// The fields of the answer that opened it, or did not.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) status: u16,
}

enum Inner {
    H1(Box<Client>),
    H2(Option<H2Client>, Box<Stream>),
}

/// How it ended for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// In order.
    Ended,
    /// Visibly before its time.
    Broken,
}

/// Bytes in and out.
pub(crate) trait Wire {
    /// Exactly so many bytes; `None` when it ended before.
    fn take(&mut self, len: usize) -> Option<Vec<u8>>;
    /// Whether it took the bytes.
    fn put(&mut self, bytes: &[u8]) -> bool;
}

// === impl Frame ===

impl Frame {
    /// A message of one frame, as a client sends it.
    pub(crate) fn of_client(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { last: true, opcode, masked: true, payload: payload.as_ref().to_vec() }
    }

    /// The same of an origin.
    pub(crate) fn of_origin(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { masked: false, ..Self::of_client(opcode, payload) }
    }

    /// The same with more of the message to come.
    pub(crate) fn and_more(self) -> Self {
        Self { last: false, ..self }
    }

    /// What ends a WebSocket, and why.
    pub(crate) fn close(code: u16, reason: &str) -> Self {
        Self::of_client(CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
    }

    /// The code and reason of the same.
    pub(crate) fn closing(&self) -> (u16, String) {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        let (code, reason) = self.payload.split_at(2);
        (u16::from_be_bytes(code.try_into().unwrap()), String::from_utf8(reason.to_vec()).unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        assert_eq!((self.opcode, self.last), (TEXT, true), "{self:?}");
        std::str::from_utf8(&self.payload).unwrap()
    }

    /// RFC 6455, section 5.2.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.last) << 7 | self.opcode];
        let mask = u8::from(self.masked) << 7;
        match self.payload.len() {
            len @ 0..126 => bytes.push(mask | u8::try_from(len).unwrap()),
            len => match u16::try_from(len) {
                Ok(len) => {
                    bytes.push(mask | 126);
                    bytes.extend_from_slice(&len.to_be_bytes());
                }
                Err(_) => {
                    bytes.push(mask | 127);
                    bytes.extend_from_slice(&u64::try_from(len).unwrap().to_be_bytes());
                }
            },
        }
        if self.masked {
            let key = [0x37, 0xfa, 0x21, 0x3d];
            bytes.extend_from_slice(&key);
            bytes.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            bytes.extend_from_slice(&self.payload);
        }
        bytes
    }

    pub(crate) fn read(wire: &mut impl Wire) -> Option<Self> {
        let head = wire.take(2)?;
        let masked = head[1] & 0x80 != 0;
        let len = match head[1] & 0x7f {
            126 => u16::from_be_bytes(wire.take(2)?.try_into().unwrap()).into(),
            127 => u64::from_be_bytes(wire.take(8)?.try_into().unwrap()),
            len => len.into(),
        };
        let key = if masked { wire.take(4)? } else { vec![0; 4] };
        let mut payload = wire.take(usize::try_from(len).unwrap())?;
        for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
        Some(Self { last: head[0] & 0x80 != 0, opcode: head[0] & 0x0f, masked, payload })
    }
}

// === impl Way ===

impl Way {
    pub(crate) fn is_h2(self) -> bool {
        matches!(self, Self::H2 | Self::H2Tls)
    }

    /// Asks for a WebSocket of `shop.example`; `tls` is for the ways in TLS.
    pub(crate) fn ask(
        self,
        (clear, tls): (SocketAddr, SocketAddr),
        wants: &Wants,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Socket {
        const NAME: &str = "shop.example";
        match self {
            Self::H1 => Socket::upgrade(Client::to(clear), path, fields),
            Self::H1Tls => Socket::upgrade(Client::tls(tls, wants, NAME), path, fields),
            Self::H2 => Socket::connect(H2Client::to(clear), "http", path, fields),
            Self::H2Tls => Socket::connect(H2Client::tls(tls, wants, NAME), "https", path, fields),
        }
    }
}

// === impl Socket ===

impl Socket {
    /// By Upgrade (RFC 6455, section 4.1).
    pub(crate) fn upgrade(mut client: Client, path: &str, fields: &[(&str, &str)]) -> Self {
        client.send(upgrade(path, fields));
        Self::upgraded(client)
    }

    /// The same with the request sent.
    pub(crate) fn upgraded(mut client: Client) -> Self {
        let (status, head) = client.response_head();
        let inner = Inner::H1(Box::new(client));
        Self { inner, unread: Vec::new(), fields: head.fields, status }
    }

    /// By extended CONNECT (RFC 8441).
    pub(crate) fn connect(mut client: H2Client, scheme: &str, path: &str, fields: &[(&str, &str)]) -> Self {
        let stream = client.open(connect(scheme, path, fields), false);
        let socket = Self::connected(stream);
        socket.keeping(client)
    }

    /// The same on a connection that somebody else keeps, with the request sent.
    pub(crate) fn connected(mut stream: Stream) -> Self {
        let head = stream.head();
        let fields = head.headers().iter();
        let fields =
            fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let status = head.status().as_u16();
        Self { inner: Inner::H2(None, Box::new(stream)), unread: Vec::new(), fields, status }
    }

    fn keeping(self, client: H2Client) -> Self {
        let Inner::H2(_, stream) = self.inner else { unreachable!("it was opened over HTTP/2") };
        Self { inner: Inner::H2(Some(client), stream), ..self }
    }

    /// Asserts that it is open.
    pub(crate) fn open(self) -> Self {
        let expected = if matches!(self.inner, Inner::H1(_)) { 101 } else { 200 };
        assert_eq!(self.status, expected, "{:?}", self.fields);
        self
    }

    /// The value of the only field of this name of the answer.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let value = named.next()?.1.as_str();
        assert!(named.next().is_none(), "{name} stands several times in {:?}", self.fields);
        Some(value)
    }

    /// The assignment cookie that is set, as `name=value`.
    pub(crate) fn cookie(&self) -> Option<String> {
        Some(self.get("set-cookie")?.split(';').next()?.to_owned())
    }

    pub(crate) fn say(&mut self, frame: &Frame) -> &mut Self {
        assert!(self.put(&frame.bytes()), "it no longer takes what is sent");
        self
    }

    /// The next frame; `None` at the end.
    pub(crate) fn hear(&mut self) -> Option<Frame> {
        let frame = Frame::read(self)?;
        assert!(!frame.masked, "an origin's frames have no mask");
        Some(frame)
    }

    /// What a message of text comes back as.
    pub(crate) fn echo(&mut self, text: &str) -> String {
        self.say(&Frame::of_client(TEXT, text));
        self.hear().expect("an answer").text().to_owned()
    }

    /// Says that no more will be sent.
    pub(crate) fn finish(&mut self) {
        match &mut self.inner {
            Inner::H1(client) => drop(client.half_close()),
            Inner::H2(_, stream) => drop(stream.finish()),
        }
    }

    /// Ends it without a word, as a client does that crashes.
    pub(crate) fn reset(self) {
        match self.inner {
            Inner::H1(client) => client.reset(),
            Inner::H2(_, stream) => stream.reset(Reason::CANCEL),
        }
    }

    /// Reads to the end; how that was.
    pub(crate) fn over(&mut self) -> Over {
        match &mut self.inner {
            Inner::H1(client) => match client.end() {
                End::Closed => Over::Ended,
                End::Reset | End::Cut => Over::Broken,
            },
            Inner::H2(_, stream) => loop {
                match stream.try_data() {
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return Over::Broken,
                    None => return Over::Ended,
                }
            },
        }
    }

    /// Sends up to `len` bytes without waiting longer than `patience` for room; how many that was.
    pub(crate) fn send_until_stuck(&mut self, len: usize, patience: std::time::Duration) -> usize {
        match &mut self.inner {
            Inner::H1(client) => client.send_until_stuck(&vec![b'x'; len], patience),
            Inner::H2(_, stream) => stream.send_until_stuck(len, patience),
        }
    }

    /// The connection, for what comes after an answer that opened nothing.
    pub(crate) fn into_client(self) -> Client {
        match self.inner {
            Inner::H1(client) => *client,
            Inner::H2(..) => panic!("it came over HTTP/2"),
        }
    }
}

impl Wire for Socket {
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        match &mut self.inner {
            Inner::H1(client) => client.try_bytes(len).ok(),
            Inner::H2(_, stream) => {
                while self.unread.len() < len {
                    self.unread.extend_from_slice(&stream.try_data()?.ok()?);
                }
                Some(self.unread.drain(..len).collect())
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) -> bool {
        match &mut self.inner {
            Inner::H1(client) => client.try_send(bytes),
            Inner::H2(_, stream) => stream.try_send(bytes),
        }
    }
}

impl Wire for Peer {
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        self.bytes(len)
    }

    fn put(&mut self, bytes: &[u8]) -> bool {
        self.send(bytes)
    }
}

/// A handshake over HTTP/1.1.
pub(crate) fn upgrade(path: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
}

/// The same over HTTP/2 (RFC 8441, section 5.1).
pub(crate) fn connect(scheme: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let uri = format!("{scheme}://shop.example{path}");
    let mut request = Request::builder().method(Method::CONNECT).uri(uri);
    request = request.header("sec-websocket-version", "13").extension(Protocol::from_static("websocket"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// An origin of WebSockets, and how each of them was closed by its client.
pub(crate) fn echoing(name: &'static str) -> (Origin, mpsc::Receiver<(u16, String)>) {
    let (told, heard) = mpsc::sync_channel(1000);
    let origin = Origin::scripted(move |peer| {
        while let Some(request) = peer.request() {
            if !request.has("upgrade") {
                peer.send(ok(name));
                continue;
            }
            accept(peer, &request, "");
            echo(peer, name, &told);
            return;
        }
    });
    (origin, heard)
}

/// Answers a handshake.
pub(crate) fn accept(peer: &mut Peer, request: &super::Request, fields: &str) {
    let accept = proof(request.get("sec-websocket-key").expect("a key"));
    let protocol = request.get("sec-websocket-protocol").and_then(|offered| offered.split(", ").last());
    let protocol = protocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    peer.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{protocol}{fields}\r\n"
    ));
}

/// Sends every message back, and does what some of them say: `who` gives the name, `close CODE REASON` closes, `vanish` resets.
fn echo(peer: &mut Peer, name: &str, told: &mpsc::SyncSender<(u16, String)>) {
    while let Some(frame) = Frame::read(peer) {
        assert!(frame.masked, "a client's frames have a mask");
        let said =
            if frame.opcode == TEXT { std::str::from_utf8(&frame.payload).unwrap_or_default() } else { "" };
        let answer = match (frame.opcode, said) {
            (TEXT, "who") => Frame::of_origin(TEXT, name),
            (TEXT, "vanish") => return peer.reset(),
            (TEXT, said) if said.starts_with("close ") => {
                let (code, reason) = said[6..].split_once(' ').unwrap_or((&said[6..], ""));
                Frame { masked: false, ..Frame::close(code.parse().unwrap(), reason) }
            }
            (PING, _) => Frame::of_origin(PONG, &frame.payload),
            _ => Frame { masked: false, ..frame.clone() },
        };
        peer.put(&answer.bytes());
        if frame.opcode == CLOSE {
            drop(told.send(frame.closing()));
            return;
        }
    }
    drop(told.send((1006, String::new())));
}

/// What proves that the handshake was read (RFC 6455, section 4.2.2).
pub(crate) fn proof(key: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let mut proof = String::new();
    for three in digest.as_ref().chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for at in 0..=three.len() {
            let digit = usize::try_from(bits >> (18 - 6 * at) & 63).unwrap();
            proof.push(char::from(ALPHABET[digit]));
        }
    }
    proof + "="
}
