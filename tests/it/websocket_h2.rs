//! WebSockets to endpoints that speak HTTP/2 (RFC 8441), whichever version their clients speak.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use h2::{Reason, RecvStream, ext::Protocol, server::SendResponse};
use http::{Method, Request, Response};

use crate::{
    support::{
        GET, Gate, Origin, PATIENCE, Setup,
        h2::{H2Client, get},
        pattern,
        streams::{StreamOrigin, respond},
        tls::Authority,
        ws::{ACCEPT, BINARY, Frame, Over, Socket, TEXT, WAYS, Way, Wire as _, accept, connect, upgrade},
    },
    tls::Folder,
    websocket::Stand,
};

/// What an endpoint saw of a handshake.
type Heads = mpsc::Receiver<Request<()>>;

/// An endpoint that sends back what comes in a tunnel, and how each tunnel ended for it.
fn echoing() -> (StreamOrigin, Heads, mpsc::Receiver<Option<Reason>>) {
    let (told, heads) = mpsc::sync_channel(1000);
    let (ended, ends) = mpsc::sync_channel(1000);
    let origin = StreamOrigin::connecting(move |_, request, to| {
        if request.method() != Method::CONNECT {
            return respond(to, 200, "ok");
        }
        let (head, body) = request.into_parts();
        told.send(Request::from_parts(head, ())).unwrap();
        tokio::spawn(echo(body, to, ended.clone()));
    });
    (origin, heads, ends)
}

async fn echo(mut body: RecvStream, mut to: SendResponse<Bytes>, ended: mpsc::SyncSender<Option<Reason>>) {
    let response = Response::builder().header("sec-websocket-protocol", "superchat").header("x-answer", "1");
    let mut sending = to.send_response(response.body(()).unwrap(), false).unwrap();
    let end = loop {
        match body.data().await {
            Some(Ok(data)) => {
                body.flow_control().release_capacity(data.len()).unwrap();
                sending.send_data(data, false).unwrap();
            }
            Some(Err(error)) => break error.reason(),
            None => {
                sending.send_data(Bytes::new(), true).unwrap();
                break None;
            }
        }
    };
    let _ = ended.send(end);
}

fn before(origin: &StreamOrigin) -> Setup {
    Setup::new().backend_with("stable", &[origin.address], "protocol: h2c")
}

/// Sends a message and takes it back.
fn echoes(socket: &mut Socket, opcode: u8, payload: &[u8]) {
    let bytes = Frame::of_client(opcode, payload).bytes();
    assert!(socket.put(&bytes));
    assert!(socket.take(bytes.len()).expect("the echo") == bytes, "the echo is another");
}

#[test]
fn the_handshake_becomes_an_extended_connect() {
    let (origin, heads, _ends) = echoing();
    let stand = Stand::of(&before(&origin).split("backends: { stable: 1 }"));
    for way in WAYS {
        let fields = [("sec-websocket-protocol", "chat, superchat"), ("origin", "https://shop.example")];
        let mut socket = stand.ask(way, "/chat?room=1", &fields).open();
        assert_eq!(socket.get("sec-websocket-protocol"), Some("superchat"), "{way:?}");
        assert_eq!(socket.get("x-answer"), Some("1"));
        let h1 = !way.is_h2();
        assert_eq!(socket.get("sec-websocket-accept"), h1.then_some(ACCEPT), "{way:?}");
        assert_eq!(socket.get("upgrade"), h1.then_some("websocket"), "{way:?}");
        assert_eq!(socket.get("connection"), h1.then_some("upgrade"), "{way:?}");
        assert_eq!(socket.get("transfer-encoding"), None, "{way:?}");
        assert!(socket.cookie().is_some(), "{way:?}");
        echoes(&mut socket, TEXT, b"hello");
        echoes(&mut socket, BINARY, &pattern(1 << 20));
        let seen = heads.recv_timeout(PATIENCE).unwrap();
        assert_eq!(seen.extensions().get::<Protocol>().unwrap().as_str(), "websocket", "{way:?}");
        assert_eq!(seen.uri().path_and_query().unwrap(), "/chat?room=1");
        assert_eq!(seen.uri().authority().unwrap(), "shop.example");
        for name in ["sec-websocket-key", "upgrade", "connection", "host"] {
            assert!(!seen.headers().contains_key(name), "{way:?}: {name} has no place in HTTP/2");
        }
        for (name, value) in
            [("sec-websocket-version", "13"), fields[0], fields[1], ("x-forwarded-for", "127.0.0.1")]
        {
            assert_eq!(seen.headers()[name], value, "{way:?}");
        }
    }
}

