//! Copies of requests: what the other backend gets, and that the primary never notices.

use crate::support::{
    GET, Gate, Origin, Setup, Weir,
    origin::nobody,
    streams::{StreamOrigin, ask, respond},
};

fn mirrored(stable: &Origin, canary: std::net::SocketAddr, mirror: &str) -> Weir {
    Setup::before(stable)
        .backend("canary", &[canary])
        .route(&format!(
            "name: all, backend: stable, rewrite: {{ prefix: /v2 }}, mirror: {{ backend: canary, {mirror} }}"
        ))
        .start()
}

#[test]
fn a_copy_is_marked_and_compared() {
    let stable = Origin::named("stable");
    let canary = Origin::answering("HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno");
    let weir = mirrored(&stable, canary.address, "percent: 100");
    let mut client = weir.client();
    for _ in 0..3 {
        let response = client.ask("GET /x?y HTTP/1.1\r\nHost: a\r\nX-Weir-Mirror: no\r\nX-Own: 1\r\n\r\n");
        assert_eq!(response.text(), "stable");
    }
    weir.counts("weir_mirrored_requests_total", "route=\"all\",primary=\"2xx\",mirror=\"5xx\"", 3);
    let copies = canary.requests();
    assert_eq!(copies.len(), 3);
    for copy in &copies {
        assert_eq!(
            (copy.target(), copy.get("x-weir-mirror"), copy.get("x-own")),
            ("/v2/x?y", Some("true"), Some("1"))
        );
        assert_eq!(copy.get("host"), Some("a"));
    }
    assert!(stable.requests().iter().all(|request| !request.has("x-weir-mirror")));
    assert_eq!(weir.count("weir_mirror_duration_seconds_count", "side=\"primary\""), 3);
    assert_eq!(weir.count("weir_mirror_duration_seconds_count", "side=\"mirror\""), 3);
    assert_eq!(weir.count("weir_requests_total", "backend=\"canary\""), 0);
    // Neither method nor upgrade is copied.
    client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1");
    client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    client.ask(GET);
    weir.counts("weir_mirrored_requests_total", "", 4);
    assert_eq!(canary.requests().len(), 4);
}

#[test]
fn bodies_are_copied_as_far_as_they_are_kept() {
    let (stable, canary) = (Origin::named("stable"), Origin::named("canary"));
    let weir = mirrored(&stable, canary.address, "methods: [POST], max_body: 16B");
    let mut client = weir.client();
    for (body, framing) in [
        ("0123456789abcdef", "Content-Length: 16\r\n\r\n0123456789abcdef"),
        ("0123", "Transfer-Encoding: chunked\r\n\r\n2\r\n01\r\n2\r\n23\r\n0\r\n\r\n"),
        ("", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        let before = canary.requests().len();
        assert_eq!(client.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}")).text(), "stable");
        let seen = canary.wait("a copy", |seen| seen.requests().count() > before);
        assert_eq!(seen.requests().last().unwrap().body, body.as_bytes());
    }
    weir.counts("weir_mirrored_requests_total", "primary=\"2xx\",mirror=\"2xx\"", 3);
    // Too large: one says so, the other turns out to be.
    let large = "Content-Length: 17\r\n\r\n0123456789abcdefg";
    assert_eq!(client.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{large}")).text(), "stable");
    let large = "Transfer-Encoding: chunked\r\n\r\n11\r\n0123456789abcdefg\r\n0\r\n\r\n";
    assert_eq!(client.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{large}")).text(), "stable");
    weir.counts("weir_mirror_dropped_total", "", 1);
    assert_eq!(canary.requests().len(), 3);
}

#[test]
fn a_mirror_that_fails_or_hangs_is_nobodys_trouble() {
    let stable = Origin::named("stable");
    let weir = mirrored(&stable, nobody(), "percent: 100%");
    assert_eq!(weir.client().ask(GET).text(), "stable");
    weir.counts("weir_mirrored_requests_total", "primary=\"2xx\",mirror=\"error\"", 1);
    assert_eq!(weir.count("weir_upstream_errors_total", ""), 0);

    let gate = Gate::default();
    let held = gate.clone();
    let canary = Origin::scripted(move |peer| {
        while peer.request().is_some() {
            held.wait();
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let weir = mirrored(&stable, canary.address, "max_in_flight: 1");
    let mut client = weir.client();
    for _ in 0..3 {
        assert_eq!(client.ask(GET).text(), "stable");
    }
    weir.counts("weir_mirror_dropped_total", "", 2);
    gate.open();
    weir.counts("weir_mirrored_requests_total", "primary=\"2xx\",mirror=\"2xx\"", 1);
}

#[test]
fn streams_are_copied_as_well() {
    let stable = Origin::named("stable");
    let canary = StreamOrigin::answering(|_, request, to| {
        tokio::spawn(async move {
            let marked = request.headers().get("x-weir-mirror").is_some_and(|value| value == "true");
            let mut body = request.into_body();
            let mut bytes = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                bytes.extend_from_slice(&piece);
            }
            respond(to, if marked && bytes == b"12345678" { 201 } else { 500 }, "canary");
        });
    });
    let weir = Setup::before(&stable)
        .listener("name: web, bind: \"127.0.0.1:0\", protocols: [h2c, http/1.1]")
        .backend_with("canary", &[canary.address], "protocol: h2c")
        .route("name: all, backend: stable, mirror: { backend: canary, methods: [POST] }")
        .start();
    let post = http::Request::post("http://a/").body(()).unwrap();
    let (_, body) = ask(weir.address(), post, &[b"1234", b"5678"]);
    assert_eq!(body, b"stable");
    let chunks = "Transfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n0\r\n\r\n";
    assert_eq!(weir.client().ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{chunks}")).text(), "stable");
    weir.counts("weir_mirrored_requests_total", "primary=\"2xx\",mirror=\"2xx\"", 2);
}
