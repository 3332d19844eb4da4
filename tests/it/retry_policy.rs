//! What a route's `retry` sends again, and which response the client gets in the end.

use bytes::Bytes;

use crate::support::{
    Client, End, GET, Origin, Setup, Weir, ok,
    origin::nobody,
    pattern,
    streams::{StreamOrigin, respond},
};

const AT_ONCE: &str = "backoff: { base: 0s }";

fn status(code: u16, body: &str) -> String {
    format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A Weir before these origins with a policy.
fn before(origins: &[&Origin], policy: &str) -> Weir {
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    Setup::new()
        .backend_with("stable", &addresses, "lb_policy: round_robin")
        .route(&format!("name: all, backend: stable, retry: {{ {policy}, {AT_ONCE} }}"))
        .start()
}

/// An origin that answers its requests, over all connections, with these texts in turn; the last one for all others.
/// An empty text closes the connection without an answer.
fn in_turn(texts: &[&str]) -> Origin {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    Origin::scripted(move |peer| {
        while peer.request().is_some() {
            let turn = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed).min(texts.len() - 1);
            if texts[turn].is_empty() {
                return;
            }
            peer.send(&texts[turn]);
        }
    })
}

#[test]
fn a_listed_status_is_tried_on_another_endpoint() {
    let (busy, well) = (Origin::answering(status(503, "busy")), Origin::named("well"));
    let weir = before(&[&busy, &well], "attempts: 2, on: 503");
    let mut client = weir.client();
    for _ in 0..10 {
        assert_eq!(client.ask(GET).text(), "well");
    }
    assert!(weir.retries() >= 4 && busy.requests().len() as u64 == weir.retries());
    weir.counts("weir_requests_total", "code=\"200\"", 10);
    assert_eq!(busy.seen().connections.len() + well.seen().connections.len(), 2, "all are used again");
}

#[test]
fn an_only_endpoint_is_asked_again() {
    for (answers, attempts, expected, asked) in [
        (&[status(503, "a"), ok("b")][..], 2, (200, "b"), 2),
        (&[status(503, "a"), status(503, "b"), status(503, "c"), ok("d")], 3, (503, "c"), 3),
        (&[status(503, "a"), ok("b")], 1, (503, "a"), 1),
        (&[status(500, "a"), ok("b")], 3, (500, "a"), 1),
        (&[status(503, "a"), status(500, "b"), ok("c")], 3, (500, "b"), 2),
    ] {
        let origin = in_turn(&answers.iter().map(String::as_str).collect::<Vec<_>>());
        let weir = before(&[&origin], &format!("attempts: {attempts}, on: [503]"));
        let answer = weir.client().ask(GET);
        assert_eq!((answer.status, answer.text().as_str()), expected, "{answers:?}");
        assert_eq!(origin.requests().len(), asked, "{answers:?}");
    }
}

#[test]
fn what_is_not_idempotent_gets_the_status() {
    let origin = in_turn(&[&status(503, "busy"), &ok("ok")]);
    let weir = before(&[&origin], "on: 5xx");
    let answer = weir.client().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((answer.status, origin.requests().len()), (503, 1));
}

#[test]
fn the_last_real_response_is_what_the_client_sees() {
    let long = (0..150_000).map(|number| format!("{number:06} ")).collect::<String>();
    for body in ["busy", &long] {
        // The other attempt comes to nothing: a reset, silence, garbage.
        for (answer, conditions) in [("", "503"), ("", "5xx"), ("nonsense\r\n\r\n", "5xx")] {
            let origin = in_turn(&[&status(503, body), answer]);
            let weir = before(&[&origin], &format!("attempts: 2, on: {conditions}"));
            let mut client = weir.client();
            let response = client.ask(GET);
            assert_eq!((response.status, response.text().len()), (503, body.len()));
            assert_eq!(response.text(), body);
            weir.counts("weir_requests_total", "code=\"503\"", 1);
            weir.counts("weir_retries_total", "", 1);
        }
    }
}

#[test]
fn a_held_response_is_thrown_away_when_a_better_one_comes() {
    let long = "x".repeat(1_000_000);
    let origin = in_turn(&[&status(503, &long), &ok("ok"), &ok("again")]);
    let weir = before(&[&origin], "on: 503");
    let mut client = weir.client();
    assert_eq!(client.ask(GET).text(), "ok");
    assert_eq!(client.ask(GET).text(), "again");
    origin.wait("the end of the held one", |seen| seen.connections[0].end.is_some());
}

