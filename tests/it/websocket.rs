//! WebSockets through Weir, opened over both versions of HTTP, in the clear and in TLS: to the tunnel it makes no difference.

use std::{sync::mpsc::Receiver, thread, time::Duration};

use crate::{
    support::{
        Gate, Origin, PATIENCE, Setup, Weir,
        h2::{H2Client, get},
        ok,
        origin::nobody,
        pattern,
        tls::{Authority, Wants},
        weir::eventually,
        ws::{
            ACCEPT, BINARY, CLOSE, Frame, KEY, Over, PING, PONG, Socket, TEXT, WAYS, Way, Wire as _, accept,
            connect, echoing, upgrade,
        },
    },
    tls::Folder,
};

/// More than all the buffers on the way hold.
const MORE_THAN_FITS: usize = 32 << 20;
/// Longer than a stuck write stays stuck when only the scheduler is slow.
const STUCK: Duration = Duration::from_millis(500);

/// A Weir with a listener in the clear and one in TLS.
pub(crate) struct Stand {
    pub(crate) weir: Weir,
    wants: Wants,
    folder: Folder,
}

// === impl Stand ===

impl Stand {
    pub(crate) fn of(setup: &Setup) -> Self {
        let authority = Authority::new("the shop's");
        let folder = Folder::of(&[("shop", &authority.issue(&["shop.example"]))]);
        let pair = folder.pair("shop");
        let tls = format!("name: tls, bind: \"127.0.0.1:0\", tls: {{ certificates: [{pair}] }}");
        let weir = setup.clone().h2c("").listener(&tls).start();
        Self { weir, wants: authority.client(), folder }
    }

    fn addresses(&self) -> (std::net::SocketAddr, std::net::SocketAddr) {
        (self.weir.address(), self.weir.address_of("tls"))
    }

    /// Asks for a WebSocket.
    pub(crate) fn ask(&self, way: Way, path: &str, fields: &[(&str, &str)]) -> Socket {
        way.ask(self.addresses(), &self.wants, path, fields)
    }

    /// Opens one.
    pub(crate) fn open(&self, way: Way) -> Socket {
        self.ask(way, "/", &[]).open()
    }

    /// Waits until nothing is in flight.
    pub(crate) fn is_quiet(&self) {
        eventually("nothing in flight", || {
            (self.weir.count("weir_requests_in_flight", "") == 0).then_some(())
        });
    }

    /// Stops its Weir; the thread gives how many connections were cut off. The certificates stay until then.
    pub(crate) fn stop(self) -> (thread::JoinHandle<usize>, Folder) {
        (self.weir.stop(), self.folder)
    }
}

/// How the next client closed its WebSocket.
pub(crate) fn closing(heard: &Receiver<(u16, String)>) -> (u16, String) {
    heard.recv_timeout(PATIENCE).expect("the origin sees how it was closed")
}

#[test]
fn the_handshake_passes() {
    let (origin, _heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin));
    for way in WAYS {
        let fields = [
            ("Origin", "https://shop.example"),
            ("Sec-WebSocket-Protocol", "chat, superchat"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ];
        let fields =
            fields.map(|(name, value)| if way.is_h2() { (lower(name), value) } else { (name, value) });
        let mut socket = stand.ask(way, "/chat?room=1", &fields).open();
        assert_eq!(socket.get("sec-websocket-protocol"), Some("superchat"), "{way:?}");
        let proven = (!way.is_h2()).then_some(ACCEPT);
        assert_eq!(socket.get("sec-websocket-accept"), proven, "RFC 8441, section 5 has none");
        assert_eq!(socket.get("upgrade"), (!way.is_h2()).then_some("websocket"));
        assert_eq!(socket.echo("hello"), "hello", "{way:?}");
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.head.start, "GET /chat?room=1 HTTP/1.1", "{way:?}");
        assert_eq!((seen.get("upgrade"), seen.get("connection")), (Some("websocket"), Some("upgrade")));
        assert_eq!(seen.get("host"), Some("shop.example"));
        assert_eq!(seen.get("sec-websocket-version"), Some("13"));
        for (name, value) in fields {
            assert_eq!(seen.get(name), Some(value), "{way:?}");
        }
        let key = seen.get("sec-websocket-key").unwrap();
        assert!(key.len() == 24 && key.ends_with("=="), "16 bytes in base64: {key}");
        assert_eq!(key == KEY, !way.is_h2(), "HTTP/2 has no key, so one is made");
        let secure = matches!(way, Way::H1Tls | Way::H2Tls);
        assert_eq!(seen.get("x-forwarded-proto"), Some(if secure { "https" } else { "http" }));
    }
}

