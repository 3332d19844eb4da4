//! Responses of every framing, to clients of both versions.

use crate::support::{Broken, End, GET, Gate, Origin, Weir, ok, pattern};

const GET_1_0: &str = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn every_framing_reaches_either_version() {
    let chunks =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    for (name, response, once) in [
        ("a length", ok("hello world"), false),
        ("chunks", chunks.to_owned(), false),
        ("until close", "HTTP/1.1 200 OK\r\n\r\nhello world".to_owned(), true),
        ("until close, 1.0", "HTTP/1.0 200 OK\r\n\r\nhello world".to_owned(), true),
        ("bare LF", "HTTP/1.1 200 OK\nContent-Length: 11\n\nhello world".to_owned(), false),
        ("no reason", "HTTP/1.1 200\r\nContent-Length: 11\r\n\r\nhello world".to_owned(), false),
    ] {
        let origin = if once { Origin::answering_once(response) } else { Origin::answering(response) };
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        for _ in 0..2 {
            let answer = client.ask(GET);
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello world"), "{name}");
        }
        let mut old = weir.client();
        let answer = old.ask(GET_1_0);
        assert_eq!(answer.text(), "hello world", "{name}");
        assert!(!answer.head.has("transfer-encoding"), "{name}: chunks for HTTP/1.0");
        assert_eq!(answer.get("connection"), Some("close"), "{name}");
        assert_eq!(old.end(), End::Closed, "{name}");
    }
}

