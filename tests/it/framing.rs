//! Requests whose length could be read in two ways, or that are no HTTP: refused, and the origin never sees anything that
//! somebody else could take for two requests.

use crate::support::{Broken, Client, GET, Origin, Weir, ok, wire::text};

/// What may become of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// Answered with this status, and nothing reaches the origin.
    Refused(u16),
    /// Answered with this status after the request's head was sent on; what the origin sees is never complete.
    Broken(u16),
    /// One request, answered 200.
    Passed,
}
use Fate::{Broken as BrokenOff, Passed, Refused};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn check(cases: &[(&str, String, Fate)]) {
    let origin = Origin::answering(ok("ok"));
    let weir = Weir::before(&origin);
    for (name, request, fate) in cases {
        let before = origin.seen().text().len();
        let mut client = weir.client();
        client.try_send(request.chars().map(|letter| letter as u8).collect::<Vec<u8>>());
        client.half_close();
        let answer = client.try_response();
        let status = answer.as_ref().map(|response| response.status);
        let expected = match fate {
            Refused(status) | BrokenOff(status) => *status,
            Passed => 200,
        };
        assert_eq!(status.as_ref(), Ok(&expected), "{name}: {request:?}");
        if *fate != Passed {
            assert!(client.ends_here(), "{name}: the connection goes on after {request:?}");
        }
        judge(name, request, *fate, &origin.seen().text()[before..]);
    }
    // After all that, an ordinary request is answered as ever.
    assert_eq!(weir.client().ask(GET).text(), "ok");
    let smuggled = origin.requests().iter().any(|request| request.target().contains("smuggled"));
    assert!(!smuggled, "the origin answered a smuggled request");
}

/// Looks at what the origin saw of one case.
fn judge(name: &str, request: &str, fate: Fate, seen: &str) {
    let heads = seen.matches(" HTTP/1.1\r\n").count();
    match fate {
        Refused(_) => assert_eq!(seen, "", "{name}: the origin saw something of {request:?}"),
        BrokenOff(_) => assert!(!seen.contains("0\r\n\r\n") && heads <= 1, "{name}: the origin saw {seen:?}"),
        Passed => assert_eq!(heads, 1, "{name}: the origin saw {seen:?}"),
    }
    assert!(!seen.contains("/smuggled HTTP"), "{name}: the origin saw {seen:?}");
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

#[test]
fn a_body_has_one_length() {
    let five = "hello";
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    let cases: Vec<(&str, String, Fate)> = [
        ("one length", post("Content-Length: 5\r\n", five), Passed),
        ("no body", post("", ""), Passed),
        ("length zero", post("Content-Length: 0\r\n", ""), Passed),
        ("leading zeros", post("Content-Length: 0005\r\n", five), Passed),
        ("chunked", chunked(chunks), Passed),
        ("chunked in another case", post("transfer-encoding: ChUnKeD\r\n", chunks), Passed),
        (
            "CL.TE",
            post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", &format!("0\r\n\r\n{SMUGGLED}")),
            Refused(400),
        ),
        (
            "TE.CL",
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                &format!("5c\r\n{SMUGGLED}\r\n0\r\n\r\n"),
            ),
            Refused(400),
        ),
        (
            "CL.TE, both agree",
            post("Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", chunks),
            Refused(400),
        ),
        ("TE with CL 0", post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", chunks), Refused(400)),
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", five), Refused(400)),
        ("the same length twice", post("Content-Length: 5\r\nContent-Length: 5\r\n", five), Refused(400)),
        ("a list of lengths", post("Content-Length: 5, 5\r\n", five), Refused(400)),
        ("a list of different lengths", post("Content-Length: 5, 6\r\n", five), Refused(400)),
        ("a signed length", post("Content-Length: +5\r\n", five), Refused(400)),
        ("a negative length", post("Content-Length: -5\r\n", five), Refused(400)),
        ("a hexadecimal length", post("Content-Length: 0x5\r\n", five), Refused(400)),
        ("a length with an exponent", post("Content-Length: 5e0\r\n", five), Refused(400)),
        ("a length with a fraction", post("Content-Length: 5.0\r\n", five), Refused(400)),
        ("a length with a space", post("Content-Length: 5 5\r\n", five), Refused(400)),
        ("an empty length", post("Content-Length:\r\n", five), Refused(400)),
        ("no digits", post("Content-Length: five\r\n", five), Refused(400)),
        ("a huge length", post("Content-Length: 99999999999999999999\r\n", five), Refused(400)),
        ("2^63", post("Content-Length: 9223372036854775808\r\n", five), Refused(400)),
        ("2^64 + 5", post("Content-Length: 18446744073709551621\r\n", five), Refused(400)),
        ("full-width digits", post("Content-Length: \u{b2}\r\n", five), Refused(400)),
        ("identity", post("Transfer-Encoding: identity\r\n", chunks), Refused(400)),
        ("chunked twice", post("Transfer-Encoding: chunked, chunked\r\n", chunks), Refused(400)),
        (
            "chunked twice, in two fields",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunks),
            Refused(400),
        ),
        ("chunked is not last", post("Transfer-Encoding: chunked, gzip\r\n", chunks), Refused(400)),
        ("another coding", post("Transfer-Encoding: gzip, chunked\r\n", chunks), Refused(501)),
        ("an unknown coding", post("Transfer-Encoding: xchunked\r\n", chunks), Refused(400)),
        ("a parameter", post("Transfer-Encoding: chunked;q=1\r\n", chunks), Refused(400)),
        ("quotes", post("Transfer-Encoding: \"chunked\"\r\n", chunks), Refused(400)),
        ("an empty coding", post("Transfer-Encoding:\r\n", chunks), Refused(400)),
        ("an empty coding in a list", post("Transfer-Encoding: , chunked\r\n", chunks), Refused(400)),
        ("a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", chunks), Refused(400)),
        ("a space before the colon", post("Transfer-Encoding : chunked\r\n", chunks), Refused(400)),
        ("a tab before the colon", post("Transfer-Encoding\t: chunked\r\n", chunks), Refused(400)),
        ("a folded coding", post("Transfer-Encoding:\r\n chunked\r\n", chunks), Refused(400)),
        ("a space before the name", post(" Transfer-Encoding: chunked\r\n", chunks), Refused(400)),
        ("a NUL in the name", post("Transfer\0-Encoding: chunked\r\n", chunks), Refused(400)),
        (
            "HTTP/1.0 with a coding",
            format!("POST /p HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
            Refused(400),
        ),
    ]
    .into();
    check(&cases);
}