fn lower(name: &'static str) -> &'static str {
    match name {
        "Origin" => "origin",
        "Sec-WebSocket-Protocol" => "sec-websocket-protocol",
        _ => "sec-websocket-extensions",
    }
}

#[test]
fn messages_come_back_as_they_were_sent() {
    let (origin, _heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin));
    for way in WAYS {
        let mut socket = stand.open(way);
        for len in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            for opcode in [TEXT, BINARY] {
                let payload = vec![b'a'; len];
                let frame = socket.say(&Frame::of_client(opcode, &payload)).hear().unwrap();
                assert_eq!(frame, Frame::of_origin(opcode, &payload), "{way:?}, {len}");
            }
        }
        // A message in pieces, with a ping between them (RFC 6455, section 5.4).
        let pieces = [
            Frame::of_client(TEXT, "one ").and_more(),
            Frame::of_client(PING, "there?"),
            Frame::of_client(0, "two ").and_more(),
            Frame::of_client(0, "three"),
        ];
        let all: Vec<u8> = pieces.iter().flat_map(Frame::bytes).collect();
        assert!(socket.put(&all));
        for piece in pieces {
            let opcode = if piece.opcode == PING { PONG } else { piece.opcode };
            assert_eq!(socket.hear().unwrap(), Frame { opcode, masked: false, ..piece }, "{way:?}");
        }
        // Byte by byte.
        for byte in Frame::of_client(TEXT, "slow").bytes() {
            assert!(socket.put(&[byte]));
        }
        assert_eq!(socket.hear().unwrap().text(), "slow");
        for number in 0..1000 {
            socket.say(&Frame::of_client(TEXT, number.to_string()));
        }
        for number in 0..1000 {
            let heard = socket.hear().unwrap_or_else(|| panic!("{way:?} ended at {number}"));
            assert_eq!(heard.text(), number.to_string(), "{way:?}");
        }
    }
}

#[test]
fn large_frames_arrive_whole_both_ways() {
    let (origin, _heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin));
    let payload = pattern(2 << 20);
    for way in WAYS {
        let mut socket = stand.open(way);
        let frame = socket.say(&Frame::of_client(BINARY, &payload)).hear().unwrap();
        assert!(frame == Frame::of_origin(BINARY, &payload), "{way:?}: the frame is another");
        assert_eq!(socket.echo("next"), "next", "{way:?}");
    }
}

#[test]
fn closing_codes_pass_both_ways_and_end_both_connections() {
    let (origin, heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin));
    for way in WAYS {
        for (code, reason) in [(1000, ""), (1001, "going away"), (1011, "it broke"), (4321, "ünïcödé")] {
            // The client's.
            let mut socket = stand.open(way);
            let answer = socket.say(&Frame::close(code, reason)).hear().unwrap();
            assert_eq!(answer.closing(), (code, reason.to_owned()), "{way:?}");
            assert_eq!(closing(&heard), (code, reason.to_owned()), "{way:?}");
            assert_eq!(socket.over(), Over::Ended, "{way:?}: the origin has closed its connection");
            // The origin's.
            let mut socket = stand.open(way);
            socket.say(&Frame::of_client(TEXT, format!("close {code} {reason}")));
            assert_eq!(socket.hear().unwrap().closing(), (code, reason.to_owned()), "{way:?}");
            socket.say(&Frame::close(code, reason));
            assert_eq!(closing(&heard), (code, reason.to_owned()), "{way:?}");
            let last = socket.hear().unwrap();
            assert_eq!((last.opcode, socket.over()), (CLOSE, Over::Ended), "{way:?}");
        }
    }
    stand.is_quiet();
    stand.weir.counts("weir_upstream_errors_total", "", 0);
}

#[test]
fn whoever_breaks_off_is_noticed_by_the_other() {
    let (origin, heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin));
    for way in WAYS {
        let mut socket = stand.open(way);
        assert_eq!(socket.echo("hello"), "hello");
        socket.reset();
        assert_eq!(closing(&heard).0, 1006, "{way:?}");
        let mut socket = stand.open(way);
        socket.say(&Frame::of_client(TEXT, "vanish"));
        assert_eq!(socket.over(), Over::Broken, "{way:?}");
    }
    stand.is_quiet();
}

#[test]
fn either_side_may_be_the_first_to_say_no_more() {
    let origin = Origin::scripted(|peer| {
        let request = peer.request().unwrap();
        accept(peer, &request, "");
        if request.target() == "/origin-first" {
            peer.put(&Frame::of_origin(TEXT, "bye").bytes());
            peer.finish();
        }
        while Frame::read(peer).is_some() {}
        peer.put(&Frame::of_origin(TEXT, "after the end").bytes());
    });
    let stand = Stand::of(&Setup::before(&origin));
    for way in WAYS {
        // The client's end is the origin's end of reading; what it still says arrives.
        let mut socket = stand.open(way);
        socket.say(&Frame::of_client(TEXT, "hello")).finish();
        assert_eq!(socket.hear().unwrap().text(), "after the end", "{way:?}");
        assert_eq!(socket.over(), Over::Ended, "{way:?}");
        let mut socket = stand.ask(way, "/origin-first", &[]).open();
        assert_eq!(socket.hear().unwrap().text(), "bye", "{way:?}");
        assert_eq!(socket.over(), Over::Ended, "{way:?}");
    }
    stand.is_quiet();
}

