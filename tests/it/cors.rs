//! Pages of other origins: what browsers are told.

use crate::support::{Client, Origin, Setup, client::Response, weir::eventually};

const RULE: &str = "cors: { origins: [\"https://a.example\", \"https://*.b.example\"], methods: [GET, PUT], headers: [X-A, X-B], expose: X-Total, credentials: true, max_age: 10m }";

fn preflight(client: &mut Client, origin: &str) -> Response {
    client.ask(format!(
        "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a\r\n\r\n"
    ))
}

#[test]
fn preflights_are_answered_without_the_backend() {
    let origin = Origin::named("stable");
    let limited = format!("name: all, backend: stable, {RULE}, rate_limit: {{ key: route, rate: 1/d }}");
    let weir = Setup::before(&origin).route(&limited).start();
    let mut client = weir.client();
    for from in ["https://a.example", "https://x.y.b.example"] {
        let answer = preflight(&mut client, from);
        assert_eq!(answer.status, 204);
        for (name, value) in [
            ("access-control-allow-origin", from),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-headers", "X-A, X-B"),
            ("access-control-max-age", "600"),
            ("vary", "Origin"),
        ] {
            assert_eq!(answer.get(name), Some(value), "{name}");
        }
        assert!(!answer.head.has("content-length") && !answer.head.has("content-type"));
    }
    for other in ["https://evil.example", "https://b.example", "null"] {
        let answer = preflight(&mut client, other);
        assert_eq!((answer.status, answer.head.all("vary")), (204, vec!["Origin"]));
        assert!(!answer.head.fields.iter().any(|(name, _)| name.starts_with("access-control")), "{answer:?}");
    }
    weir.counts("weir_policy_responses_total", "policy=\"cors\"", 5);
    assert!(origin.requests().is_empty());
    // An OPTIONS that is none goes to the backend.
    assert_eq!(
        client.ask("OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n\r\n").text(),
        "stable"
    );
}

#[test]
fn responses_say_who_may_read_them() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nVary: Accept\r\nAccess-Control-Allow-Origin: *\r\naccess-control-expose-headers: x\r\n\r\nok",
    );
    let weir = Setup::before(&origin)
        .route(&format!("name: all, backend: stable, {RULE}, access: {{ deny: [10.0.0.0/8] }}"))
        .top("trusted_proxies: [127.0.0.1]")
        .start();
    let ask = |client: &mut Client, fields: &str| {
        let response = client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let allowed = response.head.all("access-control-allow-origin").join("|");
        (
            response.status,
            allowed,
            response.head.all("access-control-expose-headers").join("|"),
            response.head.all("vary").join(", "),
        )
    };
    let mut client = weir.client();
    let told = |status, origin: &str, expose: &str, vary: &str| {
        (status, origin.to_owned(), expose.to_owned(), vary.to_owned())
    };
    assert_eq!(
        ask(&mut client, "Origin: https://a.example\r\n"),
        told(200, "https://a.example", "X-Total", "Accept, Origin")
    );
    assert_eq!(ask(&mut client, "Origin: https://evil.example\r\n"), told(200, "", "", "Accept, Origin"));
    assert_eq!(ask(&mut client, ""), told(200, "", "", "Accept, Origin"));
    // The page may read why it was refused.
    let refused = "Origin: https://a.example\r\nX-Forwarded-For: 10.1.1.1\r\n";
    assert_eq!(ask(&mut client, refused), told(403, "https://a.example", "X-Total", "Origin"));
}

#[test]
fn everybody_may_and_edits_have_the_last_word() {
    let origin = Origin::named("stable");
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    let weir = Setup::before(&origin)
        .route("name: all, backend: stable, cors: { origins: \"*\", methods: \"*\", headers: \"*\" }, headers: { response: { set: { Access-Control-Expose-Headers: X-Mine } } }")
        .top(&format!("access_log: {{ path: \"{}\" }}", path.display()))
        .start();
    let mut client = weir.client();
    let answer = preflight(&mut client, "https://any.example");
    assert_eq!(answer.get("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.get("access-control-allow-methods"), Some("PUT"));
    assert_eq!(answer.get("access-control-allow-headers"), Some("x-a"));
    let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(response.get("access-control-allow-origin"), Some("*"));
    assert_eq!(response.get("access-control-expose-headers"), Some("X-Mine"));
    assert!(!response.head.has("vary"));
    eventually("a line of the log", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.contains("\"weir.policy\":\"cors\"").then_some(())
    });
}
