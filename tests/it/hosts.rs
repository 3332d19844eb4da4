//! Host and request target: exactly one host, and what was received is what is sent on.

use crate::support::{Origin, Weir, ok};

/// Sends each request and expects this status; where it is 200, the origin must have seen this target and Host.
fn check(cases: &[(&str, u16, &str, &str)]) {
    let origin = Origin::answering(ok("ok"));
    let weir = Weir::before(&origin);
    for (request, status, target, host) in cases {
        let before = origin.requests().len();
        let response = weir.client().ask(request);
        assert_eq!(response.status, *status, "{request:?}");
        let seen = &origin.requests()[before..];
        if *status == 200 {
            assert_eq!(seen.len(), 1, "{request:?}");
            assert_eq!((seen[0].target(), seen[0].get("host")), (*target, Some(*host)), "{request:?}");
        } else {
            assert!(seen.is_empty(), "{request:?} reached the origin");
        }
    }
}

#[test]
fn there_is_exactly_one_well_formed_host() {
    check(&[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, "/", "a"),
        ("GET / HTTP/1.1\r\nHOST: A.Example:8080\r\n\r\n", 200, "/", "A.Example:8080"),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200, "/", "[::1]:80"),
        ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 200, "/", "a:"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: [nonsense]\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: <a>\r\n\r\n", 400, "", ""),
        ("GET / HTTP/1.1\r\nHost: \u{e4}\r\n\r\n", 400, "", ""),
    ]);
}

#[test]
fn an_absolute_target_agrees_with_host() {
    check(&[
        ("GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n", 200, "/x?y", "a"),
        ("GET HTTP://A/x HTTP/1.1\r\nHost: a\r\n\r\n", 200, "/x", "A"),
        ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 200, "/", "a"),
        ("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", 200, "/?x", "a"),
        ("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 200, "/", "a:80"),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400, "", ""),
        ("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""),
        ("GET http://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n", 400, "", ""),
        ("GET http://a:80/ HTTP/1.1\r\nHost: a:443\r\n\r\n", 400, "", ""),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400, "", ""),
        ("GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""),
        ("GET /x#fragment HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200, "*", "a"),
        ("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", 200, "*", "a"),
        ("OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n", 200, "/x", "a"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "", ""),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "", ""),
        ("connect a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 400, "", ""),
    ]);
}

#[test]
fn the_target_is_sent_on_byte_for_byte() {
    let origin = Origin::answering(ok("ok"));
    let weir = Weir::before(&origin);
    let targets = [
        "/%2e%2e/%2F/a%20b",
        "/../../etc/passwd",
        "/./a//b/",
        "//evil.example/x",
        "/a;b=c/d",
        "/?",
        "/??",
        "/?a=b&a=c&&%00",
        "/%zz%",
        "/\"<>\\^`{|}",
        "/%C3%A4",
        "/a:b@c",
    ];
    let mut client = weir.client();
    for target in targets {
        assert_eq!(client.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).status, 200, "{target}");
    }
    let seen: Vec<String> = origin.requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(seen, targets);
}

#[test]
fn http_1_0_may_lack_a_host() {
    let origin = Origin::answering(ok("ok"));
    let weir = Weir::before(&origin);
    assert_eq!(weir.client().ask("GET /x HTTP/1.0\r\n\r\n").status, 200);
    let request = origin.only_request();
    assert_eq!(request.get("host"), Some(origin.address.to_string().as_str()));
    assert!(!request.has("x-forwarded-host"), "there was no host to speak of");
}
