//! Traffic policy of routes: who may ask, and what changes on the way.

use crate::support::{GET, Origin, Setup, ok};

/// The usual route with this policy.
fn with(origin: &Origin, policy: &str) -> Setup {
    Setup::before(origin).route(&format!("name: all, backend: stable, {policy}"))
}

#[test]
fn addresses_are_allowed_and_denied() {
    let origin = Origin::named("stable");
    for (access, forwarded, status) in [
        ("deny: [127.0.0.0/8]", "", 403),
        ("allow: [127.0.0.1]", "", 200),
        ("allow: [10.0.0.0/8]", "", 403),
        ("allow: [127.0.0.0/8], deny: [127.0.0.1]", "", 403),
        // The peer is trusted, so the address is the one that it tells.
        ("allow: [10.0.0.0/8]", "X-Forwarded-For: 10.1.2.3\r\n", 200),
        ("deny: [10.0.0.0/8]", "X-Forwarded-For: 10.1.2.3\r\n", 403),
    ] {
        let weir =
            with(&origin, &format!("access: {{ {access} }}")).top("trusted_proxies: [127.0.0.1]").start();
        let mut client = weir.client();
        for _ in 0..2 {
            let response = client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{forwarded}\r\n"));
            assert_eq!(response.status, status, "{access} {forwarded}");
        }
        let refused = if status == 403 { 2 } else { 0 };
        assert_eq!(weir.count("weir_policy_responses_total", "route=\"all\",policy=\"access\""), refused);
        assert_eq!(weir.count("weir_route_requests_total", ""), 2);
    }
}

#[test]
fn fields_are_added_set_and_removed_both_ways() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: x\r\nX-Set: theirs\r\nX-Set: again\r\nX-Add: theirs\r\n\r\nok",
    );
    let edits = "add: { X-Add: mine }, set: { x-set: mine }, remove: [Server, X-Debug]";
    let weir =
        with(&origin, &format!("headers: {{ request: {{ {edits} }}, response: {{ {edits} }} }}")).start();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Debug: 1\r\nX_Debug: 2\r\nX-SET: 1\r\nx-add: 1\r\nConnection: X-Set\r\n\r\n";
    let response = weir.client().ask(request);
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert_eq!(response.head.all("x-set"), ["mine"]);
    assert_eq!(response.head.all("x-add"), ["theirs", "mine"]);
    assert!(!response.head.has("server"));
    let seen = origin.only_request();
    assert_eq!(seen.head.all("x-set"), ["mine"]);
    assert_eq!(seen.head.all("x-add"), ["1", "mine"]);
    assert!(!seen.has("x-debug") && !seen.has("x_debug"));
}

#[test]
fn what_weir_answers_itself_is_edited_too() {
    let edits = "response: { set: { Cache-Control: private, X-Frame-Options: DENY } }";
    let nobody = Setup::new().backend("stable", &[crate::support::origin::nobody()]);
    let weir = nobody.route(&format!("name: all, backend: stable, headers: {{ {edits} }}")).start();
    let response = weir.client().ask(GET);
    assert_eq!(response.status, 502);
    assert_eq!(response.head.all("cache-control"), ["private"]);
    assert_eq!(response.get("x-frame-options"), Some("DENY"));
}

#[test]
fn path_and_host_are_rewritten() {
    let origin = Origin::answering(ok(""));
    let weir = with(&origin, "rewrite: { strip_prefix: /api, prefix: /v2, host: \"inner:81\" }").start();
    for (target, sent) in [
        ("/api/x%2Fy?q=/api", "/v2/x%2Fy?q=/api"),
        ("/api", "/v2"),
        ("/apis", "/v2/apis"),
        ("http://a/api/x", "/v2/x"),
    ] {
        assert_eq!(weir.client().ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).status, 200);
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.target(), sent);
        assert_eq!(seen.head.all("host"), ["inner:81"]);
        assert_eq!(seen.get("x-forwarded-host"), Some("a"));
    }
}