#[test]
fn tunnels_and_requests_share_a_connection() {
    let (origin, _heads, ends) = echoing();
    let stand = Stand::of(&before(&origin));
    let mut sockets: Vec<Socket> = (0..20).map(|number| stand.open(WAYS[number % 4])).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        echoes(socket, TEXT, number.to_string().as_bytes());
    }
    assert_eq!(stand.weir.client().ask(GET).text(), "ok");
    assert_eq!(H2Client::to(stand.weir.address()).ask(get("/")).text(), "ok");
    assert_eq!(origin.seen().connections, 1);
    // The end of one is not the end of others.
    sockets.swap_remove(7).reset();
    ends.recv_timeout(PATIENCE).unwrap();
    sockets.iter_mut().for_each(|socket| echoes(socket, TEXT, b"still there"));
}

#[test]
fn ends_pass_both_ways() {
    let (origin, _heads, ends) = echoing();
    let stand = Stand::of(&before(&origin));
    for way in WAYS {
        // The client says no more, and the endpoint still has something to say.
        let mut socket = stand.open(way);
        let bytes = Frame::of_client(TEXT, "last").bytes();
        assert!(socket.put(&bytes));
        socket.finish();
        assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), None, "{way:?}: an end in order");
        assert_eq!(socket.take(bytes.len()).unwrap(), bytes, "{way:?}");
        assert_eq!(socket.over(), Over::Ended, "{way:?}");
        // It just goes.
        let mut socket = stand.open(way);
        echoes(&mut socket, TEXT, b"hello");
        socket.reset();
        assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), Some(Reason::CANCEL), "{way:?}");
    }
    stand.is_quiet();
    let origin = StreamOrigin::connecting(|_, request, mut to| {
        let mut body = request.into_body();
        tokio::spawn(async move {
            let mut sending = to.send_response(Response::new(()), false).unwrap();
            drop(body.data().await);
            sending.send_reset(Reason::INTERNAL_ERROR);
        });
    });
    let stand = Stand::of(&before(&origin));
    for way in WAYS {
        let mut socket = stand.open(way);
        assert!(socket.put(b"break"));
        assert_eq!(socket.over(), Over::Broken, "{way:?}");
    }
}

#[test]
fn a_refusal_is_passed_on_and_the_client_may_ask_again() {
    let origin = StreamOrigin::connecting(|_, request, to| {
        if request.method() == Method::CONNECT {
            respond(to, 403, "nope");
        } else {
            respond(to, 200, "ok");
        }
    });
    let stand = Stand::of(&before(&origin));
    for way in WAYS {
        let mut socket = stand.ask(way, "/", &[]);
        assert_eq!(socket.status, 403, "{way:?}");
        if way.is_h2() {
            assert_eq!(socket.take(4).unwrap(), b"nope", "{way:?}");
            assert_eq!(socket.over(), Over::Ended, "{way:?}");
        } else {
            assert_eq!(socket.get("transfer-encoding"), Some("chunked"));
            let mut client = socket.into_client();
            assert_eq!((client.chunk().unwrap(), client.chunk()), (b"nope".to_vec(), None));
            client.bytes(2);
            assert_eq!(client.ask(GET).text(), "ok", "{way:?}");
        }
    }
    stand.is_quiet();
}

