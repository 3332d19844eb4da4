//! HTTP/2 from clients: what reaches an origin, what comes back, and that streams do not get in each other's way.

use std::time::Duration;

use h2::{Reason, client::Builder};
use http::{Request, Response};

use crate::{
    support::{
        Gate, Origin, Peer, Setup, Weir,
        h2::{END_HEADERS, END_STREAM, Frame, H2Client, block, get, kind, next_of, post, raw},
        ok,
        origin::nobody,
        pattern,
        tls::Authority,
        weir::eventually,
    },
    tls::Folder,
};

/// More than all the buffers on the way hold: a stream's window, the sockets of the hop behind, and Weir's own.
const MORE_THAN_FITS: usize = 32 << 20;
/// Longer than a stuck write stays stuck when only the scheduler is slow.
const STUCK: Duration = Duration::from_millis(500);

/// The usual file with a listener in the clear for both versions.
fn both(origin: &Origin) -> Setup {
    Setup::before(origin).h2c("")
}

/// Answers whatever is asked with its method, target and body.
fn mirror(peer: &mut Peer) {
    while let Some(request) = peer.request() {
        let (method, _) = request.head.start.split_once(' ').unwrap();
        let body = [method.as_bytes(), b" ", request.target().as_bytes(), b" ", &request.body].concat();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        if method != "HEAD" {
            peer.send(body);
        }
    }
}

fn in_flight(weir: &Weir) -> u64 {
    weir.count("weir_requests_in_flight", "")
}

#[test]
fn requests_of_both_versions_come_to_the_same() {
    let origin = Origin::scripted(mirror);
    let weir = both(&origin).start();
    let mut h2 = H2Client::to(weir.address());
    assert_eq!(h2.ask(get("/a?b=%63")).text(), "GET /a?b=%63 ");
    assert_eq!(h2.ask_with(post("/a"), b"hello").text(), "POST /a hello");
    let mut h1 = weir.client();
    assert_eq!(h1.ask("GET /a?b=%63 HTTP/1.1\r\nHost: a\r\n\r\n").text(), "GET /a?b=%63 ");
    assert_eq!(
        h1.ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").text(),
        "POST /a hello"
    );
    weir.counts("weir_requests_total", "code=\"200\",method=\"GET\"", 2);
    weir.counts("weir_requests_total", "code=\"200\",method=\"POST\"", 2);
}

#[test]
fn in_tls_it_is_agreed_on_by_alpn() {
    let authority = Authority::new("the shop's");
    let issued = authority.issue(&["shop.example"]);
    let folder = Folder::of(&[("shop", &issued)]);
    let origin = Origin::scripted(mirror);
    let weir = Setup::before(&origin).listener(&folder.listener(&["shop"], "")).start();
    let mut client = H2Client::tls(weir.address(), &authority.client(), "shop.example");
    let request = || Request::get("https://shop.example/a").body(()).unwrap();
    assert_eq!(client.ask(request()).text(), "GET /a ");
    let seen = origin.only_request();
    assert_eq!((seen.get("host"), seen.get("x-forwarded-proto")), (Some("shop.example"), Some("https")));
    let large = pattern(1 << 20);
    let answer = client.ask_with(Request::put("https://shop.example/").body(()).unwrap(), &large);
    assert!(answer.body.ends_with(&large), "the body is another");
}

