//! HTTP/2 from clients: how connections end, and what a client may cost.

use std::{io::Write as _, thread, time::Duration};

use h2::Reason;
use http::Request;

use crate::support::{
    Client, End, Gate, Origin, Setup,
    h2::{END_HEADERS, END_STREAM, Frame, H2Client, block, get, kind, next_frame, next_of, post, raw},
    weir::eventually,
};

/// A client that was told to go, and why.
fn told_to_go(client: &mut Client) -> Reason {
    next_of(client, kind::GOAWAY).reason()
}

#[test]
fn stopping_lets_streams_finish_and_closes_what_is_idle() {
    let gate = Gate::default();
    let origin = Origin::slow(&gate);
    let weir = Setup::before(&origin).h2c("").drain("timeout: 15s").start();
    let mut idle = H2Client::to(weir.address());
    assert_eq!(idle.ask(get("/")).text(), "ok");
    let mut busy = H2Client::to(weir.address());
    let mut under_way = [busy.open(get("/slow"), true), busy.open(post("/slow"), false)];
    under_way[1].send(b"half").send(b"");
    origin.is_asked_slowly();
    let stopping = weir.stop();
    assert_eq!(idle.end_by_server(), None, "it was told in order");
    // What was begun goes on, sending included.
    under_way[1].send(b"other half").finish();
    gate.open();
    for stream in &mut under_way {
        assert_eq!(stream.answer().text(), "ok");
    }
    assert_eq!(busy.end(), None);
    assert_eq!(stopping.join().unwrap(), 0, "nothing was cut off");
    assert!(origin.requests().iter().any(|request| request.body == b"halfother half"));
}

#[test]
fn streams_that_take_longer_than_the_drain_are_cut_off() {
    let gate = Gate::default();
    let origin = Origin::slow(&gate);
    let weir = Setup::before(&origin).h2c("").drain("timeout: 100ms").start();
    let mut client = raw(weir.address());
    client.send(slow_get(1).bytes());
    origin.is_asked_slowly();
    let stopping = weir.stop();
    assert_eq!(told_to_go(&mut client), Reason::NO_ERROR);
    assert_eq!(stopping.join().unwrap(), 1, "one connection was cut off");
    while next_frame(&mut client).is_some() {}
    gate.open();
}

fn slow_get(stream: u32) -> Frame {
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/slow"), (":authority", "a")];
    Frame::new(kind::HEADERS, END_STREAM | END_HEADERS, stream, block(&fields))
}

#[test]
fn a_request_under_way_when_it_stops_is_served() {
    // GOAWAY names every stream first (RFC 9113, section 6.8), so that what the client sent meanwhile is not lost.
    let gate = Gate::default();
    let origin = Origin::slow(&gate);
    let weir = Setup::before(&origin).h2c("").drain("timeout: 15s").start();
    let mut client = raw(weir.address());
    client.send(slow_get(1).bytes());
    origin.is_asked_slowly();
    let stopping = weir.stop();
    let warning = next_of(&mut client, kind::GOAWAY);
    assert_eq!((warning.reason(), &warning.payload[..4]), (Reason::NO_ERROR, &[0x7f, 0xff, 0xff, 0xff][..]));
    // It did not get there yet, for all that the client knows.
    client.send(Frame::get(3).bytes());
    assert_eq!(next_of(&mut client, kind::DATA).stream, 3);
    // Once it says that it has seen the warning, the last stream is named.
    client.send(Frame::new(kind::PING, 1, 0, b"\x0b\x7b\xa2\xf0\x8b\x9b\xfe\x54").bytes());
    let last = next_of(&mut client, kind::GOAWAY);
    assert_eq!((last.reason(), &last.payload[..4]), (Reason::NO_ERROR, &[0, 0, 0, 3][..]));
    gate.open();
    assert_eq!(next_of(&mut client, kind::DATA).stream, 1);
    assert_eq!(client.end(), End::Closed);
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn idle_connections_are_told_to_go_and_busy_ones_are_not() {
    let gate = Gate::default();
    let origin = Origin::slow(&gate);
    let weir = Setup::before(&origin).h2c("idle_timeout: 200ms").start();
    let mut busy = raw(weir.address());
    busy.send(slow_get(1).bytes());
    origin.is_asked_slowly();
    let mut idle = raw(weir.address());
    idle.send(Frame::get(1).bytes());
    assert_eq!(told_to_go(&mut idle), Reason::NO_ERROR);
    while next_frame(&mut idle).is_some() {}
    // It was open for longer than that by now.
    gate.open();
    assert_eq!(next_of(&mut busy, kind::DATA).payload, b"ok");
    assert_eq!(told_to_go(&mut busy), Reason::NO_ERROR);
}

#[test]
fn a_preface_that_does_not_come_ends_the_connection() {
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).h2c("header_timeout: 100ms").start();
    let mut client = weir.client();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM");
    while next_frame(&mut client).is_some() {}
    eventually("no connection", || (weir.count("weir_connections", "listener=\"web\"") == 0).then_some(()));
}

