//! Bodies on their way: both directions at once, and as slow as the slower side.

use std::{io::Write as _, thread, time::Duration};

use crate::support::{GET, Gate, Origin, Setup, Weir, ok, pattern};

/// More than all the buffers on the way hold: sockets of both hops, and Weir's own.
const MORE_THAN_FITS: usize = 64 << 20;
/// Longer than a stuck write stays stuck when only the scheduler is slow.
const STUCK: Duration = Duration::from_millis(500);

#[test]
fn large_requests_arrive_whole_in_every_framing() {
    let body = pattern(3 << 20);
    let origin = Origin::named("ok");
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    let mut with_length =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    with_length.extend_from_slice(&body);
    let mut chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for (at, piece) in body.chunks(90_001).enumerate() {
        let (first, rest) = piece.split_at(1 + at % 3);
        for part in [first, rest] {
            chunked.extend_from_slice(format!("{:X}\r\n", part.len()).as_bytes());
            chunked.extend_from_slice(part);
            chunked.extend_from_slice(b"\r\n");
        }
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    for request in [&with_length, &chunked, &with_length] {
        assert_eq!(client.ask(request).text(), "ok");
        assert!(origin.requests().last().unwrap().body == body, "the body is another");
    }
    assert_eq!(origin.seen().connections.len(), 1);
}

#[test]
fn a_slow_reader_slows_the_origin_down() {
    let stuck = Gate::default();
    let gate = stuck.clone();
    let origin = Origin::scripted(move |peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {MORE_THAN_FITS}\r\n\r\n"));
        let body = vec![b'x'; MORE_THAN_FITS];
        let sent = peer.send_until_stuck(&body, STUCK);
        if sent < MORE_THAN_FITS {
            gate.open();
        }
        peer.send(&body[sent..]);
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(GET);
    assert_eq!(client.response_head().0, 200);
    stuck.wait();
    // Once the client reads on, all of it arrives.
    let mut left = MORE_THAN_FITS;
    while left > 0 {
        left -= client.bytes(left.min(1 << 16)).len();
    }
}

#[test]
fn a_slow_origin_slows_the_client_down() {
    let read_on = Gate::default();
    let gate = read_on.clone();
    let origin = Origin::scripted(move |peer| {
        peer.head();
        gate.wait();
        peer.swallow(MORE_THAN_FITS);
        peer.send(ok("ok"));
        peer.end();
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {MORE_THAN_FITS}\r\n\r\n"));
    let body = vec![b'x'; MORE_THAN_FITS];
    let sent = client.send_until_stuck(&body, STUCK);
    assert!(sent < MORE_THAN_FITS, "all of it went somewhere");
    read_on.open();
    client.send(&body[sent..]);
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn an_origin_may_echo_while_the_client_still_sends() {
    let origin = Origin::scripted(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Some(chunk) = peer.chunk() {
            peer.send(format!("{:x}\r\n", chunk.len()));
            peer.send(&chunk);
            peer.send("\r\n");
        }
        // The trailers' empty line.
        peer.bytes(2);
        peer.send("0\r\n\r\n");
        while peer.request().is_some() {
            peer.send(ok("next"));
        }
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.response_head().0, 200);
    for round in 0..20 {
        let word = format!("word-{round}");
        client.send(format!("{:x}\r\n{word}\r\n", word.len()));
        assert_eq!(client.chunk().unwrap(), word.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk(), None);
    client.bytes(2);
    assert_eq!(client.ask(GET).text(), "next");
    assert_eq!(origin.seen().connections.len(), 1);
}

#[test]
fn large_streams_in_both_directions_at_once() {
    let body = pattern(4 << 20);
    let origin = Origin::scripted(|peer| {
        let head = peer.head().unwrap();
        let len: usize = head.get("content-length").unwrap().parse().unwrap();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n"));
        let mut left = len;
        while left > 0 {
            let piece = peer.bytes(left.min(50_000)).unwrap();
            left -= piece.len();
            peer.send(piece);
        }
        peer.end();
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    let (sender, sent) = (client.sender(), body.clone());
    let sending = thread::spawn(move || {
        let mut sender = &*sender;
        write!(sender, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len()).unwrap();
        sender.write_all(&sent).unwrap();
    });
    assert!(client.response().body == body, "the echo is another");
    sending.join().unwrap();
}

#[test]
fn an_early_answer_passes_while_the_client_still_sends() {
    let answered = Gate::default();
    let gate = answered.clone();
    let origin = Origin::scripted(move |peer| {
        let head = peer.head().unwrap();
        peer.send(ok("early"));
        gate.wait();
        peer.body(&head);
        while peer.request().is_some() {
            peer.send(ok("next"));
        }
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    let answer = client.response();
    assert_eq!((answer.text().as_str(), answer.get("connection")), ("early", None));
    // It was told to keep the connection, so the rest of its request goes on to the origin, and the next one as well.
    answered.open();
    client.send("world");
    assert_eq!(client.ask(GET).text(), "next");
    assert!(origin.seen().text().contains("helloworld"));
}

#[test]
fn an_early_refusal_ends_the_connection_after_the_answer() {
    let origin = Origin::scripted(|peer| {
        peer.head();
        peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {MORE_THAN_FITS}\r\n\r\n"));
    let sender = client.sender();
    let sending = thread::spawn(move || (&*sender).write_all(&vec![b'x'; 256 << 10]).is_ok());
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_str()), (413, "no"));
    assert_eq!(answer.get("connection"), Some("close"));
    sending.join().unwrap();
    client.end();
}

#[test]
fn an_origin_that_answers_and_closes_within_the_request_is_heard() {
    let origin = Origin::scripted(|peer| {
        peer.head();
        peer.send(ok("enough"));
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {MORE_THAN_FITS}\r\n\r\n"));
    let sender = client.sender();
    let sending = thread::spawn(move || (&*sender).write_all(&vec![b'x'; 1 << 20]).is_ok());
    assert_eq!(client.response().text(), "enough");
    client.end();
    sending.join().unwrap();
}

#[test]
fn many_streams_share_a_worker_fairly() {
    // One client reads a stream without end; others on the same worker are answered all the same.
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/endless" {
                peer.send("HTTP/1.1 200 OK\r\n\r\n");
                while peer.send([b'x'; 65_536]) {}
                return;
            }
            peer.send(ok("ok"));
        }
    });
    let weir = Setup::before(&origin).start();
    let mut endless = weir.client();
    endless.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    let stop = Gate::default();
    let stopped = stop.clone();
    let reading = thread::spawn(move || {
        while !stopped.is_open() {
            endless.bytes(65_536);
        }
    });
    for _ in 0..50 {
        assert_eq!(weir.client().ask(GET).text(), "ok");
    }
    stop.open();
    reading.join().unwrap();
}
