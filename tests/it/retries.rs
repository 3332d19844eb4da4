//! Pooled connections that the origin has given up: what is sent again, and what never is.

use crate::support::{GET, Gate, Origin, Setup, Weir, ok, origin::nobody};

/// An origin whose first connection answers one request and then, when the next one is there, ends without an answer; the
/// worst case of a stale connection. All others answer.
fn stale(reset: bool) -> Origin {
    Origin::scripted(move |peer| {
        peer.request();
        peer.send(ok("first"));
        while peer.request().is_some() {
            if peer.number == 0 {
                if reset {
                    peer.reset();
                }
                return;
            }
            peer.send(ok("again"));
        }
    })
}

#[test]
fn what_is_idempotent_is_sent_again() {
    for reset in [false, true] {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"] {
            let origin = stale(reset);
            let weir = Weir::before(&origin);
            let mut client = weir.client();
            client.ask(GET);
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            let answer = if method == "HEAD" { client.response_to_head() } else { client.response() };
            assert_eq!(answer.status, 200, "{method}");
            assert_eq!(origin.requests().len(), 3, "{method}");
            assert_eq!(weir.retries(), 1, "{method}");
        }
    }
}

#[test]
fn what_may_have_been_seen_and_is_not_idempotent_is_never_sent_again() {
    for reset in [false, true] {
        for method in ["POST", "PATCH", "LOCK", "get"] {
            let origin = stale(reset);
            let weir = Weir::before(&origin);
            let mut client = weir.client();
            client.ask(GET);
            let answer = client.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
            assert_eq!(answer.status, 502, "{method}");
            let seen = origin.seen().text().matches(&format!("{method} / ")).count();
            assert_eq!(seen - usize::from(method == "GET"), 1, "{method}");
        }
    }
}

#[test]
fn a_body_is_sent_again_only_when_all_of_it_is_at_hand() {
    let put = |len: usize| format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
    let origin = stale(false);
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.ask(GET);
    assert_eq!(client.ask(put(5) + "hello").status, 200);
    assert_eq!(weir.retries(), 1);
    assert_eq!(origin.requests().last().unwrap().body, b"hello");

    // Too large to be at hand: the first connection dies in the middle of it.
    let origin = Origin::scripted(|peer| {
        peer.request();
        peer.send(ok("first"));
        if peer.number == 0 {
            peer.head();
            peer.bytes(100_000);
        } else {
            peer.request();
        }
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.ask(GET);
    client.try_send(put(1_000_000));
    client.try_send("x".repeat(1_000_000));
    assert_eq!(client.response().status, 502);
    assert_eq!(origin.seen().text().matches("PUT / ").count(), 1);
}

#[test]
fn a_connection_that_is_known_to_be_closed_is_not_used() {
    let closed = Gate::default();
    let gate = closed.clone();
    let origin = Origin::scripted(move |peer| {
        peer.request();
        peer.send(ok("ok"));
        if peer.number == 0 {
            peer.close();
            gate.open();
        }
        peer.end();
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.ask(GET);
    closed.wait();
    let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(answer.text(), "ok", "even a POST, because none of it was written");
    assert_eq!(weir.retries(), 0);
}

#[test]
fn an_idle_upstream_connection_ages_out() {
    let origin = Origin::named("ok");
    let weir = Setup::new().backend_with("stable", &[origin.address], "idle_timeout: 50ms").start();
    weir.client().ask(GET);
    origin.wait("the end of the idle connection", |seen| seen.connections[0].end.is_some());
    assert_eq!(weir.client().ask(GET).text(), "ok");
    assert_eq!(weir.retries(), 0);
}

#[test]
fn a_connection_that_carried_a_long_response_is_fresh_afterwards() {
    let origin = Origin::scripted(|peer| {
        let gate = Gate::default();
        while let Some(request) = peer.request() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
            if request.target() == "/long" {
                // Longer than the idle timeout.
                gate.wait_at_most(std::time::Duration::from_millis(400));
            }
            peer.send("ok");
        }
    });
    let weir = Setup::new().backend_with("stable", &[origin.address], "idle_timeout: 300ms").start();
    let mut client = weir.client();
    client.ask("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    client.ask(GET);
    assert_eq!(origin.seen().connections.len(), 1);
}

#[test]
fn an_endpoint_that_is_down_costs_the_others_no_new_connections() {
    let origin = Origin::named("ok");
    let weir = Setup::new().backend("stable", &[nobody(), origin.address]).start();
    let mut client = weir.client();
    for _ in 0..40 {
        assert_eq!(client.ask(GET).text(), "ok");
    }
    assert!(weir.retries() > 0, "the endpoint that is down was drawn");
    assert_eq!(origin.seen().connections.len(), 1, "and the other's pooled connection was used");
}
