//! The access log: a line for each request, with what happened to it.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::support::{GET, Origin, Setup, ok, origin::nobody, weir::eventually};

fn lines(path: &PathBuf, count: usize) -> Vec<Value> {
    eventually(&format!("{count} lines"), || {
        let text = fs::read_to_string(path).unwrap_or_default();
        (text.lines().count() >= count)
            .then(|| text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect())
    })
}

#[test]
fn a_line_says_what_was_asked_and_who_answered() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    let origin = Origin::answering(ok("hello"));
    let weir = Setup::before(&origin).top(&format!("access_log: {{ path: \"{}\" }}", path.display())).start();
    weir.client().ask(
        "GET /shop?secret=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\nCookie: session=secret\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
    );
    let line = &lines(&path, 1)[0];
    for (key, expected) in [
        ("http.request.method", Value::from("GET")),
        ("url.path", "/shop".into()),
        ("server.address", "shop.example".into()),
        ("client.address", "127.0.0.1".into()),
        ("user_agent.original", "test".into()),
        ("network.protocol.version", "1.1".into()),
        ("http.response.status_code", 200.into()),
        ("http.response.body.size", 5.into()),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".into()),
        ("weir.route", "all".into()),
        ("weir.backend", "stable".into()),
        ("weir.endpoint", origin.address.to_string().into()),
        ("weir.retries", 0.into()),
    ] {
        assert_eq!(line[key], expected, "{key} in {line}");
    }
    assert!(line["duration_s"].as_f64().unwrap() > 0.0);
    assert!(!line.to_string().contains("secret"), "{line}");
}

#[test]
fn errors_are_logged_whatever_the_sample_is() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    let origin = Origin::named("ok");
    let weir = Setup::new()
        .backend("stable", &[origin.address])
        .backend("gone", &[nobody()])
        .route("name: gone, match: { path: { exact: /gone } }, backend: gone")
        .route("name: all, backend: stable")
        .top(&format!("access_log: {{ path: \"{}\", sample: 0% }}", path.display()))
        .start();
    let mut client = weir.client();
    for _ in 0..20 {
        client.ask(GET);
    }
    assert_eq!(client.ask("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n").status, 502);
    let lines = lines(&path, 1);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!(lines[0]["error.type"], "connect");
    assert_eq!(lines[0]["http.response.status_code"], 502);
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).top(&format!("access_log: {{ path: \"{}\" }}", path.display())).start();
    weir.client().ask(GET);
    lines(&path, 1);
    fs::rename(&path, folder.path().join("access.log.1")).unwrap();
    weir.running().reopen_log();
    eventually("the new file", || path.exists().then_some(()));
    weir.client().ask(GET);
    lines(&path, 1);
}
