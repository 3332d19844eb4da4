//! Origins that fail: what the client is told, and what is never tried twice.

use crate::support::{
    GET, Origin, Setup, Weir,
    origin::{Deaf, nobody},
};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn an_origin_that_does_not_answer_properly_is_a_bad_gateway() {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(300));
    for response in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "hello\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 No\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad field\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &large,
        &many,
    ] {
        let origin = Origin::answering_once(response);
        let weir = Weir::before(&origin);
        let mut client = weir.client();
        let shown = &response[..response.len().min(100)];
        let answer = client.ask(GET);
        assert_eq!(answer.status, 502, "{shown:?}");
        assert!(!answer.text().contains("127.0.0.1"), "the answer tells what is behind Weir");
        assert_eq!(origin.requests().len(), 1, "{shown:?}: sent again on a new connection");
        // The client's connection is as good as before.
        assert_eq!(client.ask(GET).status, 502, "{shown:?}");
        assert_eq!(weir.client().ask(POST).status, 502, "{shown:?}");
    }
}

#[test]
fn an_origin_that_resets_is_a_bad_gateway() {
    let origin = Origin::scripted(|peer| {
        peer.request();
        peer.reset();
    });
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    assert_eq!(client.ask(GET).status, 502);
    assert_eq!(client.ask(GET).status, 502);
    assert_eq!(origin.requests().len(), 2, "one attempt for each");
}

#[test]
fn an_origin_that_cannot_be_reached_is_a_bad_gateway_or_a_timeout() {
    let weir = Setup::new().backend("stable", &[nobody()]).start();
    let mut client = weir.client();
    assert_eq!(client.ask(GET).status, 502);
    assert_eq!(client.ask(GET).status, 502);
    assert_eq!(weir.client().ask(POST).status, 502);
    assert_eq!(weir.retries(), 0, "there was nothing else to try");

    let deaf = Deaf::new();
    let weir = Setup::new().backend("stable", &[deaf.address]).timeouts("connect: 50ms").start();
    assert_eq!(weir.client().ask(GET).status, 504);
}

#[test]
fn another_endpoint_is_tried_when_one_cannot_be_reached() {
    let origin = Origin::named("alive");
    let weir = Setup::new().backend("stable", &[nobody(), origin.address, nobody()]).start();
    for request in [GET, POST] {
        for _ in 0..20 {
            assert_eq!(weir.client().ask(request).text(), "alive");
        }
    }
    assert!(weir.retries() > 0);
}

#[test]
fn an_unreachable_backend_falls_back_or_fails_as_configured() {
    let origin = Origin::named("canary");
    let setup = Setup::new().backend("stable", &[nobody()]).backend("canary", &[origin.address]);
    let weir = setup.clone().split("backends: { stable: 100, canary: 0 }").start();
    assert_eq!(weir.client().ask(GET).text(), "canary");
    assert_eq!(weir.client().ask(POST).text(), "canary");
    let weir = setup.split("backends: { stable: 100, canary: 0 }, on_unavailable: fail").start();
    assert_eq!(weir.client().ask(GET).status, 502);
    assert_eq!(origin.requests().len(), 2);
}
