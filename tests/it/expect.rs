//! `Expect: 100-continue`: whoever has the say, nobody waits for ever.

use crate::support::{Gate, Origin, Weir, ok};

const EXPECT: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn an_origin_that_says_continue_is_believed() {
    let origin = Origin::scripted(|peer| {
        while let Some(head) = peer.head() {
            assert_eq!(head.get("expect"), Some("100-continue"));
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            let body = peer.body(&head).unwrap().0;
            peer.send(ok(std::str::from_utf8(&body).unwrap()));
        }
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    for _ in 0..3 {
        assert_eq!(client.ask(EXPECT).status, 100);
        assert_eq!(client.ask("hello").text(), "hello");
    }
    assert_eq!(origin.seen().connections.len(), 1);
}

#[test]
fn an_origin_that_ignores_the_expectation_is_no_deadlock() {
    let origin = Origin::named("ok");
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    for _ in 0..2 {
        assert_eq!(client.ask(EXPECT).status, 100, "Weir says it in the end");
        assert_eq!(client.ask("hello").text(), "ok");
    }
    assert!(origin.requests().iter().all(|request| request.body == b"hello"));
}

#[test]
fn a_100_that_comes_after_weirs_own_is_dropped() {
    let told = Gate::default();
    let gate = told.clone();
    let origin = Origin::scripted(move |peer| {
        let head = peer.head().unwrap();
        gate.wait();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        peer.body(&head);
        peer.send(ok("ok"));
        peer.end();
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    assert_eq!(client.ask(EXPECT).status, 100);
    told.open();
    assert_eq!(client.ask("hello").text(), "ok");
}

#[test]
fn a_refusal_comes_before_the_body() {
    for status in ["417 Expectation Failed", "401 Unauthorized", "413 Content Too Large"] {
        let origin = Origin::scripted(move |peer| {
            peer.head();
            peer.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
            peer.end();
        });
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        let answer = client.ask(EXPECT);
        assert_eq!(answer.status.to_string(), status[..3]);
        // The client may send the body or not; so this connection can carry no other request.
        assert_eq!(answer.get("connection"), Some("close"));
        assert!(client.half_close().ends_here());
        let seen = origin.wait("the end", |seen| seen.connections[0].end.is_some());
        assert!(!seen.text().contains("hello"));
    }
}

#[test]
fn a_client_that_does_not_wait_gets_its_answer() {
    let origin = Origin::named("ok");
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    for _ in 0..2 {
        assert_eq!(client.ask(format!("{EXPECT}hello")).text(), "ok");
    }
    // No body, nothing to wait for; HTTP/1.0 knows no interim responses.
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n").text(), "ok");
    assert!(!origin.requests().last().unwrap().has("expect"));
    let old = "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello";
    assert_eq!(weir.client().ask(old).text(), "ok");
}

#[test]
fn a_client_whose_body_comes_in_chunks_may_wait_too() {
    let origin = Origin::named("ok");
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(client.ask(head).status, 100);
        assert_eq!(client.ask("5\r\nhello\r\n0\r\n\r\n").text(), "ok");
    }
}