#[test]
fn what_is_sent_right_behind_the_handshake_is_not_lost() {
    let (origin, _heard) = echoing("stable");
    let eager = Origin::scripted(|peer| {
        let request = peer.request().unwrap();
        // In one write with its answer.
        accept(peer, &request, "X-More: 1\r\n");
        peer.put(&Frame::of_origin(TEXT, "first").bytes());
        peer.end();
    });
    let stand = Stand::of(
        &Setup::before(&origin)
            .backend("eager", &[eager.address])
            .route("name: eager, match: { path: { prefix: /eager } }, backend: eager")
            .route("name: all, backend: stable"),
    );
    let early = Frame::of_client(TEXT, "early").bytes();
    let mut client = stand.weir.client();
    client.send([upgrade("/", &[]).as_bytes(), &early].concat());
    assert_eq!(Socket::upgraded(client).open().hear().unwrap().text(), "early");
    let mut client = H2Client::to(stand.weir.address());
    let mut stream = client.open(connect("http", "/", &[]), false);
    stream.send(&early);
    assert_eq!(Socket::connected(stream).open().hear().unwrap().text(), "early");
    for way in WAYS {
        let mut socket = stand.ask(way, "/eager", &[]).open();
        assert_eq!(socket.hear().unwrap().text(), "first", "{way:?}");
    }
}

#[test]
fn many_small_messages_may_wait_for_the_endpoint() {
    // As many as a stream's window holds, if they are as small as they come.
    const MESSAGES: usize = 7000;
    let gate = Gate::default();
    let late = gate.clone();
    let origin = Origin::scripted(move |peer| {
        let request = peer.request().unwrap();
        late.wait();
        accept(peer, &request, "");
        let mut heard = 0;
        while heard < MESSAGES && Frame::read(peer).is_some() {
            heard += 1;
        }
        peer.put(&Frame::of_origin(TEXT, heard.to_string()).bytes());
        peer.end();
    });
    let weir = Setup::before(&origin).h2c("").start();
    let mut client = H2Client::to(weir.address());
    let mut stream = client.open(connect("http", "/", &[]), false);
    let message = Frame::of_client(TEXT, "abc").bytes();
    for _ in 0..MESSAGES {
        stream.send(&message);
    }
    gate.open();
    assert_eq!(Socket::connected(stream).open().hear().unwrap().text(), MESSAGES.to_string());
}

#[test]
fn an_answer_that_opens_nothing_is_passed_on() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            if request.has("upgrade") {
                peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nX-Why: because\r\n\r\nnope");
            } else {
                peer.send(ok("ok"));
            }
        }
    });
    let stand = Stand::of(&Setup::before(&origin));
    for way in WAYS {
        let mut socket = stand.ask(way, "/", &[]);
        assert_eq!((socket.status, socket.get("x-why")), (403, Some("because")), "{way:?}");
        assert_eq!(socket.take(4).unwrap(), b"nope", "{way:?}");
        if way.is_h2() {
            assert_eq!(socket.over(), Over::Ended, "{way:?}");
        } else {
            let get = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
            assert_eq!(socket.into_client().ask(get).text(), "ok", "the connection goes on");
        }
    }
    stand.is_quiet();
}

#[test]
fn what_follows_a_refused_handshake_is_no_request() {
    let gate = Gate::default();
    let refusing = gate.clone();
    let origin = Origin::scripted(move |peer| {
        while let Some(request) = peer.request() {
            if request.has("upgrade") {
                refusing.wait();
                peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
            } else {
                peer.send(ok("ok"));
            }
        }
    });
    let weir = Setup::before(&origin).h2c("").start();
    let mut client = H2Client::to(weir.address());
    let mut stream = client.open(connect("http", "/", &[]), false);
    stream.send(b"GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    // What is behind it on the connection was read after it.
    assert_eq!(client.ask(get("/")).text(), "ok");
    gate.open();
    assert_eq!(stream.head().status(), 403);
    assert_eq!(client.ask(get("/next")).text(), "ok");
    let targets: Vec<String> = origin.requests().iter().map(|seen| seen.target().to_owned()).collect();
    assert!(!origin.seen().text().contains("smuggled"), "{targets:?}");
}

#[test]
fn without_an_endpoint_there_is_an_answer() {
    let setup = Setup::new().backend("stable", &[nobody()]);
    let stand = Stand::of(&setup);
    for way in WAYS {
        assert_eq!(stand.ask(way, "/", &[]).status, 502, "{way:?}");
    }
    let stand = Stand::of(&setup.route("name: other, match: { hosts: [other.example] }, backend: stable"));
    for way in WAYS {
        assert_eq!(stand.ask(way, "/", &[]).status, 404, "{way:?}");
    }
}

#[test]
fn only_what_was_asked_for_opens_a_tunnel() {
    let origin = Origin::scripted(|peer| {
        while peer.request().is_some() {
            peer.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\nhello",
            );
        }
    });
    let stand = Stand::of(&Setup::before(&origin));
    for way in WAYS {
        assert_eq!(stand.ask(way, "/", &[]).status, 502, "{way:?}");
    }
    assert_eq!(stand.weir.client().ask(crate::support::GET).status, 502, "nobody asked at all");
    stand.is_quiet();
}