#[test]
fn an_endpoint_that_takes_none_is_not_asked() {
    let origin = StreamOrigin::answering(|_, _, to| respond(to, 200, "ok"));
    let stand = Stand::of(&before(&origin));
    for _ in 0..2 {
        for way in WAYS {
            assert_eq!(stand.ask(way, "/", &[]).status, 502, "{way:?}");
        }
    }
    assert!(origin.seen().paths.is_empty());
    stand.weir.counts("weir_upstream_errors_total", "protocol", 8);
    assert_eq!(stand.weir.client().ask(GET).text(), "ok", "requests go over the same connection");
    assert_eq!(origin.seen().connections, 1);
}

#[test]
fn what_is_no_websocket_stays_a_request() {
    let (origin, _heads, _ends) = echoing();
    let stand = Stand::of(&before(&origin));
    let usual = upgrade("/", &[]);
    for (what, request) in [
        ("another protocol", usual.replace("Upgrade: websocket", "Upgrade: other")),
        ("no key", usual.replace("Sec-WebSocket-Key", "X-Key")),
    ] {
        let answer = stand.weir.client().ask(request);
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{what}");
    }
}

#[test]
fn what_is_sent_right_behind_the_handshake_is_not_lost() {
    let (origin, _heads, _ends) = echoing();
    let stand = Stand::of(&before(&origin));
    let early = Frame::of_client(TEXT, "early").bytes();
    let mut client = stand.weir.client();
    client.send([upgrade("/", &[]).as_bytes(), &early].concat());
    assert_eq!(Socket::upgraded(client).open().take(early.len()).unwrap(), early);
    let mut client = H2Client::to(stand.weir.address());
    let mut stream = client.open(connect("http", "/", &[]), false);
    stream.send(&early);
    assert_eq!(Socket::connected(stream).open().take(early.len()).unwrap(), early);
}

#[test]
fn a_tunnel_of_one_side_goes_on_longer_than_a_client_may_be_half_closed() {
    // A request's client that is half-closed is given up after half a second; a tunnel's is not.
    let gate = Gate::default();
    let late = gate.clone();
    let origin = StreamOrigin::connecting(move |_, request, mut to| {
        let (gate, mut body) = (late.clone(), request.into_body());
        tokio::spawn(async move {
            let mut sending = to.send_response(Response::new(()), false).unwrap();
            while body.data().await.is_some() {}
            tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
            sending.send_data(Bytes::from_static(b"late"), true).unwrap();
        });
    });
    let stand = Stand::of(&before(&origin));
    for way in [Way::H1, Way::H1Tls] {
        let mut socket = stand.open(way);
        socket.finish();
        Gate::default().wait_at_most(std::time::Duration::from_millis(800));
        gate.open();
        assert_eq!(socket.take(4).unwrap(), b"late", "{way:?}");
        assert_eq!(socket.over(), Over::Ended, "{way:?}");
    }
}

#[test]
fn an_endpoint_with_a_choice_is_asked_over_http_1_1() {
    let authority = Authority::new("the backend's");
    let issued = authority.issue(&["origin.internal"]);
    let folder = Folder::of(&[("origin", &issued)]);
    let mut server = (*issued.server()).clone();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let origin = Origin::tls(&Arc::new(server), |peer| {
        assert_eq!(peer.session().alpn().as_deref(), Some("http/1.1"));
        let request = peer.request().unwrap();
        accept(peer, &request, "");
        while let Some(frame) = Frame::read(peer) {
            peer.put(&Frame { masked: false, ..frame }.bytes());
        }
    });
    std::fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    let ca = folder.path().join("ca.crt");
    let keys =
        format!("protocol: auto, tls: {{ ca_file: \"{}\", server_name: origin.internal }}", ca.display());
    let stand = Stand::of(&Setup::new().backend_with("stable", &[origin.address], &keys));
    for way in WAYS {
        assert_eq!(stand.open(way).echo("hello"), "hello", "{way:?}");
    }
}
