//! Clients that leave: their work upstream is cancelled, and those that only finished sending still get their answer.

use std::time::Duration;

use crate::support::{
    GET, Gate, Origin, Peer, Setup, Weir, ok,
    weir::{eventually, now},
};

/// How soon the origin must see that nobody waits any more.
const SOON: Duration = Duration::from_secs(1);

/// Waits until the origin sees the connection's end, and until Weir counts nothing as in flight.
fn is_cancelled(origin: &Origin, weir: &Weir, what: &str) {
    let began = now();
    origin.wait(what, |seen| seen.connections.iter().any(|connection| connection.end.is_some()));
    // A machine that is busy with other tests is given a little more.
    assert!(began.elapsed() < 2 * SOON, "{what}: only after {:?}", began.elapsed());
    eventually(what, || (weir.count("weir_requests_in_flight", "") == 0).then_some(()));
}

fn waiting_forever(peer: &mut Peer) {
    peer.request();
    peer.end();
}

#[test]
fn leaving_before_the_answer_cancels_it() {
    for reset in [false, true] {
        let origin = Origin::scripted(waiting_forever);
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        client.send(GET);
        origin.wait("the request", |seen| seen.requests().count() == 1);
        weir.counts("weir_requests_in_flight", "", 1);
        if reset {
            client.reset()
        } else {
            client.close()
        }
        is_cancelled(&origin, &weir, "a client that leaves while it waits");
        eventually("the count", || (weir.count("weir_upstream_errors_total", "aborted") == 1).then_some(()));
    }
}

#[test]
fn leaving_within_the_answer_cancels_it() {
    for reset in [false, true] {
        // An origin that goes on sending, and one that has nothing to say for now.
        for silent in [false, true] {
            let origin = Origin::scripted(move |peer| {
                peer.request();
                peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
                while !silent && peer.send("5\r\nhello\r\n") {}
                peer.end();
            });
            let weir = Weir::before(&origin);
            let mut client = weir.client();
            client.send(GET);
            client.response_head();
            client.chunk();
            if reset {
                client.reset()
            } else {
                client.close()
            }
            is_cancelled(&origin, &weir, "a client that leaves within the answer");
        }
    }
}

#[test]
fn leaving_within_the_request_cancels_it() {
    for reset in [false, true] {
        let origin = Origin::scripted(|peer| {
            peer.head();
            peer.end();
        });
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello");
        origin.wait("the head", |seen| seen.text().contains("hello"));
        if reset {
            client.reset()
        } else {
            client.close()
        }
        is_cancelled(&origin, &weir, "a client that leaves within its request");
    }
}

#[test]
fn a_client_that_pipelined_and_left_is_noticed_too() {
    let origin = Origin::scripted(waiting_forever);
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(GET.repeat(3));
    origin.wait("the request", |seen| seen.requests().count() == 1);
    client.close();
    origin.wait("the end", |seen| seen.connections[0].end.is_some());
}

#[test]
fn a_client_that_has_only_finished_sending_gets_its_answer() {
    let origin = Origin::named("ok");
    let weir = Weir::before(&origin);
    for request in [GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"] {
        let mut client = weir.client();
        client.send(request).half_close();
        assert_eq!(client.response().text(), "ok");
        assert!(client.ends_here());
    }
}

#[test]
fn a_client_that_has_finished_sending_gets_a_stream_to_its_end() {
    let more = Gate::default();
    let gate = more.clone();
    let origin = Origin::scripted(move |peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        // Beyond the time after which a silent client is taken for gone.
        for _ in 0..8 {
            gate.wait_at_most(Duration::from_millis(100));
            peer.send("5\r\nhello\r\n");
        }
        peer.send("0\r\n\r\n");
        peer.end();
    });
    let weir = Setup::before(&origin).start();
    let mut client = weir.client();
    client.send(GET).half_close();
    assert_eq!(client.response().text(), "hello".repeat(9));
}

#[test]
fn nothing_is_in_flight_after_whatever_happened() {
    let origin = Origin::scripted(|peer| match peer.request() {
        Some(request) if request.target() == "/ok" => drop(peer.send(ok("ok"))),
        Some(request) if request.target() == "/garbage" => drop(peer.send("garbage\r\n\r\n")),
        Some(request) if request.target() == "/cut" => {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        }
        Some(request) if request.target() == "/wait" => drop(peer.end()),
        _ => {}
    });
    let weir = Setup::before(&origin).timeouts("response_headers: 50ms").start();
    for target in ["/ok", "/garbage", "/cut", "/wait", "/none"] {
        let mut client = weir.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        client.everything();
    }
    eventually("no request in flight", || {
        let open = weir.count("weir_connections", "listener");
        (weir.count("weir_requests_in_flight", "") == 0 && open == 0).then_some(())
    });
}