#[test]
fn a_listener_speaks_what_it_is_told_to() {
    let origin = Origin::named("ok");
    // Without `h2c` the preface is a request of a version that is not spoken.
    let weir = Weir::before(&origin);
    let mut client = raw(weir.address());
    assert_eq!(client.response().status, 505);
    let weir = Setup::before(&origin).listener("name: web, bind: \"127.0.0.1:0\", protocols: [h2c]").start();
    assert_eq!(weir.client().ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 505);
    assert_eq!(H2Client::to(weir.address()).ask(get("/")).text(), "ok");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn an_origin_sees_a_request_of_http_1_1() {
    let origin = Origin::scripted(mirror);
    let weir = both(&origin).start();
    let request = Request::get("http://shop.example:81/a")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-many", "one")
        .header("x-many", "two")
        .header("te", "trailers")
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-empty", "");
    H2Client::to(weir.address()).ask(request.body(()).unwrap());
    let seen = origin.only_request();
    assert_eq!(seen.head.start, "GET /a HTTP/1.1");
    assert_eq!(seen.get("host"), Some("shop.example:81"));
    assert_eq!(seen.get("cookie"), Some("a=1; b=2"), "crumbs are one field again (RFC 9113, section 8.2.3)");
    assert_eq!(seen.head.all("x-many"), ["one", "two"]);
    assert_eq!((seen.get("te"), seen.get("x-empty")), (Some("trailers"), Some("")));
    assert_eq!(seen.get("x-forwarded-for"), Some("127.0.0.1"), "nobody trusts this client");
    assert!(seen.has("x-request-id") && seen.has("traceparent"));
    for name in ["transfer-encoding", "content-length", "connection"] {
        assert!(!seen.has(name), "a GET without a body has no {name}");
    }
}

#[test]
fn a_client_sees_a_response_of_http_2() {
    let origin = Origin::answering(
        "HTTP/1.1 201 Created\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Case: Kept\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let weir = both(&origin).start();
    let answer = H2Client::to(weir.address()).ask(get("/"));
    assert_eq!((answer.status(), answer.text().as_str()), (201, "ok"));
    let cookies: Vec<_> = answer.head.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(answer.get("x-case"), Some("Kept"));
    assert!(answer.get("date").is_some());
    for name in ["connection", "x-hop", "keep-alive", "upgrade", "transfer-encoding"] {
        assert_eq!(answer.get(name), None);
    }
}

#[test]
fn bodies_of_any_length_arrive_whole_both_ways() {
    let origin = Origin::scripted(mirror);
    let weir = both(&origin).start();
    let mut client = H2Client::to(weir.address());
    for len in [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 3 << 20] {
        let body = pattern(len);
        for announced in [true, false] {
            let mut request = post("/");
            if announced {
                request.headers_mut().insert("content-length", len.into());
            }
            let answer = client.ask_with(request, &body);
            assert_eq!(
                answer.body.strip_prefix(b"POST / "),
                Some(&body[..]),
                "{len}, announced: {announced}"
            );
            let seen = origin.requests().pop().unwrap();
            assert!(seen.has("transfer-encoding") != announced, "{len}: {:?}", seen.head);
        }
    }
    assert_eq!(origin.seen().connections.len(), 1, "the connection behind was kept");
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::scripted(|peer| {
        peer.request();
        peer.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Sum: 8\r\n\r\n",
        );
    });
    let weir = both(&origin).start();
    let mut client = H2Client::to(weir.address());
    let mut stream = client.open(post("/"), false);
    stream.send(b"hello").send_trailers(&[("x-check", "1"), ("x-other", "2")]);
    let answer = stream.answer();
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["7", "8"]);
    let seen = origin.only_request();
    assert_eq!(seen.body, b"hello");
    let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(seen.trailers, [named("x-check", "1"), named("x-other", "2")]);
}

#[test]
fn responses_without_a_body_end_with_their_heads() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            let status = &request.target()[1..];
            let length = if status == "204" { "" } else { "Content-Length: 5\r\n" };
            let body = if status == "200" && request.head.start.starts_with("GET") { "hello" } else { "" };
            peer.send(format!("HTTP/1.1 {status} x\r\n{length}\r\n{body}"));
        }
    });
    let weir = both(&origin).start();
    let mut client = H2Client::to(weir.address());
    let head = Request::head("http://a/200").body(()).unwrap();
    for (request, status, length) in
        [(head, 200, Some("5")), (get("/204"), 204, None), (get("/304"), 304, Some("5"))]
    {
        let answer = client.ask(request);
        assert_eq!((answer.status(), answer.get("content-length")), (status, length));
        assert!(answer.body.is_empty(), "{status}");
    }
    assert_eq!(client.ask(get("/200")).text(), "hello", "what follows is not out of step");
    assert_eq!(origin.seen().connections.len(), 1);
}

#[test]
fn interim_responses_pass() {
    let origin = Origin::scripted(|peer| {
        let head = peer.head().unwrap();
        peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        peer.body(&head);
        peer.send(ok("ok"));
        peer.end();
    });
    let weir = both(&origin).start();
    let mut client = H2Client::to(weir.address());
    let mut request = post("/");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let mut stream = client.open(request, false);
    let status = |response: &Response<()>| response.status().as_u16();
    let hints = stream.interim();
    assert_eq!((status(&hints), hints.headers()["link"].as_bytes()), (103, &b"</a.css>"[..]));
    assert_eq!(status(&stream.interim()), 100);
    stream.send(b"hello").finish();
    assert_eq!(stream.answer().text(), "ok");
}

