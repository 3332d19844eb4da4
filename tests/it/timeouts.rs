//! Everything that waits has an end.

use std::{io::Write as _, time::Duration};

use crate::support::{Broken, GET, Gate, Origin, Setup, weir::now};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";

#[test]
fn a_response_that_does_not_begin_is_a_gateway_timeout() {
    let origin = Origin::scripted(|peer| {
        peer.request();
        peer.end();
    });
    let weir = Setup::before(&origin).timeouts("response_headers: 100ms").start();
    let mut client = weir.client();
    for _ in 0..2 {
        let began = now();
        assert_eq!(client.ask(GET).status, 504);
        assert!(began.elapsed() >= Duration::from_millis(100));
    }
    assert_eq!(origin.requests().len(), 2, "a request that timed out is not sent again");
}

#[test]
fn interim_responses_and_pieces_of_a_head_do_not_put_it_off() {
    let origin = Origin::scripted(|peer| {
        peer.request();
        let gate = Gate::default();
        for _ in 0..50 {
            gate.wait_at_most(Duration::from_millis(20));
            if peer.number == 0 && !peer.send("HTTP/1.1 103 Early Hints\r\n\r\n") {
                return;
            }
            if peer.number == 1 && !peer.send("HTTP/1.1 200 OK\r\n".get(..1).unwrap()) {
                return;
            }
        }
    });
    let weir = Setup::before(&origin).timeouts("response_headers: 150ms").start();
    let mut client = weir.client();
    client.send(GET);
    let last = std::iter::repeat_with(|| client.response().status).find(|status| *status != 103);
    assert_eq!(last, Some(504));
    assert!(matches!(weir.client().ask(GET).status, 502 | 504));
}

#[test]
fn a_response_that_stops_is_cut_off() {
    let origin = Origin::scripted(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
        peer.end();
    });
    let weir = Setup::before(&origin).timeouts("stream_idle: 100ms").start();
    let mut client = weir.client();
    client.send(GET);
    assert!(matches!(client.try_response(), Err(Broken::Ended(_, part)) if part == b"hello"));
    weir.counts("weir_upstream_errors_total", "timeout", 1);
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_and_the_origin_is_not_blamed() {
    let origin = Origin::scripted(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\n");
        while peer.send([b'x'; 65_536]) {}
    });
    let weir = Setup::before(&origin).timeouts("stream_idle: 300ms").start();
    let mut client = weir.client();
    client.send(GET);
    client.response_head();
    crate::support::weir::eventually("the cut", || {
        (weir.count("weir_upstream_errors_total", "aborted") == 1).then_some(())
    });
    assert_eq!(weir.count("weir_upstream_errors_total", "timeout"), 0);
}

#[test]
fn a_request_that_stops_is_answered_and_cut_off() {
    let origin = Origin::scripted(|peer| {
        peer.head();
        peer.end();
    });
    let weir = Setup::before(&origin).timeouts("stream_idle: 100ms").start();
    let mut client = weir.client();
    assert_eq!(client.ask(format!("{POST}hello")).status, 408);
    assert!(client.half_close().ends_here());
    origin.wait("the end", |seen| seen.connections[0].end.is_some());
}

#[test]
fn an_origin_that_takes_nothing_is_a_gateway_timeout() {
    let over = Gate::default();
    let gate = over.clone();
    let origin = Origin::scripted(move |peer| {
        peer.head();
        gate.wait();
    });
    let weir = Setup::before(&origin).timeouts("stream_idle: 1s").start();
    let mut client = weir.client();
    // It sends as long as anybody takes it; so only the origin holds things up.
    let body = vec![b'x'; 64 << 20];
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    let sender = client.sender();
    let sending = std::thread::spawn(move || (&*sender).write_all(&body).is_ok());
    assert_eq!(client.response().status, 504);
    drop(client);
    assert!(!sending.join().unwrap(), "all of it went somewhere");
    over.open();
}

#[test]
fn a_slow_stream_that_goes_on_is_not_cut_off() {
    let origin = Origin::scripted(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        let gate = Gate::default();
        for _ in 0..10 {
            gate.wait_at_most(Duration::from_millis(60));
            peer.send("x");
        }
        peer.end();
    });
    let weir = Setup::before(&origin).timeouts("stream_idle: 400ms, response_headers: 400ms").start();
    assert_eq!(weir.client().ask(GET).text(), "xxxxxxxxxx");
}

#[test]
fn a_head_that_does_not_arrive_is_a_request_timeout() {
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).limits("header_timeout: 150ms, idle_timeout: 10s").start();
    for part in ["G", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\nG"] {
        let mut client = weir.client();
        assert_eq!(client.ask(part).status, 408, "{part:?}");
        assert!(client.half_close().ends_here());
    }
    let mut client = weir.client();
    assert_eq!(client.ask(GET).text(), "ok");
    client.send("\r\n");
    assert!(client.ends_here(), "an answer to an empty line");
    // One byte now and then does not put it off.
    let mut client = weir.client();
    let gate = Gate::default();
    let began = now();
    for byte in b"GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
        gate.wait_at_most(Duration::from_millis(20));
        if !client.try_send([*byte]) {
            break;
        }
    }
    assert_eq!(client.response().status, 408);
    assert!(began.elapsed() < Duration::from_secs(8));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).limits("idle_timeout: 150ms").start();
    let began = now();
    assert!(weir.client().ends_here(), "a client that never said anything");
    assert!(began.elapsed() >= Duration::from_millis(150));
    let mut client = weir.client();
    assert_eq!(client.ask(GET).text(), "ok");
    assert!(client.ends_here());
}

#[test]
fn zero_means_never() {
    let origin = Origin::scripted(|peer| {
        while peer.request().is_some() {
            Gate::default().wait_at_most(Duration::from_millis(50));
            peer.send(crate::support::ok("ok"));
        }
    });
    let weir = Setup::before(&origin)
        .limits("header_timeout: 0s, idle_timeout: 0s")
        .timeouts("connect: 0s, response_headers: 0s, stream_idle: 0s")
        .start();
    let mut client = weir.client();
    assert_eq!(client.ask(GET).text(), "ok");
    client.send("GET / HTTP/1.1\r\n");
    Gate::default().wait_at_most(Duration::from_millis(100));
    assert_eq!(client.ask("Host: a\r\n\r\n").text(), "ok");
}