#[test]
fn an_answer_that_does_not_come_in_time_is_tried_elsewhere() {
    let silent = Origin::scripted(|peer| {
        peer.request();
        peer.end();
    });
    let well = Origin::named("well");
    let weir = before(&[&silent, &well], "attempts: 2, on: 504, per_try_timeout: 50ms");
    let mut client = weir.client();
    for _ in 0..4 {
        assert_eq!(client.ask(GET).text(), "well");
    }
    assert_eq!(weir.count("weir_upstream_errors_total", "timeout"), weir.retries());
    assert!(weir.retries() > 0);
}

#[test]
fn connections_that_end_are_tried_elsewhere_when_listed() {
    for (policy, expected) in
        [("on: reset_before_response", 200), ("on: 502", 200), ("on: connect_failure", 502)]
    {
        let origin = in_turn(&["", &ok("ok")]);
        let weir = before(&[&origin], policy);
        assert_eq!(weir.client().ask(GET).status, expected, "{policy}");
    }
    let well = Origin::named("well");
    for (policy, good) in [("on: connect_failure", true), ("on: 503", false)] {
        let weir = Setup::new()
            .backend_with("stable", &[nobody(), well.address], "lb_policy: round_robin")
            .route(&format!("name: all, backend: stable, retry: {{ {policy} }}"))
            .start();
        let all = (0..4).all(|_| weir.client().ask(GET).status == 200);
        assert_eq!(all, good, "{policy}");
    }
}

/// What a client sends as the body of a PUT.
fn put(body: &[u8], chunked: bool) -> Vec<u8> {
    if chunked {
        let mut bytes = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in body.chunks(30_000) {
            bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
            bytes.extend(piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    } else {
        let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }
}

#[test]
fn a_body_is_sent_again_as_far_as_it_is_kept() {
    let body = pattern(300_000);
    for chunked in [false, true] {
        for (max_body, expected) in [("512KiB", 200), ("64KiB", 503), ("0", 503)] {
            let origin = in_turn(&[&status(503, "busy"), &ok("ok")]);
            let weir = before(&[&origin], &format!("on: 503, max_body: {max_body}"));
            let mut client = weir.client();
            // The next request is behind it already.
            client.send([put(&body, chunked), GET.as_bytes().to_vec()].concat());
            assert_eq!(client.response().status, expected, "{max_body}");
            assert_eq!(client.response().text(), "ok", "{max_body}");
            let requests = origin.requests();
            let seen = requests.iter().filter(|request| request.head.start.starts_with("PUT"));
            assert!(seen.clone().all(|request| request.body == body));
            assert_eq!(seen.count(), if expected == 200 { 2 } else { 1 });
        }
    }
}

#[test]
fn a_body_that_nobody_read_is_not_taken_for_a_request() {
    // The first answers before the body; the second is not there.
    let origin = Origin::scripted(|peer| {
        if peer.number == 0 {
            peer.head();
            peer.send(status(503, "busy"));
        }
    });
    let weir = before(&[&origin], "attempts: 2, on: 503");
    let mut client = weir.client();
    client.send(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let answer = client.response();
    assert_eq!((answer.status, answer.get("connection")), (503, Some("close")));
    assert_eq!(client.end(), End::Closed);
    assert!(!origin.requests().iter().any(|request| request.target() == "/smuggled"));
}

#[test]
fn a_budget_ends_retries_and_says_so() {
    let origin = Origin::answering(status(503, "busy"));
    let weir = before(&[&origin], "attempts: 2, on: 503, budget: 0%");
    let mut client = weir.client();
    for _ in 0..150 {
        assert_eq!(client.ask(GET).status, 503);
    }
    // Ten in each of ten seconds, whatever the percentage; this takes less than those.
    weir.counts("weir_retry_budget_exhausted_total", "", 50);
    assert_eq!(weir.retries(), 100);
    assert_eq!(origin.requests().len(), 250);
}

#[test]
fn outlier_detection_sees_every_attempt() {
    let (busy, well) = (Origin::answering(status(503, "busy")), Origin::named("well"));
    let weir = Setup::new()
        .backend_with(
            "stable",
            &[busy.address, well.address],
            "lb_policy: round_robin, outlier_detection: { consecutive_5xx: 2 }",
        )
        .route(&format!("name: all, backend: stable, retry: {{ on: 503, {AT_ONCE} }}"))
        .start();
    let mut client = weir.client();
    for _ in 0..20 {
        assert_eq!(client.ask(GET).status, 200);
    }
    assert_eq!(busy.requests().len(), 2);
}

// --- HTTP/2 ---

#[test]
fn a_refused_stream_is_sent_again_whatever_the_method() {
    for (policy, expected) in
        [("shield: false", 200), ("retry: { on: refused_stream }", 200), ("retry: { on: 503 }", 502)]
    {
        let origin = StreamOrigin::answering(|number, _, mut to| {
            if number == 0 {
                to.send_reset(h2::Reason::REFUSED_STREAM);
            } else {
                respond(to, 200, "ok");
            }
        });
        let weir = Setup::new()
            .backend_with("stable", &[origin.address], "protocol: h2c")
            .route(&format!("name: all, backend: stable, {policy}"))
            .start();
        let answer = weir.client().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(answer.status, expected, "{policy}");
    }
}

#[test]
fn a_status_of_an_http2_endpoint_is_tried_again_or_passed_on() {
    for (second, expected) in [(200, "ok"), (0, "busy")] {
        let origin = StreamOrigin::answering(move |number, _, mut to| match (number, second) {
            (0, _) => respond(to, 503, "busy"),
            (_, 0) => to.send_reset(h2::Reason::INTERNAL_ERROR),
            _ => respond(to, 200, "ok"),
        });
        let weir = Setup::new()
            .backend_with("stable", &[origin.address], "protocol: h2c")
            .route(&format!("name: all, backend: stable, retry: {{ attempts: 2, on: 503, {AT_ONCE} }}"))
            .start();
        assert_eq!(weir.client().ask(GET).text(), expected);
    }
}

/// Sends a PUT over HTTP/2, its body in pieces, and gives the status and the response's body.
fn put_over_h2(weir: &Weir, pieces: Vec<Bytes>) -> (u16, Vec<u8>) {
    let address = weir.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::put("http://a/").body(()).unwrap();
        let (response, mut sending) = sender.ready().await.unwrap().send_request(request, false).unwrap();
        let last = pieces.len() - 1;
        for (at, piece) in pieces.into_iter().enumerate() {
            sending.send_data(piece, at == last).unwrap();
            tokio::task::yield_now().await;
        }
        let response = response.await.unwrap();
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            bytes.extend_from_slice(&data);
        }
        (status, bytes)
    })
}

