//! Origins that are told that they may, and those that are not.

use super::*;
use crate::http::HeaderList;

fn cors(origins: &[&str], credentials: bool) -> Cors {
    let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let text = |text: &str| vec![text.to_owned()];
    Cors::new(&CorsRule {
        origins: &origins,
        methods: &text("GET"),
        headers: &[],
        expose: &text("X-Total"),
        credentials,
        max_age_secs: None,
    })
}

fn allowed(cors: &Cors, origin: Option<&str>) -> String {
    let mut said = Vec::new();
    cors.permission(origin.map(str::as_bytes), |name, value| {
        said.push(format!("{name}: {}", String::from_utf8_lossy(value)));
    });
    said.join("; ")
}

#[test]
fn only_listed_origins_are_told_that_they_may() {
    let listed =
        cors(&["https://a.example", "https://*.b.example:8443", "capacitor://localhost", "null"], false);
    for (origin, may) in [
        ("https://a.example", true),
        ("http://a.example", false),
        ("https://a.example:443", false),
        ("https://a.example.evil", false),
        ("https://evil.a.example", false),
        ("https://A.example", false),
        ("capacitor://localhost", true),
        ("null", true),
        ("https://x.b.example:8443", true),
        ("https://x.y.b.example:8443", true),
        ("https://b.example:8443", false),
        ("https://.b.example:8443", false),
        ("https://x..b.example:8443", false),
        ("https://x.b.example", false),
        ("https://evil.example/.b.example:8443", false),
        ("https://evil.example:1.b.example:8443", false),
        ("https://evil.example#.b.example:8443", false),
        ("https://user@x.b.example:8443", false),
        ("*", false),
        ("", false),
    ] {
        let told = allowed(&listed, Some(origin)).contains("access-control-allow-origin");
        assert_eq!(told, may, "{origin}");
    }
}

#[test]
fn what_is_said_goes_by_who_asks() {
    for (cors, origin, said) in [
        (cors(&["*"], false), None, "access-control-allow-origin: *; access-control-expose-headers: X-Total"),
        (
            cors(&["*"], false),
            Some("https://a.example"),
            "access-control-allow-origin: *; access-control-expose-headers: X-Total",
        ),
        (cors(&["https://a.example"], true), None, "vary: Origin"),
        (cors(&["https://a.example"], true), Some("https://b.example"), "vary: Origin"),
        (
            cors(&["https://a.example"], true),
            Some("https://a.example"),
            "vary: Origin; access-control-allow-origin: https://a.example; access-control-allow-credentials: true; \
             access-control-expose-headers: X-Total",
        ),
        // Control files with both are refused; should one get here, nothing is granted.
        (cors(&["*"], true), Some("https://a.example"), "vary: Origin"),
    ] {
        assert_eq!(allowed(&cors, origin), said, "{origin:?}");
    }
}

#[test]
fn preflights_are_answered_by_the_rule_or_by_what_was_asked() {
    let text = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let origins = text(&["https://a.example"]);
    for (methods, headers, asked, said) in [
        (
            text(&["GET", "PUT"]),
            text(&["X-A", "X-B"]),
            [("origin", "https://a.example"), ("access-control-request-headers", "x-other")],
            "access-control-allow-methods: GET, PUT; access-control-allow-headers: X-A, X-B; access-control-max-age: 600",
        ),
        (
            text(&["*"]),
            text(&["*"]),
            [("origin", "https://a.example"), ("access-control-request-headers", "x-a, x-b")],
            "vary: access-control-request-method, access-control-request-headers; access-control-allow-methods: PATCH; \
             access-control-allow-headers: x-a, x-b; access-control-max-age: 600",
        ),
        (
            text(&["GET"]),
            text(&["*"]),
            [("origin", "https://a.example"), ("access-control-request-headers", "x-a: \"b\"")],
            "vary: access-control-request-method, access-control-request-headers; access-control-allow-methods: GET; \
             access-control-max-age: 600",
        ),
        (
            text(&["GET"]),
            text(&["X-A"]),
            [("origin", "https://b.example"), ("access-control-request-headers", "x-a")],
            "",
        ),
    ] {
        let cors = Cors::new(&CorsRule {
            origins: &origins,
            methods: &methods,
            headers: &headers,
            expose: &[],
            credentials: true,
            max_age_secs: Some(600),
        });
        let pairs = asked.into_iter().chain([("access-control-request-method", "PATCH")]);
        let list = HeaderList::from_pairs(pairs);
        assert!(Cors::is_preflight("OPTIONS", list.view()) && !Cors::is_preflight("GET", list.view()));
        let fields = cors.preflight(list.view());
        let lines: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(lines.join("; "), said);
    }
    let plain = HeaderList::from_pairs([("origin", "https://a.example")]);
    assert!(!Cors::is_preflight("OPTIONS", plain.view()));
}
