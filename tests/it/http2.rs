//! HTTP/2 from clients: what reaches an origin, and what comes back.

use http::{Request, Response};

use crate::{
    support::{
        Origin, Peer, Setup, Weir,
        h2::{END_HEADERS, END_STREAM, Frame, H2Client, block, get, kind, next_of, post, raw},
        ok, pattern,
        tls::Authority,
    },
    tls::Folder,
};

/// The usual file with a listener in the clear for both versions.
pub(crate) fn both(origin: &Origin) -> Setup {
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
            let chunked = len > 0 && !announced;
            assert_eq!(seen.has("transfer-encoding"), chunked, "{len}: {:?}", seen.head);
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