#[test]
fn a_side_that_does_not_read_slows_the_other_down() {
    for way in [Way::H1, Way::H2] {
        let (read_on, stuck) = (Gate::default(), Gate::default());
        let (gate, told) = (read_on.clone(), stuck.clone());
        let origin = Origin::scripted(move |peer| {
            let request = peer.request().unwrap();
            accept(peer, &request, "");
            if request.target() == "/sends" {
                let sent = peer.send_until_stuck(&vec![b'x'; MORE_THAN_FITS], STUCK);
                if sent < MORE_THAN_FITS {
                    told.open();
                }
                peer.send(vec![b'x'; MORE_THAN_FITS - sent]);
                return;
            }
            gate.wait();
            let mut left = MORE_THAN_FITS;
            while left > 0 {
                left -= peer.bytes(left.min(1 << 20)).unwrap().len();
                peer.forget_bytes();
            }
            peer.send("all");
        });
        let stand = Stand::of(&Setup::before(&origin));
        let mut socket = stand.open(way);
        let sent = socket.send_until_stuck(MORE_THAN_FITS, STUCK);
        assert!(sent < MORE_THAN_FITS, "{way:?}: all of it went somewhere");
        read_on.open();
        assert!(socket.put(&vec![b'x'; MORE_THAN_FITS - sent]));
        assert_eq!(socket.take(3).unwrap(), b"all", "{way:?}");
        let mut socket = stand.ask(way, "/sends", &[]).open();
        stuck.wait();
        assert!(stuck.is_open(), "{way:?}");
        assert_eq!(socket.take(MORE_THAN_FITS).unwrap().len(), MORE_THAN_FITS, "{way:?}");
    }
}

#[test]
fn many_sockets_and_requests_share_a_connection() {
    let (origin, heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin));
    let mut client = H2Client::to(stand.weir.address());
    let mut sockets: Vec<Socket> =
        (0..50).map(|_| Socket::connected(client.open(connect("http", "/", &[]), false)).open()).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.say(&Frame::of_client(TEXT, number.to_string()));
    }
    assert_eq!(client.ask(get("/")).text(), "stable");
    for (number, socket) in sockets.iter_mut().enumerate().rev() {
        assert_eq!(socket.hear().unwrap().text(), number.to_string());
    }
    assert_eq!(stand.weir.count("weir_requests_in_flight", "backend=\"stable\""), 50);
    // The end of one is not the end of others.
    sockets.swap_remove(7).reset();
    assert_eq!(closing(&heard).0, 1006);
    for socket in &mut sockets {
        assert_eq!(socket.echo("still there"), "still there");
    }
    drop(sockets);
    client.vanish();
    stand.is_quiet();
}

#[test]
fn handshakes_that_are_none_stay_requests() {
    let (origin, _heard) = echoing("stable");
    let stand = Stand::of(&Setup::before(&origin));
    let usual = upgrade("/", &[]);
    for (what, request) in [
        ("not named by Connection", usual.replace("keep-alive, Upgrade", "keep-alive")),
        ("HTTP/1.0", usual.replace(" HTTP/1.1\r\n", " HTTP/1.0\r\n")),
        ("a POST", usual.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n")),
        ("several protocols", usual.replace("Upgrade: websocket", "Upgrade: websocket, h2c")),
    ] {
        let answer = stand.weir.client().ask(request);
        assert_eq!((answer.status, answer.text().as_str()), (200, "stable"), "{what}");
        assert!(!origin.requests().pop().unwrap().has("upgrade"), "{what}");
    }
    // An extended CONNECT for another protocol is refused (RFC 8441, section 4).
    let mut request = connect("http", "/", &[]);
    request.extensions_mut().insert(h2::ext::Protocol::from_static("connect-udp"));
    let before = origin.requests().len();
    let mut stream = H2Client::to(stand.weir.address()).open(request, false);
    assert_eq!(stream.head().status(), 501);
    assert_eq!(origin.requests().len(), before);
}