#[test]
fn responses_without_a_body_end_at_their_head() {
    for (request, response) in [
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
        (GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n"),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let origin = Origin::answering(response);
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        for _ in 0..2 {
            client.send(request);
            let answer = if request == HEAD { client.response_to_head() } else { client.response() };
            assert_eq!(answer.body, b"", "{response:?}");
            let length = response.contains("1000").then_some("1000");
            if length.is_some() {
                assert_eq!(answer.get("content-length"), length, "{response:?}");
            }
        }
        assert_eq!(origin.seen().connections.len(), 1, "{response:?}");
    }
}

#[test]
fn a_204_has_no_length() {
    let origin = Origin::answering("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    assert!(!client.ask(GET).head.has("content-length"));
    assert!(!client.ask(GET).head.has("content-length"));
}

#[test]
fn a_body_after_a_response_that_has_none_is_nobodys_answer() {
    for (request, response) in [
        (HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nHTTP/1.1 200 Stolen"),
        (GET, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 Stolen\r\nContent-Length: 0\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 Stolen\r\nContent-Length: 0\r\n\r\n"),
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 Stolen\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 Stolen\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        let origin = Origin::answering(response);
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        for _ in 0..3 {
            client.send(request);
            let answer = if request == HEAD { client.response_to_head() } else { client.response() };
            assert!(!answer.head.start.contains("Stolen"), "{response:?}");
        }
        assert_eq!(origin.seen().connections.len(), 3, "the connection was used again after {response:?}");
    }
}

#[test]
fn what_an_idle_upstream_says_is_nobodys_answer() {
    let late = Gate::default();
    let said = Gate::default();
    let (gate, done) = (late.clone(), said.clone());
    let origin = Origin::scripted(move |peer| {
        peer.request();
        peer.send(ok("mine"));
        if peer.number == 0 {
            gate.wait();
            peer.send("HTTP/1.1 200 Stolen\r\nContent-Length: 6\r\n\r\nstolen");
            done.open();
        }
        while peer.request().is_some() {
            peer.send(ok("mine"));
        }
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    assert_eq!(client.ask(GET).text(), "mine");
    late.open();
    said.wait();
    // The worker learns of it with the same poll of the kernel that brings the next request, at the latest.
    assert_eq!(client.ask(GET).text(), "mine");
    assert_eq!(origin.seen().connections.len(), 2);
}

#[test]
fn trailers_follow_a_chunked_body() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\
         Set-Cookie: a=b\r\nContent-Length: 7\r\n\r\n",
    );
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    for _ in 0..2 {
        let answer = client.ask(GET);
        assert_eq!(answer.text(), "ok");
        assert_eq!(answer.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
    }
    assert_eq!(weir.client().ask(GET_1_0).text(), "ok");
}

#[test]
fn large_bodies_arrive_whole_in_every_framing() {
    let body = pattern(3 << 20);
    let with_length =
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for (at, piece) in body.chunks(70_001).enumerate() {
        // A few chunks of one byte, so that sizes of all lengths appear.
        let (first, rest) = piece.split_at(1 + at % 3);
        for part in [first, rest] {
            chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            chunked.extend_from_slice(part);
            chunked.extend_from_slice(b"\r\n");
        }
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let until_close = [b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat();
    for (name, response, once) in
        [("length", with_length, false), ("chunked", chunked, false), ("until close", until_close, true)]
    {
        let origin = if once { Origin::answering_once(response) } else { Origin::answering(response) };
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        for _ in 0..2 {
            assert!(client.ask(GET).body == body, "{name}: the body is another");
        }
        assert!(weir.client().ask(GET_1_0).body == body, "{name}: the body is another for HTTP/1.0");
    }
}

#[test]
fn interim_responses_are_passed_on_to_http_1_1_only() {
    let origin = Origin::answering(format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\nX: y\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\n\r\n{}",
        ok("done")
    ));
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    for _ in 0..2 {
        // It asked for no 100.
        let hints = client.ask(GET);
        assert_eq!((hints.status, hints.get("link")), (103, Some("</a.css>")));
        assert!(!hints.head.has("x") && !hints.head.has("connection"));
        assert_eq!(client.response().status, 103);
        assert_eq!(client.response().text(), "done");
    }
    assert_eq!(weir.client().ask(GET_1_0).text(), "done");
}

#[test]
fn many_and_large_interim_responses_are_bounded() {
    let large = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(40_000));
    let origin = Origin::answering(large.repeat(10) + &ok("done"));
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(GET);
    for _ in 0..10 {
        assert_eq!(client.response().status, 103);
    }
    assert_eq!(client.response().text(), "done");

    let endless = Origin::scripted(|peer| {
        peer.request();
        while peer.send("HTTP/1.1 102 Processing\r\n\r\n") {}
    });
    let weir = Weir::before(&endless);
    assert_eq!(weir.client().ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").status, 502);
    let mut client = weir.client();
    client.send(GET);
    let last = std::iter::repeat_with(|| client.response().status).find(|status| *status != 102);
    assert_eq!(last, Some(502));
}

#[test]
fn a_protocol_switch_that_nobody_asked_for_is_an_error() {
    let origin =
        Origin::answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
    let weir = Weir::before(&origin);
    assert_eq!(weir.client().ask(GET).status, 502);
}

#[test]
fn chunks_go_on_as_they_come() {
    let more = Gate::default();
    let gate = more.clone();
    let origin = Origin::scripted(move |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        peer.send("6\r\ndata:1\r\n");
        gate.wait();
        peer.send("6\r\ndata:2\r\n0\r\n\r\n");
        peer.end();
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(GET);
    assert_eq!(client.response_head().0, 200);
    assert_eq!(client.chunk().as_deref(), Some(&b"data:1"[..]));
    more.open();
    assert_eq!(client.chunk().as_deref(), Some(&b"data:2"[..]));
    assert_eq!(client.chunk(), None);
}

#[test]
fn a_head_arrives_before_its_body() {
    let more = Gate::default();
    let gate = more.clone();
    let origin = Origin::scripted(move |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        gate.wait();
        peer.send("ok");
        peer.end();
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(GET);
    assert_eq!(client.response_head().0, 200);
    more.open();
    assert_eq!(client.bytes(2), b"ok");
}

#[test]
fn a_truncated_response_is_seen_to_be_truncated() {
    let body = "x".repeat(5000);
    for (name, response) in [
        ("length", format!("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{body}")),
        ("chunk", format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n{body}")),
        (
            "between chunks",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{body}\r\n"),
        ),
        (
            "last chunk",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{body}\r\n0\r\n"),
        ),
    ] {
        let origin = Origin::answering_once(response);
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        client.send(GET);
        match client.try_response() {
            Err(Broken::Ended(_, part)) => assert!(part.len() >= 5000, "{name}: {} bytes", part.len()),
            other => panic!("{name}: {other:?}"),
        }
        // Without lengths of its own, HTTP/1.0 sees it by the reset.
        let mut old = weir.client();
        old.send(GET_1_0);
        match old.try_response() {
            Err(Broken::Ended(end, _)) => assert!(end == End::Reset || name == "length", "{name}: {end:?}"),
            other => panic!("{name}: HTTP/1.0 took {other:?} for whole"),
        }
    }
}

#[test]
fn malformed_chunks_are_no_end() {
    for bad in ["oops", "\r\nx\r\n", "\n0\r\n\r\n", "\r\n0\r\nno trailer\r\n\r\n"] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok";
        // In one piece with the head nothing is lost yet, and the client can be told.
        let origin = Origin::answering_once(format!("{head}{bad}"));
        assert_eq!(Weir::before(&origin).client().ask(GET).status, 502, "{bad:?}");

        let shown = Gate::default();
        let gate = shown.clone();
        let origin = Origin::scripted(move |peer| {
            peer.request();
            peer.send(head);
            gate.wait();
            peer.send(bad);
            peer.end();
        });
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        client.send(GET);
        client.response_head();
        assert_eq!(client.chunk().as_deref(), Some(&b"ok"[..]));
        shown.open();
        assert_eq!(client.everything().0, "", "{bad:?}");
    }
}

#[test]
fn a_reset_within_a_response_that_ends_with_its_connection_is_no_clean_end() {
    let shown = Gate::default();
    let gate = shown.clone();
    let origin = Origin::scripted(move |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\nhello");
        gate.wait();
        peer.reset();
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(GET);
    client.response_head();
    assert_eq!(client.chunk().as_deref(), Some(&b"hello"[..]));
    shown.open();
    let (rest, _) = client.everything();
    assert!(!rest.contains('0'), "a last chunk after a reset: {rest:?}");
}