#[test]
fn a_body_from_an_http2_client_is_sent_again() {
    let body = pattern(50_000);
    let pieces = || body.chunks(9_000).map(Bytes::copy_from_slice).collect();
    for (max_body, expected) in [("64KiB", 200), ("1KiB", 503)] {
        let origin = in_turn(&[&status(503, "busy"), &ok("ok")]);
        let weir = Setup::new()
            .listener("name: web, bind: \"127.0.0.1:0\", protocols: [h2c, http/1.1]")
            .backend("stable", &[origin.address])
            .route(&format!(
                "name: all, backend: stable, retry: {{ on: 503, max_body: {max_body}, {AT_ONCE} }}"
            ))
            .start();
        assert_eq!(put_over_h2(&weir, pieces()).0, expected);
        let requests = origin.requests();
        assert!(requests.iter().all(|request| request.body == body));
        assert_eq!(requests.len(), if expected == 200 { 2 } else { 1 });
    }
    // And a held response reaches it.
    let origin = in_turn(&[&status(503, "busy"), ""]);
    let weir = Setup::new()
        .listener("name: web, bind: \"127.0.0.1:0\", protocols: [h2c, http/1.1]")
        .backend("stable", &[origin.address])
        .route(&format!("name: all, backend: stable, retry: {{ attempts: 2, on: 503, {AT_ONCE} }}"))
        .start();
    assert_eq!(put_over_h2(&weir, pieces()), (503, b"busy".to_vec()));
}

#[test]
fn a_pause_lies_between_attempts() {
    let origin = in_turn(&[&status(503, "busy"), &ok("ok")]);
    let weir = Setup::new()
        .backend("stable", &[origin.address])
        .route("name: all, backend: stable, retry: { on: 503, backoff: { base: 50ms, max: 50ms } }")
        .start();
    let mut client: Client = weir.client();
    assert_eq!(client.ask(GET).text(), "ok");
}
