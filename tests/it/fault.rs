//! Failures made on purpose: who gets them, and that no backend is charged.

use std::time::Duration;

use crate::support::{
    GET, Origin, Setup,
    streams::ask,
    weir::{eventually, now},
};

#[test]
fn an_abort_never_reaches_the_backend() {
    let origin = Origin::named("stable");
    let weir = Setup::before(&origin)
        .listener("name: web, bind: \"127.0.0.1:0\", protocols: [h2c, http/1.1]")
        .route("name: all, backend: stable, fault: { abort: { status: 418 }, header: { name: X-Chaos, exact: \"on\" } }")
        .start();
    let mut client = weir.client();
    for _ in 0..2 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Chaos: on\r\n\r\n");
        assert_eq!(answer.status, 418);
        assert_eq!(client.ask(GET).text(), "stable");
    }
    let call =
        http::Request::post("http://a/").header("content-type", "application/grpc").header("x-chaos", "on");
    let (head, _) = ask(weir.address(), call.body(()).unwrap(), &[b"12345"]);
    assert_eq!((head.status().as_u16(), &head.headers()["grpc-status"].as_bytes()), (200, &&b"2"[..]));
    weir.counts("weir_policy_responses_total", "policy=\"fault\"", 3);
    weir.counts("weir_faults_injected_total", "route=\"all\",kind=\"abort\"", 3);
    weir.counts("weir_requests_total", "", 2);
    assert_eq!(weir.count("weir_upstream_errors_total", ""), 0);
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_delay_is_nobodys_time() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    let origin = Origin::named("stable");
    let weir = Setup::before(&origin)
        .listener("name: web, bind: \"127.0.0.1:0\", protocols: [h2c, http/1.1]")
        .route("name: all, backend: stable, fault: { delay: { time: 2s }, header: { name: X-Wait } }")
        .top(&format!("access_log: {{ path: \"{}\" }}", path.display()))
        .start();
    // The client has sent its body, and its next request, when the delay is over.
    let began = now();
    let mut client = weir.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nX-Wait: 1\r\nContent-Length: 4\r\n\r\n");
    client.send("body").send(GET);
    assert_eq!([client.response().text(), client.response().text()], ["stable", "stable"]);
    assert!(began.elapsed() >= Duration::from_secs(2));
    let wait = http::Request::post("http://a/").header("x-wait", "1");
    let (_, body) = ask(weir.address(), wait.body(()).unwrap(), &[b"body"]);
    assert_eq!(body, b"stable");
    assert_eq!(origin.requests()[0].body, b"body");
    weir.counts("weir_faults_injected_total", "kind=\"delay\"", 2);
    weir.counts("weir_requests_total", "code=\"200\"", 3);
    let spent = weir.metric("weir_request_duration_seconds_sum", "route=\"all\"");
    assert!(spent < 2.0, "{spent}");
    let line = eventually("a line of the log", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines().find(|line| line.contains("weir.fault.delay_s")).map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(
        line["weir.fault.delay_s"].as_f64().unwrap() >= 2.0 && line["duration_s"].as_f64().unwrap() >= 2.0
    );
    assert_eq!(line["weir.backend"], "stable");
}

#[test]
fn who_leaves_while_it_waits_is_seen() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    let origin = Origin::named("stable");
    let weir = Setup::before(&origin)
        .route("name: all, backend: stable, fault: { delay: { time: 1h } }")
        .top(&format!("access_log: {{ path: \"{}\" }}", path.display()))
        .start();
    let mut client = weir.client();
    client.send(GET);
    weir.counts("weir_faults_injected_total", "kind=\"delay\"", 1);
    client.reset();
    eventually("a line of the log", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.contains("\"http.response.status_code\":499").then_some(())
    });
    assert!(origin.seen().connections.is_empty());
}