#[test]
fn a_hundred_streams_are_served_at_once() {
    let gate = Gate::default();
    let opens = gate.clone();
    let origin = Origin::scripted(move |peer| {
        while let Some(request) = peer.request() {
            if request.target() != "/settings" {
                opens.wait();
            }
            peer.send(ok(request.target()));
        }
    });
    let weir = both(&origin).start();
    let mut client = H2Client::to(weir.address());
    assert!(client.may_connect(), "extended CONNECT is offered (RFC 8441, section 3)");
    assert_eq!(client.most_streams(), 100);
    let mut streams: Vec<_> = (0..100).map(|number| client.open(get(&format!("/{number}")), true)).collect();
    origin.wait("all of them", |seen| seen.requests().count() == 101);
    gate.open();
    // Answers come in an order of their own.
    for (number, stream) in streams.iter_mut().enumerate().rev() {
        assert_eq!(stream.answer().text(), format!("/{number}"));
    }
    eventually("nothing in flight", || (in_flight(&weir) == 0).then_some(()));
    assert_eq!(weir.count("weir_connections", "listener=\"web\""), 1);
}

#[test]
fn a_stream_that_is_not_read_holds_up_no_other() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/endless" {
                peer.send("HTTP/1.1 200 OK\r\n\r\n");
                while peer.send([b'x'; 65_536]) {}
                peer.end();
                return;
            }
            peer.send(ok("ok"));
        }
    });
    let weir = both(&origin).start();
    // The windows are the client's: one stream may not use up the connection's.
    let mut builder = Builder::new();
    builder.initial_window_size(65_535).initial_connection_window_size(1 << 20);
    let mut client = H2Client::with(weir.address(), &mut builder);
    let mut endless: Vec<_> = (0..8).map(|_| client.open(get("/endless"), true)).collect();
    let mut held = 0;
    for stream in &mut endless {
        assert_eq!(stream.head().status(), 200);
        let mut kept = 0;
        while kept < 65_535 {
            kept += stream.data_and_keep_window().unwrap().len();
        }
        assert_eq!(kept, 65_535, "no more than the window");
        held += kept;
    }
    assert!(held > 500_000);
    for _ in 0..50 {
        assert_eq!(client.ask(get("/")).text(), "ok");
    }
    // Whoever reads on gets more.
    endless[3].release(65_535);
    assert!(!endless[3].data().unwrap().is_empty());
    endless.into_iter().for_each(|stream| stream.reset(Reason::CANCEL));
    origin.wait("the end of all", |seen| {
        seen.connections.iter().filter(|connection| connection.end.is_some()).count() == 8
    });
}

#[test]
fn an_origin_that_does_not_read_slows_its_stream_and_no_other() {
    let read_on = Gate::default();
    let gate = read_on.clone();
    let origin = Origin::scripted(move |peer| {
        while let Some(head) = peer.head() {
            if head.start.starts_with("PUT") {
                gate.wait();
                let mut left = MORE_THAN_FITS;
                while left > 0 {
                    left -= peer.bytes(left.min(1 << 20)).unwrap().len();
                    peer.forget_bytes();
                }
            }
            peer.send(ok("ok"));
        }
    });
    let weir = both(&origin).start();
    let mut client = H2Client::to(weir.address());
    let put = Request::put("http://a/").header("content-length", MORE_THAN_FITS);
    let mut slow = client.open(put.body(()).unwrap(), false);
    let sent = slow.send_until_stuck(MORE_THAN_FITS, STUCK);
    assert!(sent < MORE_THAN_FITS, "all of it went somewhere");
    for _ in 0..50 {
        assert_eq!(client.ask(get("/")).text(), "ok");
    }
    read_on.open();
    slow.send(&vec![b'x'; MORE_THAN_FITS - sent]).finish();
    assert_eq!(slow.answer().text(), "ok");
}

#[test]
fn bodies_that_nobody_wants_give_their_room_back() {
    // More in all than the connection's window of 1 MiB.
    const TIMES: usize = 40;
    let origin = Origin::named("ok");
    let route = "name: some, match: { path: { prefix: /served } }, backend: stable";
    let weir = both(&origin).route(route).start();
    let mut client = H2Client::to(weir.address());
    for round in 0..TIMES {
        let mut stream = client.open(post("/nowhere"), false);
        // The stream may be over before all of it was sent.
        stream.try_send(&pattern(60_000));
        assert_eq!(stream.head().status(), 404, "{round}");
    }
    assert_eq!(client.ask_with(post("/served"), &pattern(1 << 20)).text(), "ok");
    assert_eq!(origin.only_request().body.len(), 1 << 20);
}

#[test]
fn an_early_answer_ends_its_stream_without_an_error() {
    let origin = Origin::scripted(|peer| {
        peer.head();
        peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
        peer.end();
    });
    let weir = both(&origin).start();
    let mut client = H2Client::to(weir.address());
    for _ in 0..5 {
        let mut stream = client.open(post("/"), false);
        // The answer may be there before it.
        stream.try_send(b"the first of many");
        let answer = stream.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (413, "no"));
        assert_eq!(stream.reset_reason(), Reason::NO_ERROR, "RFC 9113, section 8.1");
    }
    assert_eq!(client.ask(get("/")).status(), 413, "the connection is as good as before");
}

