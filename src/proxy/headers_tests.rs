//! Header rules by table: what goes up, what comes down.

use super::*;
use crate::http::{HeadLimits, HeaderList};

fn upstream(fields: &[(&str, &str)], trusted: bool, framing: Framing) -> String {
    let list = HeaderList::from_pairs(fields.iter().copied());
    let mut out = Vec::new();
    UpstreamHead {
        method: "GET",
        path_and_query: b"/a%2Fb?c",
        host: b"shop.example:8080",
        client_host: b"shop.example:8080",
        headers: list.view(),
        framing,
        trusted,
        peer_ip: "203.0.113.9".parse().unwrap(),
        scheme: "http",
        identity: trusted.then_some("Hash=0"),
        region_headers: &[RegionHeader {
            name: "CF-IPCountry".into(),
            from: ["198.51.100.0/24".parse().unwrap()].into_iter().collect(),
        }],
        upgrade: None,
        entropy: [1, 2, 3, 4],
        edits: Edits::default(),
        testimony: Testimony::default(),
    }
    .write(&mut out);
    String::from_utf8(out).unwrap().replace("\r\n", "\n")
}

#[test]
fn an_untrusted_request_is_cleaned() {
    let head = upstream(
        &[
            ("Host", "shop.example:8080"),
            ("Connection", "keep-alive, X-Secret, Cookie, Authorization, TE"),
            ("X-Secret", "1"),
            ("Cookie", "a=b"),
            ("Authorization", "Basic x"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-Proto", "https"),
            ("Forwarded", "for=6.6.6.6"),
            ("X-Real-IP", "6.6.6.6"),
            ("X-Weir-Backend", "canary"),
            ("X-Forwarded-Client-Cert", "Hash=6"),
            ("cf-ipcountry", "DE"),
            ("X-Request-Id", "mine"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("Accept", "*/*"),
        ],
        false,
        Framing::None,
    );
    insta::assert_snapshot!(head, @r"
    GET /a%2Fb?c HTTP/1.1
    host: shop.example:8080
    Cookie: a=b
    Authorization: Basic x
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    Accept: */*
    x-forwarded-for: 203.0.113.9
    x-forwarded-proto: http
    x-forwarded-host: shop.example:8080
    x-request-id: 00000000000000010000000000000002
    ");
}

#[test]
fn a_trusted_peer_is_appended_to() {
    let head = upstream(
        &[
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-For", "1.2.3.4, 10.0.0.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Request-Id", "theirs"),
            ("X-Forwarded-Client-Cert", "Hash=6"),
            ("TE", "gzip"),
            ("traceparent", "nonsense"),
        ],
        true,
        Framing::Chunked,
    );
    insta::assert_snapshot!(head, @r"
    GET /a%2Fb?c HTTP/1.1
    host: shop.example:8080
    X-Forwarded-Proto: https
    X-Request-Id: theirs
    x-forwarded-for: 6.6.6.6, 1.2.3.4, 10.0.0.1, 203.0.113.9
    x-forwarded-host: shop.example:8080
    x-forwarded-client-cert: Hash=0
    traceparent: 00-00000000000000030000000000000004-0000000000000005-00
    transfer-encoding: chunked
    ");
}

#[test]
fn a_response_keeps_its_fields_and_their_order() {
    let bytes =
        b"HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
        Content-Length: 3\r\nSet-Cookie: b=2\r\nVary: X\r\n\r\n";
    let mut head = ResponseHead::default();
    head.parse(bytes, false, HeadLimits { bytes: 4096, fields: 100 }).unwrap();
    let mut out = Vec::new();
    let client = ClientHead {
        version: Version::Http11,
        keep_alive: true,
        chunked: false,
        set_cookie: Some("weir=x"),
        date: "Sun, 06 Nov 1994 08:49:37 GMT",
        edits: Edits::default(),
        proof: None,
    };
    client.write(&head, bytes, &mut out);
    insta::assert_snapshot!(String::from_utf8(out).unwrap().replace("\r\n", "\n"), @r"
    HTTP/1.1 200 Fine
    Set-Cookie: a=1
    Content-Length: 3
    Set-Cookie: b=2
    Vary: X
    date: Sun, 06 Nov 1994 08:49:37 GMT
    set-cookie: weir=x
    ");
}

#[test]
fn trailers_that_would_mean_more_are_dropped() {
    let mut out = Vec::new();
    write_trailers(
        b"X-Sum: 1\r\nContent-Length: 5\r\nHost: b\r\nAuthorization: x\r\ngrpc-status: 0\r\n",
        Trailing::default(),
        &mut out,
    );
    assert_eq!(out, b"X-Sum: 1\r\ngrpc-status: 0\r\n");
}

#[test]
fn trailers_that_a_route_keeps_back_are_dropped() {
    let edits = crate::policy::HeaderEdits::new(["X-Debug"], [("X-Tenant", "shop")], [("X-Added", "1")]);
    let regions = [RegionHeader { name: "X-Country".into(), from: std::iter::empty().collect() }];
    let trailing = Trailing {
        edits: Edits::of(&edits),
        regions: Some((&regions, "203.0.113.9".parse().unwrap())),
        ..Trailing::default()
    };
    let mut out = Vec::new();
    write_trailers(
        b"X-Sum: 1\r\nx_debug: 1\r\nX-TENANT: evil\r\nX-Country: DE\r\nx_country: DE\r\nX-Added: 2\r\n",
        trailing,
        &mut out,
    );
    assert_eq!(out, b"X-Sum: 1\r\nX-Added: 2\r\n");
}

#[test]
fn traceparents_are_checked() {
    for (value, expected) in [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
        ("00-4bf92f", false),
    ] {
        assert_eq!(is_traceparent(value.as_bytes()), expected, "{value}");
    }
}