#[test]
fn reloads_end_no_connection_and_count_from_the_next_stream() {
    let gate = Gate::default();
    let (stable, canary) = (Origin::slow(&gate), Origin::named("canary"));
    let split = |stable_weight: u32| {
        let weights = format!("{{ stable: {stable_weight}, canary: {} }}", 100 - stable_weight);
        Setup::new()
            .h2c("")
            .backend("stable", &[stable.address])
            .backend("canary", &[canary.address])
            .split(&format!("key: none, backends: {weights}"))
    };
    let weir = split(100).start();
    let mut client = H2Client::to(weir.address());
    let mut before = client.open(get("/slow"), true);
    stable.is_asked_slowly();
    weir.rewrite(&split(0));
    assert_eq!(client.ask(get("/")).text(), "canary");
    gate.open();
    assert_eq!(before.answer().text(), "ok", "a request keeps what it began with");
}

#[test]
fn every_stream_is_split_by_itself_and_users_stay() {
    let origins = [Origin::named("stable"), Origin::named("canary")];
    let weir = Setup::new()
        .h2c("")
        .backend("stable", &[origins[0].address])
        .backend("canary", &[origins[1].address])
        .split("backends: { stable: 50, canary: 50 }")
        .start();
    let mut client = H2Client::to(weir.address());
    let mut seen = Vec::new();
    for _ in 0..32 {
        let first = client.ask(get("/"));
        let cookie = first.cookie().expect("a new user gets a cookie");
        // As browsers send it: every cookie in a field of its own.
        let request = Request::get("http://a/").header("cookie", "other=1").header("cookie", cookie);
        let again = client.ask(request.body(()).unwrap());
        assert_eq!((again.text(), again.cookie()), (first.text(), None));
        seen.push(first.text());
    }
    // All of one backend come once in two thousand million times.
    assert!(seen.contains(&"stable".to_owned()) && seen.contains(&"canary".to_owned()));
}

#[test]
fn heads_are_bounded() {
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).h2c("max_header_bytes: 4KiB, max_headers: 20").start();
    let mut client = H2Client::to(weir.address());
    let with = |fields: usize, len: usize| {
        let mut request = get("/");
        for number in 0..fields {
            let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
            request.headers_mut().insert(name, "x".repeat(len).parse().unwrap());
        }
        request
    };
    assert_eq!(client.ask(with(10, 10)).status(), 200);
    assert_eq!(client.ask(with(30, 10)).status(), 431, "too many fields");
    assert_eq!(client.ask(with(1, 5000)).status(), 431, "too large a field");
    assert_eq!(
        client.ask(get(&format!("/{}", "a".repeat(4000)))).status(),
        431,
        "the list is bounded as a whole"
    );
    assert_eq!(client.ask(with(10, 10)).status(), 200, "the connection goes on");
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn requests_that_mean_two_things_are_refused() {
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).h2c("").start();
    let usual = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
    let with = |more: &[(&'static str, &'static str)]| [&usual[..], more].concat();
    let told = |text: &str| Refused::Answered(text.to_owned());
    let cases = [
        (with(&[("connection", "close")]), Refused::Reset),
        (with(&[("transfer-encoding", "chunked")]), Refused::Reset),
        (with(&[("te", "gzip")]), Refused::Reset),
        (with(&[("X-Upper", "1")]), Refused::Ended),
        (with(&[("x-a", "1\r\nx-b: 2")]), Refused::Ended),
        (with(&[(":status", "200")]), Refused::Reset),
        (with(&[(":path", "/twice")]), Refused::Reset),
        (with(&[("content-length", "5")]), Refused::Reset),
        (with(&[("host", "b")]), told("400 Bad Request: malformed head\n")),
        (with(&[("x-a", " 1")]), told("400 Bad Request: malformed head\n")),
        (vec![(":method", "GET"), (":scheme", "http"), (":authority", "a")], Refused::Reset),
        (vec![(":scheme", "http"), (":path", "/"), (":authority", "a")], Refused::Reset),
        (
            vec![(":method", "CONNECT"), (":authority", "a:443")],
            told("405 Method Not Allowed: CONNECT is not offered here\n"),
        ),
    ];
    let mut going_on = 0;
    for (fields, expected) in cases {
        let mut client = raw(weir.address());
        client.send(Frame::new(kind::HEADERS, END_STREAM | END_HEADERS, 1, block(&fields)).bytes());
        let refused = refusal(&mut client);
        assert_eq!(refused, expected, "{fields:?}");
        if refused != Refused::Ended {
            // The stream alone was refused.
            going_on += 1;
            client.send(Frame::get(3).bytes());
            while next_of(&mut client, kind::DATA).stream != 3 {}
        }
    }
    let seen = origin.requests();
    assert!(seen.iter().all(|request| request.target() == "/" && !request.has("x-b")));
    assert_eq!(seen.len(), going_on, "of every connection the second request alone");
}