#[test]
fn a_stream_that_is_reset_is_cancelled_behind() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            match request.target() {
                "/never" => drop(peer.end()),
                "/begins" => {
                    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
                    peer.end();
                }
                _ => drop(peer.send(ok("ok"))),
            }
        }
    });
    let weir = both(&origin).start();
    let mut client = H2Client::to(weir.address());
    let ended = |count: usize| {
        origin.wait("the end behind", |seen| {
            seen.connections.iter().filter(|connection| connection.end.is_some()).count() == count
        });
    };
    let never = client.open(get("/never"), true);
    origin.wait("the request", |seen| seen.requests().count() == 1);
    never.reset(Reason::CANCEL);
    ended(1);
    let mut begun = client.open(get("/begins"), true);
    begun.head();
    assert_eq!(begun.data().unwrap(), "hello");
    begun.reset(Reason::CANCEL);
    ended(2);
    let mut sending = client.open(post("/never"), false);
    sending.send(b"hello");
    origin.wait("the body", |seen| seen.text().contains("hello"));
    sending.reset(Reason::CANCEL);
    ended(3);
    assert_eq!(client.ask(get("/")).text(), "ok");
    weir.counts("weir_upstream_errors_total", "aborted_by_client", 3);
    eventually("nothing in flight", || (in_flight(&weir) == 0).then_some(()));
}

#[test]
fn a_client_that_is_gone_cancels_all_its_streams() {
    let origin = Origin::scripted(|peer| {
        peer.request();
        peer.end();
    });
    let weir = both(&origin).start();
    let mut client = H2Client::to(weir.address());
    let streams: Vec<_> = (0..10).map(|_| client.open(get("/"), true)).collect();
    origin.wait("all requests", |seen| seen.requests().count() == 10);
    client.vanish();
    drop(streams);
    origin.wait("the end of all", |seen| seen.connections.iter().all(|connection| connection.end.is_some()));
    eventually("no connection", || (weir.count("weir_connections", "listener=\"web\"") == 0).then_some(()));
    weir.counts("weir_upstream_errors_total", "aborted_by_client", 10);
}

#[test]
fn failures_are_answers_or_resets_of_their_stream_alone() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            let broken = match request.target() {
                "/garbage" => "garbage\r\n\r\n",
                "/cut" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
                "/cut-chunk" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                _ => {
                    peer.send(ok("ok"));
                    continue;
                }
            };
            peer.send(broken);
            return;
        }
    });
    let weir = both(&origin)
        .backend("dead", &[nobody()])
        .route("name: dead, match: { path: { prefix: /dead } }, backend: dead")
        .route("name: all, backend: stable")
        .start();
    let mut client = H2Client::to(weir.address());
    let mut other = client.open(post("/other"), false);
    for path in ["/dead", "/garbage"] {
        let answer = client.ask(get(path));
        assert_eq!(answer.status(), 502, "{path}");
        assert!(!answer.body.is_empty() && answer.get("content-type").is_some(), "{path}");
    }
    for path in ["/cut", "/cut-chunk"] {
        // The reset may overtake the head.
        assert_eq!(client.open(get(path), true).broken(), Some(Reason::INTERNAL_ERROR), "{path}");
    }
    other.send(b"hello").finish();
    assert_eq!(other.answer().text(), "ok");
}

#[test]
fn frames_of_a_stream_may_come_in_any_pieces() {
    let origin = Origin::scripted(mirror);
    let weir = both(&origin).start();
    let mut client = raw(weir.address());
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/a"), (":authority", "a")];
    let block = block(&fields);
    let (first, rest) = block.split_at(5);
    let (second, third) = rest.split_at(9);
    for frame in [
        Frame::new(kind::HEADERS, 0, 1, first),
        Frame::new(kind::CONTINUATION, 0, 1, second),
        Frame::new(kind::CONTINUATION, END_HEADERS, 1, third),
        Frame::new(kind::DATA, 0, 1, "he"),
        Frame::new(kind::DATA, 0, 1, ""),
        // With padding (RFC 9113, section 6.1).
        Frame::new(kind::DATA, 8, 1, b"\x03llo\0\0\0"),
        Frame::new(kind::DATA, END_STREAM, 1, ""),
    ] {
        // Byte by byte, so that no read has a whole frame.
        for byte in frame.bytes() {
            client.send([byte]);
        }
    }
    let data = next_of(&mut client, kind::DATA);
    assert_eq!((data.stream, &data.payload[..]), (1, &b"POST /a hello"[..]));
}
