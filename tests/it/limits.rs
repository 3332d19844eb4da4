//! Limits of a request's head.

use crate::support::{Origin, Setup, ok};

#[test]
fn heads_are_bounded_in_bytes_and_fields() {
    let origin = Origin::answering(ok("ok"));
    let weir = Setup::before(&origin).limits("max_header_bytes: 2KiB, max_headers: 10").start();
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let field = |len: usize| format!("X: {}\r\n", "x".repeat(len));
    let empty = get("/", "").len();
    for (name, request, status) in [
        ("small", get("/", ""), 200),
        ("ten fields", get("/", &"X: y\r\n".repeat(9)), 200),
        ("eleven fields", get("/", &"X: y\r\n".repeat(10)), 431),
        ("exactly the limit", get("/", &field(2048 - empty - 5)), 200),
        ("one byte more", get("/", &field(2048 - empty - 4)), 431),
        ("a large field", get("/", &field(100_000)), 431),
        ("a long target", get(&format!("/{}", "a".repeat(4000)), ""), 414),
        ("a long method", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(4000)), 414),
        ("many empty lines", format!("{}{}", "\r\n".repeat(2000), get("/", "")), 414),
    ] {
        let before = origin.requests().len();
        let mut client = weir.client();
        client.try_send(&request);
        assert_eq!(client.response().status, status, "{name}");
        assert_eq!(origin.requests().len() - before, usize::from(status == 200), "{name}");
        if status != 200 {
            assert!(client.half_close().ends_here(), "{name}");
        }
    }
}

#[test]
fn large_limits_hold_as_well() {
    let origin = Origin::answering(ok("ok"));
    let weir = Setup::before(&origin).limits("max_header_bytes: 128KiB, max_headers: 1000").start();
    for len in [10_000, 17_000, 65_000, 65_400, 66_000, 127_000] {
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nX: {}\r\nContent-Length: 5\r\n\r\nhello", "x".repeat(len));
        assert_eq!(weir.client().ask(request).status, 200, "{len}");
    }
    assert!(origin.requests().iter().all(|request| request.body == b"hello"));
    // A head that fills its buffer to the last byte leaves no room in it for the body.
    for total in [16 * 1024, 64 * 1024, 128 * 1024] {
        let head = |len: usize| {
            format!("POST / HTTP/1.1\r\nHost: a\r\nX: {}\r\nContent-Length: 5\r\n\r\n", "x".repeat(len))
        };
        let head = head(total - head(0).len());
        assert_eq!(head.len(), total);
        let mut client = weir.client();
        assert_eq!(client.send(&head).ask("hello").status, 200, "a head of {total} bytes");
    }
    let fields = "A: b\r\n".repeat(999);
    assert_eq!(weir.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).status, 200);
    assert_eq!(weir.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}A: b\r\n\r\n")).status, 431);
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let origin = Origin::answering(ok("ok"));
    let weir = Setup::before(&origin).start();
    let mut client = weir.client();
    for _ in 0..2 {
        for byte in
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"
        {
            client.send([*byte]);
        }
        assert_eq!(client.response().text(), "ok");
    }
    assert!(origin.requests().iter().all(|request| request.body == b"hello"));
}
