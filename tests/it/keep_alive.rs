//! Keep-alive, `Connection` and pipelining, towards clients and towards origins.

use crate::support::{GET, Origin, Weir, ok};

#[test]
fn connection_means_what_the_version_says() {
    let origin = Origin::answering(ok("ok"));
    let weir = Weir::before(&origin);
    // The request's version and Connection; what the response's Connection says, and whether the connection goes on.
    for (version, connection, said, goes_on) in [
        ("1.1", None, None, true),
        ("1.1", Some("keep-alive"), None, true),
        ("1.1", Some("close"), Some("close"), false),
        ("1.1", Some("Close"), Some("close"), false),
        ("1.1", Some("keep-alive, close"), Some("close"), false),
        ("1.1", Some("x-other"), None, true),
        ("1.0", None, Some("close"), false),
        ("1.0", Some("keep-alive"), Some("keep-alive"), true),
        ("1.0", Some("Keep-Alive"), Some("keep-alive"), true),
        ("1.0", Some("close"), Some("close"), false),
    ] {
        let field = connection.map(|value| format!("Connection: {value}\r\n")).unwrap_or_default();
        let mut client = weir.client();
        let response = client.ask(format!("GET / HTTP/{version}\r\nHost: a\r\n{field}\r\n"));
        assert_eq!(response.text(), "ok");
        assert_eq!(response.get("connection"), said, "HTTP/{version} with {connection:?}");
        if goes_on {
            assert_eq!(client.ask(GET).text(), "ok", "HTTP/{version} with {connection:?}");
        } else {
            assert!(client.ends_here(), "HTTP/{version} with {connection:?}");
        }
    }
}

#[test]
fn an_upstream_connection_carries_one_request_after_the_other() {
    let origin = Origin::answering(ok("ok"));
    let weir = Weir::before(&origin);
    for _ in 0..3 {
        let mut client = weir.client();
        for _ in 0..3 {
            client.ask(GET);
        }
    }
    assert_eq!(origin.requests().len(), 9);
    assert_eq!(origin.seen().connections.len(), 1);
}

#[test]
fn an_upstream_that_says_close_is_not_asked_again() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        // It would answer a second request as well.
        let origin = Origin::answering(response);
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        for _ in 0..3 {
            let answer = client.ask(GET);
            assert_eq!((answer.text().as_str(), answer.get("connection")), ("ok", None), "{response:?}");
        }
        assert_eq!(origin.seen().connections.len(), 3, "{response:?}");
    }
    let origin =
        Origin::answering("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
    let weir = Weir::before(&origin);
    weir.client().ask(GET);
    weir.client().ask(GET);
    assert_eq!(origin.seen().connections.len(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::scripted(|peer| {
        while let Some(request) = peer.request() {
            let answer = format!("{} {}", request.target(), request.body.len());
            peer.send(ok(&answer));
        }
    });
    let weir = Weir::before(&origin);
    let mut requests = String::new();
    let mut expected = Vec::new();
    for number in 0..200 {
        let body = "b".repeat(number * 7 % 300);
        match number % 3 {
            0 => requests.push_str(&format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")),
            1 => requests.push_str(&format!(
                "POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )),
            _ => requests.push_str(&format!(
                "PUT /{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}!\r\n0\r\n\r\n",
                body.len() + 1
            )),
        }
        let len = [0, body.len(), body.len() + 1][number % 3];
        expected.push(format!("/{number} {len}"));
    }
    // All at once, and then in pieces that end anywhere.
    for piece in [requests.len(), 1000, 17] {
        let mut client = weir.client();
        for part in requests.as_bytes().chunks(piece) {
            client.send(part);
        }
        let answers: Vec<String> = (0..200).map(|_| client.response().text()).collect();
        assert_eq!(answers, expected, "in pieces of {piece}");
    }
}

#[test]
fn pipelined_requests_of_a_client_that_has_finished_are_all_answered() {
    let origin = Origin::named("ok");
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(GET.repeat(5)).half_close();
    for number in 0..5 {
        assert_eq!(client.response().text(), "ok", "answer {number}");
    }
    assert!(client.ends_here());
}

#[test]
fn nothing_after_close_is_answered() {
    let origin = Origin::named("ok");
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{GET}"));
    assert_eq!(client.response().text(), "ok");
    assert!(client.ends_here());
    assert_eq!(origin.requests().len(), 1);
}
