//! The PROXY protocol: a load balancer in front says whose connection it is.

use std::thread;

use crate::{
    support::{End, GET, Origin, Setup, ok, tls::Authority},
    tls::Folder,
};

/// Version 2, TCP over IPv4, from 203.0.113.9:4711, with a TLV behind the addresses.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xcb\0\x71\x09\x7f\0\0\x01\x12\x67\0\x50\x04\0\x01\x2a";
const V1: &str = "PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n";

fn listener(keys: &str) -> String {
    format!("name: web, bind: \"127.0.0.1:0\", proxy_protocol: {{ {keys} }}")
}

#[test]
fn the_client_is_whom_the_header_names() {
    let origin = Origin::answering(ok("ok"));
    let weir = Setup::before(&origin).listener(&listener("from: [127.0.0.1]")).start();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for (header, client) in [
        (V1.as_bytes(), "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", "2001:db8::7"),
        (V2, "203.0.113.9"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (local, "127.0.0.1"),
    ] {
        let mut connection = weir.client();
        connection.send([header, GET.as_bytes()].concat());
        assert_eq!(connection.response().text(), "ok");
        // For the whole connection.
        assert_eq!(connection.ask(GET).text(), "ok");
        let requests = origin.requests();
        for seen in &requests[requests.len() - 2..] {
            assert_eq!(seen.get("x-forwarded-for"), Some(client), "{header:?}");
        }
    }
}

#[test]
fn a_header_may_come_in_pieces() {
    let origin = Origin::answering(ok("ok"));
    let weir = Setup::before(&origin).listener(&listener("from: [127.0.0.0/8]")).start();
    for header in [V1.as_bytes(), V2] {
        let mut connection = weir.client();
        for byte in header {
            connection.send([*byte]);
            thread::yield_now();
        }
        assert_eq!(connection.ask(GET).text(), "ok");
        assert!(origin.requests().last().unwrap().get("x-forwarded-for").unwrap().starts_with("203.0.113."));
    }
}

#[test]
fn what_begins_otherwise_ends_without_an_answer() {
    let origin = Origin::answering(ok("ok"));
    let weir = Setup::before(&origin).listener(&listener("from: [127.0.0.1]")).start();
    for start in [
        GET,
        "PROXY TCP4 203.0.113.7 127.0.0.1 4711\r\n\r\n",
        "PROXY TCP4 0.0.0.0 127.0.0.1 4711 80\r\n\r\n",
        "PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\nGET / HTTP/1.1\r\n",
    ] {
        let mut connection = weir.client();
        connection.try_send(start);
        let (answer, end) = connection.everything();
        assert_eq!(answer, "", "{start:?}");
        assert_ne!(end, End::Cut, "{start:?}");
    }
    weir.counts("weir_requests_refused_total", "reason=\"proxy_protocol\"", 4);
    assert!(origin.requests().is_empty());
}

#[test]
fn only_the_proxies_may_say_it() {
    let origin = Origin::answering(ok("ok"));
    let weir = Setup::before(&origin).listener(&listener("from: [192.0.2.0/24]")).start();
    let answer = weir.client().ask([V1.as_bytes(), GET.as_bytes()].concat());
    assert_eq!(answer.status, 400, "a malformed request line");
    assert_eq!(weir.client().ask(GET).text(), "ok");
    assert_eq!(origin.requests()[0].get("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let origin = Origin::answering(ok("ok"));
    let weir = Setup::before(&origin).listener(&listener("from: [127.0.0.1], timeout: 50ms")).start();
    let mut connection = weir.client();
    connection.send("PROXY TCP4 203.0.113.7");
    assert!(connection.everything().0.is_empty());
    weir.counts("weir_requests_refused_total", "reason=\"timeout\"", 1);
}

#[test]
fn it_comes_before_tls_and_before_http_2() {
    let authority = Authority::new("the shop's");
    let issued = authority.issue(&["shop.example"]);
    let folder = Folder::of(&[("shop", &issued)]);
    let origin = Origin::answering(ok("ok"));
    let listener = format!("{}, proxy_protocol: {{ from: [127.0.0.1] }}", folder.listener(&["shop"], ""));
    let weir = Setup::before(&origin).listener(&listener).start();
    let mut connection = weir.client();
    connection.send(V2);
    let mut connection = connection.secure(&authority.client(), "shop.example");
    assert_eq!(connection.ask("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").text(), "ok");
    assert_eq!(origin.requests()[0].get("x-forwarded-for"), Some("203.0.113.9"));
    assert_eq!(origin.requests()[0].get("x-forwarded-proto"), Some("https"));
}

#[test]
fn limits_by_address_count_the_client_behind_the_proxy() {
    let origin = Origin::answering(ok("ok"));
    let limits = "limits: { max_connections_per_address: 1 }";
    let listener = format!("{}, {limits}", listener("from: [127.0.0.1]"));
    let weir = Setup::before(&origin).listener(&listener).start();
    let ask = |header: &[u8]| {
        let mut connection = weir.client();
        connection.send([header, GET.as_bytes()].concat());
        (connection.response().status, connection)
    };
    let (first, _held) = ask(V1.as_bytes());
    let (other, _held_too) = ask(V2);
    let (second, _) = ask(V1.as_bytes());
    assert_eq!((first, other, second), (200, 200, 503));
    weir.counts("weir_connections_shed_total", "limit=\"address\"", 1);
}