#[test]
fn names_that_some_servers_take_for_the_length_do_not_pass() {
    let origin = Origin::answering(ok("ok"));
    let weir = Weir::before(&origin);
    let fields =
        "Content_Length: 40\r\nTransfer_Encoding: chunked\r\nX_Forwarded_For: 6.6.6.6\r\nMy_Own: 1\r\n";
    let mut client = weir.client();
    assert_eq!(client.ask(post(&format!("Content-Length: 5\r\n{fields}"), "hello")).status, 200);
    let request = origin.only_request();
    assert_eq!(request.body, b"hello");
    for name in ["content_length", "transfer_encoding", "x_forwarded_for"] {
        assert!(!request.has(name), "{name} was sent on");
    }
    assert_eq!(request.get("my_own"), Some("1"));
}

#[test]
fn chunks_are_read_strictly_and_written_anew() {
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(5000));
    let cases: Vec<(&str, String, Fate)> = [
        ("two chunks", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", Passed),
        ("upper case", "A\r\n0123456789\r\n0\r\n\r\n", Passed),
        ("leading zeros", "0005\r\nhello\r\n000\r\n\r\n", Passed),
        ("an extension", "5;a=b;c=\"d;e\"\r\nhello\r\n0;last\r\n\r\n", Passed),
        ("a trailer", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", Passed),
        ("no size", "\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("0x", "0x5\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("a sign", "+5\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("negative", "-5\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("no hexadecimal digit", "g\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("a space before the size", " 5\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("a huge size", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("2^64 + 5", "10000000000000005\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("a bare LF after the size", "5\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("a bare CR after the size", "5\rhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("a bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("a line end in quotes", "5;a=\"\r\nhello\r\n0\r\n\r\n\"\r\n", BrokenOff(400)),
        ("a NUL in an extension", "5;a=\0\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("longer than said", "4\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("shorter than said", "6\r\nhello\r\n0\r\n\r\n", BrokenOff(400)),
        ("a bare LF after the data", "5\r\nhello\n0\r\n\r\n", BrokenOff(400)),
        ("a bare LF at the end", "5\r\nhello\r\n0\r\n\n", BrokenOff(400)),
        ("a bare LF in trailers", "5\r\nhello\r\n0\r\nA: b\n\r\n", BrokenOff(400)),
        ("a folded trailer", "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n", BrokenOff(400)),
        ("a trailer without a colon", "5\r\nhello\r\n0\r\nabc\r\n\r\n", BrokenOff(400)),
        ("a trailer with a NUL", "5\r\nhello\r\n0\r\nA: \0\r\n\r\n", BrokenOff(400)),
        ("a long extension", &long_extension, BrokenOff(400)),
    ]
    .map(|(name, body, fate)| (name, chunked(body), fate))
    .into();
    check(&cases);
}

#[test]
fn chunks_arrive_without_extensions_and_with_their_trailers() {
    let origin = Origin::answering(ok("ok"));
    let weir = Weir::before(&origin);
    let trailers = "X-Sum: 1\r\nTransfer-Encoding: x\r\nContent-Length: 9\r\nHost: b\r\nAuthorization: me\r\n\
                    X-Forwarded-For: 1.1.1.1\r\nX-Weir-Backend: canary\r\n";
    let body = format!("5;ext=1\r\nhello\r\n3\r\nyou\r\n0;end\r\n{trailers}\r\n");
    assert_eq!(weir.client().ask(chunked(&body)).status, 200);
    let request = origin.only_request();
    assert_eq!(text(&request.body), "helloyou");
    assert_eq!(request.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
    assert!(!origin.seen().text().contains("ext"));
}

#[test]
fn lines_and_bytes_of_a_head() {
    let get = |line: &str, fields: &str| format!("{line}\r\nHost: a\r\n{fields}\r\n");
    let field = |field: &str| get("GET / HTTP/1.1", field);
    let cases: Vec<(&str, String, Fate)> = [
        ("plain", field(""), Passed),
        ("an empty line first", format!("\r\n{}", field("")), Passed),
        ("no reason to mind Latin-1", field("X-Name: caf\u{e9}\r\n"), Passed),
        ("a tab in a value", field("X-Name: a\tb\r\n"), Passed),
        ("an empty value", field("X-Name:\r\n"), Passed),
        ("a bare LF in the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(), Refused(400)),
        ("a bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".to_owned(), Refused(400)),
        ("a bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n".to_owned(), Refused(400)),
        ("a bare LF first", format!("\n{}", field("")), Refused(400)),
        ("a bare CR in a value", field("X: a\rb\r\n"), Refused(400)),
        ("a bare CR in the request line", get("GET / HTTP/1.1\r", ""), Refused(400)),
        ("CR CR LF", field("X: a\r\r\n"), Refused(400)),
        ("obs-fold", field("X: a\r\n b\r\n"), Refused(400)),
        ("obs-fold with a tab", field("X: a\r\n\tb\r\n"), Refused(400)),
        ("a NUL in a value", field("X: a\0b\r\n"), Refused(400)),
        ("a control byte in a value", field("X: a\x01b\r\n"), Refused(400)),
        ("DEL in a value", field("X: a\x7fb\r\n"), Refused(400)),
        ("a space in a name", field("X Y: a\r\n"), Refused(400)),
        ("no name", field(": a\r\n"), Refused(400)),
        ("no colon", field("X\r\n"), Refused(400)),
        ("a name with brackets", field("X[]: a\r\n"), Refused(400)),
        ("a name in Latin-1", field("X\u{e9}: a\r\n"), Refused(400)),
        ("two spaces before the target", get("GET  / HTTP/1.1", ""), Refused(400)),
        ("two spaces after the target", get("GET /  HTTP/1.1", ""), Refused(400)),
        ("a tab in the request line", get("GET\t/ HTTP/1.1", ""), Refused(400)),
        ("a space at the end of the request line", get("GET / HTTP/1.1 ", ""), Refused(400)),
        ("a space in the target", get("GET /a b HTTP/1.1", ""), Refused(400)),
        ("a NUL in the target", get("GET /a\0b HTTP/1.1", ""), Refused(400)),
        ("a control byte in the target", get("GET /a\x1fb HTTP/1.1", ""), Refused(400)),
        ("a method with brackets", get("GET() / HTTP/1.1", ""), Refused(400)),
        ("no method", get("/ HTTP/1.1", ""), Refused(400)),
        ("no version", get("GET /", ""), Refused(400)),
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned(), Refused(400)),
        ("HTTP/1.2", get("GET / HTTP/1.2", ""), Refused(505)),
        ("HTTP/2.0", get("GET / HTTP/2.0", ""), Refused(505)),
        ("http in lower case", get("GET / http/1.1", ""), Refused(400)),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), Refused(505)),
        ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n".to_owned(), Refused(400)),
    ]
    .into();
    check(&cases);
}

#[test]
fn an_incomplete_head_is_no_request() {
    let origin = Origin::answering(ok("ok"));
    let weir = Weir::before(&origin);
    for part in ["", "G", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"] {
        let mut client = weir.client();
        client.send(part).half_close();
        assert_eq!(client.everything().0, "", "after {part:?}");
    }
    assert_eq!(origin.seen().text(), "");
}

#[test]
fn a_body_that_ends_early_is_no_request() {
    let origin = Origin::scripted(|peer| {
        peer.request();
    });
    let weir = Weir::before(&origin);
    for request in [post("Content-Length: 10\r\n", "hello"), chunked("5\r\nhel"), chunked("5\r\nhello\r\n")] {
        let mut client = weir.client();
        client.send(&request).half_close();
        assert!(matches!(client.try_response(), Err(Broken::Ended(..))), "{request:?}");
    }
    origin.wait("the ends", |seen| seen.connections.iter().filter(|c| c.end.is_some()).count() == 3);
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn what_follows_a_refused_request_is_never_a_request() {
    let origin = Origin::answering(ok("ok"));
    let weir = Weir::before(&origin);
    let mut client: Client = weir.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a b\r\n\r\n{SMUGGLED}"));
    assert_eq!(client.response().status, 400);
    client.half_close();
    assert!(client.ends_here());
    assert_eq!(origin.seen().text(), "");
}
