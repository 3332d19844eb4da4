//! Header rules, as an origin and a client see them.

use crate::support::{Client, GET, Origin, Request, Setup, Weir};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Sends a GET with these fields and gives what the origin saw.
fn seen_with(weir: &Weir, origin: &Origin, fields: &str) -> Request {
    let response = weir.client().ask(format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n"));
    assert_eq!(response.status, 200, "{fields:?}");
    origin.requests().pop().unwrap()
}

#[test]
fn hop_by_hop_fields_end_here() {
    let origin = Origin::answering(ANSWER);
    let weir = Weir::before(&origin);
    let request = seen_with(
        &weir,
        &origin,
        "Connection: keep-alive, X-Mine, x-other\r\nX-Mine: 1\r\nX-OTHER: 2\r\nX-Stays: 3\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nProxy-Authenticate: Basic\r\nTE: gzip\r\n\
         Trailer: X-Sum\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
    );
    for name in [
        "connection",
        "x-mine",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
        "te",
        "trailer",
        "upgrade",
    ] {
        assert!(!request.has(name), "{name} was sent on");
    }
    assert_eq!(request.get("x-stays"), Some("3"));
    assert_eq!(seen_with(&weir, &origin, "TE: trailers\r\n").get("te"), Some("trailers"));
}

#[test]
fn connection_cannot_name_away_what_a_backend_relies_on() {
    let origin = Origin::answering(ANSWER);
    let weir = Weir::before(&origin);
    let names = "Host, Authorization, Cookie, Content-Length, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, \
                 X-Request-Id, traceparent, close";
    let request =
        seen_with(&weir, &origin, &format!("Connection: {names}\r\nAuthorization: me\r\nCookie: a=b\r\n"));
    assert_eq!(request.get("host"), Some("shop.example"));
    assert_eq!(request.get("authorization"), Some("me"));
    assert_eq!(request.get("cookie"), Some("a=b"));
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "traceparent"] {
        assert!(request.has(name), "{name} is missing");
    }
    let body = "Content-Length: 5\r\nConnection: content-length\r\n\r\nhello";
    assert_eq!(weir.client().ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{body}")).status, 200);
    assert_eq!(origin.requests().pop().unwrap().body, b"hello");
}

#[test]
fn a_peer_that_is_not_trusted_is_not_believed() {
    let origin = Origin::answering(ANSWER);
    let weir = Weir::before(&origin);
    let request = seen_with(
        &weir,
        &origin,
        "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
         X-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Weir-Region: DE\r\nX-Request-Id: mine\r\n",
    );
    assert_eq!(request.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.get("x-forwarded-proto"), Some("http"));
    assert_eq!(request.get("x-forwarded-host"), Some("shop.example"));
    for name in ["x-forwarded-port", "forwarded", "x-real-ip", "x-weir-region"] {
        assert!(!request.has(name), "{name} was sent on");
    }
    let id = request.get("x-request-id").unwrap();
    assert!(id.len() == 32 && id.chars().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    assert!(!origin.seen().text().contains("6.6.6.6"));
}

#[test]
fn a_signed_override_ends_here_whoever_sends_it() {
    let origin = Origin::answering(ANSWER);
    let weir = Setup::before(&origin).top("trusted_proxies: [127.0.0.0/8]").start();
    let fields = "X-Weir-Override: a\r\nX_Weir_Override: b\r\nX-Weir-Other: c\r\n";
    let request = seen_with(&weir, &origin, fields);
    assert!(!request.has("x-weir-override") && !request.has("x_weir_override"));
    assert_eq!(request.get("x-weir-other"), Some("c"));
}

#[test]
fn a_trusted_peer_is_appended_to() {
    let origin = Origin::answering(ANSWER);
    let weir = Setup::before(&origin).top("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]").start();
    let request = seen_with(
        &weir,
        &origin,
        "X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: public.example\r\nX-Request-Id: theirs\r\nForwarded: for=203.0.113.9\r\n",
    );
    assert_eq!(request.get("x-forwarded-for"), Some("6.6.6.6, 203.0.113.9, 10.0.0.2, 127.0.0.1"));
    assert_eq!(request.get("x-forwarded-proto"), Some("https"));
    assert_eq!(request.get("x-forwarded-host"), Some("public.example"));
    assert_eq!(request.get("x-request-id"), Some("theirs"));
    assert_eq!(request.get("forwarded"), Some("for=203.0.113.9"));
}

#[test]
fn the_client_behind_trusted_proxies_decides_rules() {
    let stable = Origin::named("stable");
    let canary = Origin::named("canary");
    let weir = Setup::new()
        .backend("stable", &[stable.address])
        .backend("canary", &[canary.address])
        .top("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]")
        .route(
            "name: all, rules: [ { match: { client_ip: [203.0.113.0/24] }, backend: canary } ], \
             split: { backends: { stable: 1, canary: 0 } }",
        )
        .start();
    for (forwarded, backend) in [
        ("203.0.113.9", "canary"),
        ("203.0.113.9, 10.0.0.1", "canary"),
        // What is left of the first untrusted hop was written by that hop.
        ("203.0.113.9, 198.51.100.1", "stable"),
        ("203.0.113.9, unknown", "stable"),
        ("10.0.0.1", "stable"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {forwarded}\r\n\r\n");
        assert_eq!(weir.client().ask(request).text(), backend, "{forwarded}");
    }
}

#[test]
fn a_trace_is_continued_or_begun() {
    let origin = Origin::answering(ANSWER);
    let weir = Weir::before(&origin);
    let theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = seen_with(&weir, &origin, &format!("traceparent: {theirs}\r\ntracestate: a=b\r\n"));
    assert_eq!((request.get("traceparent"), request.get("tracestate")), (Some(theirs), Some("a=b")));
    for bad in ["", "nonsense", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let request = seen_with(&weir, &origin, &format!("traceparent: {bad}\r\n"));
        let ours = request.get("traceparent").unwrap();
        assert!(ours.len() == 55 && ours != bad, "{ours}");
    }
    let first = seen_with(&weir, &origin, "").get("traceparent").map(str::to_owned);
    assert_ne!(first.as_deref(), seen_with(&weir, &origin, "").get("traceparent"));
}

#[test]
fn case_order_and_duplicates_are_kept_both_ways() {
    let fields = [
        ("X-B", "1"),
        ("x-a", "2"),
        ("X-B", "3"),
        ("X-c", ""),
        ("X-CAF", "caf\u{e9}"),
        ("Cookie", "a=1"),
        ("Cookie", "b=2"),
    ];
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let origin =
        Origin::answering(latin1(&format!("HTTP/1.1 299 Any Reason\r\n{lines}Content-Length: 0\r\n\r\n")));
    let weir = Weir::before(&origin);
    let mut client = weir.client();
    client.send(latin1(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")));
    let response = client.response();
    let ours = |all: &[(String, String)]| -> Vec<(String, String)> {
        all.iter().filter(|(name, _)| fields.iter().any(|(known, _)| known == name)).cloned().collect()
    };
    let expected: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(ours(&origin.only_request().head.fields), expected);
    assert_eq!(ours(&response.head.fields), expected);
    assert_eq!(response.head.start, "HTTP/1.1 299 Any Reason");
}

#[test]
fn cookies_are_never_merged() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1, b\r\nSet-Cookie: b=2; Path=/\r\nContent-Length: 0\r\n\r\n",
    );
    let weir = Setup::before(&origin).split("backends: { stable: 100 }").start();
    let response = weir.client().ask(GET);
    let set = response.head.all("set-cookie");
    assert_eq!(set[..2], ["a=1, b", "b=2; Path=/"]);
    assert!(set.len() == 3 && set[2].starts_with("weir="), "{set:?}");
}

#[test]
fn a_response_says_nothing_of_its_own_hop() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X\r\nServer: theirs\r\nDate: then\r\nContent-Length: 0\r\n\r\n",
    );
    let weir = Weir::before(&origin);
    let response = weir.client().ask(GET);
    for name in ["connection", "x-hop", "keep-alive", "proxy-authenticate", "upgrade", "trailer"] {
        assert!(!response.head.has(name), "{name} was sent on");
    }
    assert_eq!((response.get("server"), response.get("date")), (Some("theirs"), Some("then")));
    let origin = Origin::answering(ANSWER);
    assert!(Weir::before(&origin).client().ask(GET).head.has("date"), "a response has a date");
}

#[test]
fn regions_are_believed_from_those_that_may_name_them() {
    let origin = Origin::answering(ANSWER);
    let setup = |from: &str| {
        Setup::before(&origin)
            .top(&format!("geo: {{ trusted_header: {{ name: CF-IPCountry, from: [{from}] }} }}"))
    };
    let weir = setup("127.0.0.0/8").start();
    assert_eq!(seen_with(&weir, &origin, "cf-ipcountry: DE\r\n").get("cf-ipcountry"), Some("DE"));
    let weir = setup("10.0.0.0/8").start();
    assert!(!seen_with(&weir, &origin, "cf-ipcountry: DE\r\n").has("cf-ipcountry"));
}

#[test]
fn what_weir_says_itself_tells_nothing_of_what_is_behind_it() {
    let weir = Setup::new().backend("stable", &[crate::support::origin::nobody()]).start();
    let response = Client::to(weir.address()).ask(GET);
    assert_eq!((response.status, response.get("cache-control")), (502, Some("no-store")));
    assert!(!response.head.has("server"));
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect()
}
