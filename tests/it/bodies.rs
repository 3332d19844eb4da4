//! What a route says of request bodies: how large they may be, and how slow.

use bytes::Bytes;
use tokio::{net::TcpStream, runtime::Builder};

use crate::support::{
    Client, Gate, Origin, Setup, ok, pattern,
    streams::{StreamOrigin, ask, respond},
};

const H2C: &str = "name: web, bind: \"127.0.0.1:0\", protocols: [h2c, http/1.1]";

#[test]
fn a_body_that_is_told_too_large_goes_nowhere() {
    let origin = Origin::named("stable");
    let weir = Setup::before(&origin).route("name: all, backend: stable, max_body: 8B").start();
    let mut client = weir.client();
    for _ in 0..2 {
        let response = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n12345678");
        assert_eq!((response.status, response.text().as_str()), (200, "stable"));
    }
    for rest in ["Content-Length: 9\r\n\r\n123456789", "Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"] {
        let mut client = weir.client();
        let response = client.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}"));
        assert_eq!(response.status, 413, "{rest}");
        assert_eq!(response.get("connection"), Some("close"));
        client.half_close();
        assert!(client.ends_here());
    }
    weir.counts("weir_policy_responses_total", "policy=\"max_body\"", 2);
    weir.counts("weir_requests_total", "", 2);
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn chunks_are_counted_as_they_come() {
    let origin = Origin::named("stable");
    let weir = Setup::before(&origin).route("name: all, backend: stable, max_body: 8B").start();
    let chunked =
        |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let mut client = weir.client();
    for body in ["4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n", "8\r\n12345678\r\n0\r\n\r\n"] {
        assert_eq!(client.ask(chunked(body)).status, 200, "{body}");
    }
    // The chunk is announced, and nothing of it has come.
    let mut announced = weir.client();
    assert_eq!(announced.ask(chunked("9\r\n")).status, 413);
    assert!(!origin.seen().text().contains("\r\n9\r\n"));
    let mut client = weir.client();
    client.send(chunked("4\r\n1234\r\n"));
    origin.wait("the first chunk", |seen| seen.text().ends_with("4\r\n1234\r\n"));
    let response = client.ask("5\r\n56789\r\n0\r\n\r\n");
    assert_eq!((response.status, response.get("connection")), (413, Some("close")));
    let seen = origin.wait("its end", |seen| seen.connections.iter().all(|one| one.end.is_some()));
    assert!(!seen.text().contains("56789"));
    weir.counts("weir_policy_responses_total", "policy=\"max_body\"", 2);
    weir.counts("weir_requests_total", "code=\"413\"", 2);
    assert_eq!(weir.count("weir_upstream_errors_total", ""), 0);
}

#[test]
fn a_large_body_that_may_be_is_whole() {
    let origin = Origin::answering(ok("well"));
    let weir = Setup::before(&origin).route("name: all, backend: stable, max_body: 300000").start();
    let body = pattern(300_000);
    let mut client = weir.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n");
    client.send(&body).send(b"\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "well");
    assert_eq!(origin.only_request().body, body);
}

#[test]
fn streams_have_the_same_limit() {
    let stable = StreamOrigin::answering(|_, request, to| {
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.data().await {}
            respond(to, 200, "stable");
        });
    });
    let origin = Origin::named("stable");
    for (address, protocol) in [(stable.address, "protocol: h2c"), (origin.address, "protocol: http/1.1")] {
        let weir = Setup::new()
            .listener(H2C)
            .backend_with("stable", &[address], protocol)
            .route("name: all, backend: stable, max_body: 8B")
            .start();
        let post = |content_type: &str, length: Option<&str>| {
            let mut request = http::Request::post("http://a/").header("content-type", content_type);
            if let Some(length) = length {
                request = request.header("content-length", length);
            }
            request.body(()).unwrap()
        };
        let (head, body) = ask(weir.address(), post("text/plain", None), &[b"1234", b"5678"]);
        assert_eq!((head.status().as_u16(), body.as_slice()), (200, &b"stable"[..]));
        for length in [None, Some("9")] {
            let (head, body) = ask(weir.address(), post("text/plain", length), &[b"1234", b"56789"]);
            assert_eq!(head.status().as_u16(), 413, "{protocol} {length:?}");
            assert!(!body.is_empty());
            let (head, body) = ask(weir.address(), post("application/grpc", length), &[b"1234", b"56789"]);
            assert_eq!((head.status().as_u16(), body.len()), (200, 0));
            assert_eq!(head.headers()["grpc-status"], "8", "RESOURCE_EXHAUSTED");
        }
        weir.counts("weir_policy_responses_total", "policy=\"max_body\"", 4);
    }
    // An HTTP/1.1 client before an HTTP/2 endpoint.
    let weir = Setup::new()
        .backend_with("stable", &[stable.address], "protocol: h2c")
        .route("name: all, backend: stable, max_body: 8B")
        .start();
    let chunks = "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n4\r\n6789\r\n0\r\n\r\n";
    assert_eq!(weir.client().ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{chunks}")).status, 413);
}

