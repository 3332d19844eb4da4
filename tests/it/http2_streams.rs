//! HTTP/2 from clients: streams of a connection do not get in each other's way, and end without each other.

use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, client::Builder};
use http::{Request, Response};

use crate::{
    http2::both,
    support::{
        Gate, Origin, Setup, Weir,
        h2::{H2Client, get, post},
        ok,
        origin::nobody,
        pattern,
        streams::{StreamOrigin, respond},
        weir::eventually,
    },
};

/// More than all the buffers on the way hold: a stream's window, the sockets of the hop behind, and Weir's own.
const MORE_THAN_FITS: usize = 32 << 20;
/// Longer than a stuck write stays stuck when only the scheduler is slow.
const STUCK: Duration = Duration::from_millis(500);

fn in_flight(weir: &Weir) -> u64 {
    weir.count("weir_requests_in_flight", "")
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
                peer.swallow(MORE_THAN_FITS);
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
fn small_messages_that_clients_do_not_take_cost_no_other_its_connection() {
    // What a stream's window holds of the smallest messages of gRPC.
    const MESSAGES: usize = 64 * 1024 / 5;
    let origin = StreamOrigin::answering(|_, request, mut to| {
        if request.uri().path() != "/messages" {
            return respond(to, 200, "ok");
        }
        let mut stream = to.send_response(Response::new(()), false).unwrap();
        for _ in 0..MESSAGES {
            stream.send_data(Bytes::from_static(b"\0\0\0\0\0"), false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
    });
    let keys = "protocol: h2c";
    let weir = Setup::new().backend_with("stable", &[origin.address], keys).h2c("").start();
    let mut builder = Builder::new();
    let mut unwilling = H2Client::with(weir.address(), builder.initial_window_size(100));
    let mut streams: Vec<_> = (0..8).map(|_| unwilling.open(get("/messages"), true)).collect();
    for stream in &mut streams {
        assert_eq!(stream.head().status(), 200);
        stream.data_and_keep_window().unwrap();
    }
    let mut client = H2Client::to(weir.address());
    for _ in 0..20 {
        assert_eq!(client.ask(get("/")).text(), "ok");
    }
    for stream in &mut streams {
        stream.release(5);
        let mut rest = 5;
        while let Some(data) = stream.data() {
            rest += data.len();
        }
        assert_eq!(rest, MESSAGES * 5);
    }
    assert_eq!(origin.seen().connections, 1);
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