/// What becomes of a request that is refused.
#[derive(Debug, PartialEq)]
enum Refused {
    /// Its stream is reset.
    Reset,
    /// The connection ends with it: the fields that follow could not be read.
    Ended,
    /// It gets an answer, with this body.
    Answered(String),
}

fn refusal(client: &mut Client) -> Refused {
    loop {
        let frame = next_frame(client).expect("a refusal");
        match frame.kind {
            kind::RST_STREAM => {
                assert_eq!((frame.stream, frame.reason()), (1, Reason::PROTOCOL_ERROR));
                return Refused::Reset;
            }
            kind::GOAWAY => {
                assert_eq!(frame.reason(), Reason::PROTOCOL_ERROR);
                return Refused::Ended;
            }
            kind::DATA => return Refused::Answered(String::from_utf8(frame.payload).unwrap()),
            _ => {}
        }
    }
}

#[test]
fn streams_above_the_limit_are_refused() {
    let gate = Gate::default();
    let origin = Origin::slow(&gate);
    let weir = Setup::before(&origin).h2c("").start();
    let mut client = raw(weir.address());
    for number in 0..101 {
        client.send(slow_get(2 * number + 1).bytes());
    }
    let reset = next_of(&mut client, kind::RST_STREAM);
    assert_eq!((reset.stream, reset.reason()), (201, Reason::REFUSED_STREAM));
    gate.open();
    for _ in 0..100 {
        assert_eq!(next_of(&mut client, kind::DATA).payload, b"ok");
    }
    assert_eq!(origin.requests().len(), 100);
}

#[test]
fn what_no_client_does_ends_the_connection_and_nobody_elses() {
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).h2c("").start();
    let ping = Frame::new(kind::PING, 0, 0, "12345678").bytes();
    let settings = Frame::new(kind::SETTINGS, 0, 0, "").bytes();
    let cancel = |stream: u32| Frame::new(kind::RST_STREAM, 0, stream, 8_u32.to_be_bytes()).bytes();
    let opened_and_reset: Vec<u8> = (0..20_000)
        .flat_map(|number| [Frame::get(2 * number + 1).bytes(), cancel(2 * number + 1)].concat())
        .collect();
    let head = Frame::new(kind::HEADERS, 0, 1, block(&[(":method", "GET"), (":scheme", "http")])).bytes();
    let more = Frame::new(kind::CONTINUATION, 0, 1, block(&[("x-a", "b")])).bytes();
    for (what, bytes, reason) in [
        ("rapid resets", opened_and_reset, Reason::ENHANCE_YOUR_CALM),
        (
            "continuations without end",
            [head.clone(), more.repeat(20_000)].concat(),
            Reason::ENHANCE_YOUR_CALM,
        ),
        ("another frame within a head", [head, ping].concat(), Reason::PROTOCOL_ERROR),
        ("a frame that is too large", vec![0, 0x40, 1, kind::DATA, 0, 0, 0, 0, 1], Reason::FRAME_SIZE_ERROR),
        ("data of no stream", Frame::new(kind::DATA, 0, 1, "x").bytes(), Reason::PROTOCOL_ERROR),
        ("a stream of the server's", Frame::get(2).bytes(), Reason::PROTOCOL_ERROR),
        (
            "a window beyond all windows",
            Frame::new(kind::WINDOW_UPDATE, 0, 0, 0x7fff_ffff_u32.to_be_bytes()).bytes(),
            Reason::FLOW_CONTROL_ERROR,
        ),
        ("settings of a stream", Frame::new(kind::SETTINGS, 0, 1, "").bytes(), Reason::PROTOCOL_ERROR),
    ] {
        let mut client = raw(weir.address());
        let sender = client.sender();
        // It is not read to its end.
        let sending = thread::spawn(move || (&*sender).write_all(&bytes).is_ok());
        assert_eq!(last_word(&mut client), Some(reason), "{what}");
        drop(client);
        sending.join().unwrap();
        assert_eq!(H2Client::to(weir.address()).ask(get("/")).text(), "ok", "{what}");
    }
    // Answers that nobody reads do not pile up: the flood is no longer read.
    let mut client = raw(weir.address());
    let flood = settings.repeat(1 << 20);
    assert!(client.send_until_stuck(&flood, Duration::from_millis(500)) < flood.len());
    assert_eq!(H2Client::to(weir.address()).ask(get("/")).text(), "ok");
}

/// The reason of the last GOAWAY before the connection ends.
fn last_word(client: &mut Client) -> Option<Reason> {
    let mut last = None;
    while let Some(frame) = next_frame(client) {
        if frame.kind == kind::GOAWAY {
            last = Some(frame.reason());
        }
    }
    last
}