/// A route that wants much, soon.
const FAST: &str = "name: all, backend: stable, min_body_rate: { per_second: 1GiB, grace: 20ms }";

/// Asks with a body that never comes, and waits until that is too slow.
fn be_slow(client: &mut Client) {
    let response = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234");
    assert_eq!((response.status, response.get("connection")), (408, Some("close")));
    assert!(response.text().contains("too slowly"));
}

#[test]
fn a_slow_body_is_given_up() {
    let origin = Origin::named("stable");
    let weir = Setup::before(&origin).route(FAST).start();
    let mut client = weir.client();
    be_slow(&mut client);
    client.half_close();
    assert!(client.ends_here());
    let mut chunked = weir.client();
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n";
    assert_eq!(chunked.ask(request).status, 408);
    origin.wait("both ends", |seen| {
        seen.connections.len() == 2 && seen.connections.iter().all(|one| one.end.is_some())
    });
    weir.counts("weir_policy_responses_total", "policy=\"min_body_rate\"", 2);
    weir.counts("weir_requests_total", "code=\"408\"", 2);
    assert_eq!(weir.count("weir_upstream_errors_total", ""), 0);
    assert_eq!(
        weir.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status,
        200,
        "there is no body to wait for"
    );
}

#[test]
fn a_slow_endpoint_is_not_the_clients_fault() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::scripted(move |peer| {
        let Some(head) = peer.head() else { return };
        if head.start.contains("/late") {
            opened.wait();
        }
        if peer.body(&head).is_some() {
            peer.send(ok("well"));
        }
    });
    let weir = Setup::before(&origin).route(FAST).start();
    let mut late = weir.client();
    late.send("POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789");
    be_slow(&mut weir.client());
    gate.open();
    assert_eq!(late.response().text(), "well");
}

#[test]
fn who_talks_both_ways_sets_the_pace() {
    let origin = Origin::scripted(|peer| {
        let Some(head) = peer.head() else { return };
        let begun = match () {
            () if head.has("upgrade") => {
                "101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket"
            }
            () if head.start.contains("/talk") => "200 OK\r\nContent-Length: 4",
            () => return drop(peer.body(&head)),
        };
        peer.send(format!("HTTP/1.1 {begun}\r\n\r\n"));
        if let Some(bytes) = peer.bytes(4) {
            peer.send(bytes);
        }
    });
    // The response must begin before the grace is over.
    let weir = Setup::before(&origin).route(&FAST.replace("20ms", "1s")).start();
    let mut socket = weir.client();
    socket.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(socket.response_head().0, 101);
    let mut talk = weir.client();
    talk.send("POST /talk HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(talk.response_head().0, 200);
    be_slow(&mut weir.client());
    assert_eq!(socket.send("ping").bytes(4), b"ping");
    assert_eq!(talk.send("pong").bytes(4), b"pong");
}

#[test]
fn a_slow_stream_is_given_up_and_a_call_is_not() {
    let origin = StreamOrigin::answering(|_, request, to| {
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.data().await {}
            respond(to, 200, "well");
        });
    });
    let weir = Setup::new()
        .listener(H2C)
        .backend_with("stable", &[origin.address], "protocol: h2c")
        .route(FAST)
        .start();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(weir.address()).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let post = |content_type: &str| {
            http::Request::post("http://a/").header("content-type", content_type).body(()).unwrap()
        };
        let (call, mut saying) = sender.send_request(post("application/grpc"), false).unwrap();
        let (plain, _silent) = sender.send_request(post("text/plain"), false).unwrap();
        assert_eq!(plain.await.unwrap().status(), 408);
        saying.send_data(Bytes::new(), true).unwrap();
        assert_eq!(call.await.unwrap().status(), 200);
    });
    weir.counts("weir_policy_responses_total", "policy=\"min_body_rate\"", 1);
}
