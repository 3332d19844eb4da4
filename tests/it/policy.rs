//! Traffic policy of routes: who may ask, and what changes on the way.

use crate::support::{GET, Origin, Setup, ok, weir::eventually};

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
        // A request is counted when its answer is out, which the client may see first.
        eventually("both counted", || {
            let counted = weir.count("weir_policy_responses_total", "route=\"all\",policy=\"access\"");
            (counted == refused).then_some(())
        });
        weir.counts("weir_route_requests_total", "", 2);
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

#[test]
fn a_redirect_says_where_to_go() {
    let origin = Origin::named("stable");
    for (redirect, request, status, location) in [
        (
            "scheme: https, status: 308",
            "POST /x?y=1 HTTP/1.1\r\nHost: a:8080\r\nContent-Length: 2\r\n\r\nhi",
            308,
            Some("https://a/x?y=1"),
        ),
        ("prefix: /new", "GET /all/x HTTP/1.1\r\nHost: a:81\r\n\r\n", 302, Some("http://a:81/new/x")),
        (
            "host: b",
            "HEAD /all HTTP/1.1\r\nHost: a:81\r\nConnection: close\r\n\r\n",
            302,
            Some("http://b/all"),
        ),
        (
            "scheme: https",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
            302,
            Some("https://a/"),
        ),
        ("scheme: https", "GET / HTTP/1.0\r\n\r\n", 400, None),
    ] {
        let weir = Setup::before(&origin)
            .route("name: used, match: { hosts: used }, backend: stable")
            .route(&format!("name: all, match: [ {{ path: {{ prefix: /all }} }}, {{ path: {{ prefix: / }} }} ], redirect: {{ {redirect} }}"))
            .start();
        let mut client = weir.client();
        client.send(request);
        let response =
            if request.starts_with("HEAD") { client.response_to_head() } else { client.response() };
        assert_eq!((response.status, response.get("location")), (status, location), "{redirect} {request}");
        assert!(response.cookie().is_none());
        weir.counts("weir_policy_responses_total", "policy=\"redirect\"", 1);
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn a_fixed_response_needs_no_backend() {
    let origin = Origin::named("stable");
    let weir = Setup::before(&origin)
        .route("name: used, match: { hosts: used }, backend: stable")
        .route("name: page, match: { path: { exact: /page } }, respond: { status: 404, body: \"{\\n}\", content_type: application/json }, headers: { response: { set: { X-From: edge } } }")
        .route("name: none, respond: { status: 204 }")
        .start();
    let mut client = weir.client();
    let page = client.ask("GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((page.status, page.text().as_str()), (404, "{\n}"));
    assert_eq!((page.get("content-type"), page.get("x-from")), (Some("application/json"), Some("edge")));
    assert!(!page.head.has("cache-control"));
    let none = client.ask("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(none.status, 204);
    assert!(!none.head.has("content-length") && !none.head.has("content-type"));
    client.send("HEAD /page HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to_head().get("content-length"), Some("3"));
    weir.counts("weir_policy_responses_total", "route=\"page\",policy=\"respond\"", 2);
    for change in [
        weir::control::Change::Kill { route: "page".into(), backend: None },
        weir::control::Change::SetWeights {
            route: "page".into(),
            weights: weir::control::WeightChange::Replace(std::collections::BTreeMap::new()),
            pause_rollout: false,
        },
    ] {
        let refusal = weir.apply(change).unwrap_err();
        assert_eq!(refusal.to_string(), "route `page` answers itself and has no backends");
    }
}

#[test]
fn http_goes_to_https() {
    let origin = Origin::named("stable");
    let weir = Setup::before(&origin)
        .top("trusted_proxies: [127.0.0.1]")
        .route("name: shop, match: { hosts: shop.example }, backend: stable")
        .route("name: secure, match: { scheme: http }, redirect: { scheme: https, status: 301 }")
        .start();
    let ask = |proto: &str| {
        weir.client()
            .ask(format!("GET /x HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Proto: {proto}\r\n\r\n"))
    };
    let plain = ask("http");
    assert_eq!((plain.status, plain.get("location")), (301, Some("https://shop.example/x")));
    assert_eq!(ask("https").text(), "stable");
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    let origin = Origin::named("stable");
    let limit =
        "rate_limit: [ { key: { header: X-Api-Key }, rate: 1/h, burst: 2 }, { key: client_ip, rate: 3/d } ]";
    let setup =
        with(&origin, limit).top(&format!("access_log: {{ path: \"{}\" }}", path.display())).workers(2);
    let weir = setup.start();
    let ask = |key: &str| weir.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\n\r\n"));
    assert_eq!([ask("a").status, ask("a").status], [200, 200]);
    let refused = ask("a");
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.get("retry-after").unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&wait), "{wait}");
    assert_eq!(refused.get("ratelimit-policy"), Some("\"header\";q=2;w=7200"));
    assert_eq!(refused.get("ratelimit"), Some(&*format!("\"header\";r=0;t={wait}")));
    // Another limit, another route's worth of changes: what was counted still counts.
    weir.rewrite(
        &setup.clone().timeouts("connect: 3s").route("name: other, match: { hosts: b }, backend: stable"),
    );
    assert_eq!(ask("a").status, 429);
    assert_eq!(ask("b").status, 200, "the third of this address");
    assert_eq!(ask("c").get("ratelimit-policy"), Some("\"client_ip\";q=3;w=86400"));
    weir.counts("weir_policy_responses_total", "route=\"all\",policy=\"rate_limit\"", 3);
    assert_eq!(weir.count("weir_rate_limit_keys_forgotten_total", "route=\"all\""), 0);
    assert_eq!(origin.requests().len(), 3);
    eventually("a line of the log", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.contains("\"weir.policy\":\"rate_limit\"").then_some(())
    });
    // A limit that was changed begins anew.
    let changed = limit.replace("burst: 2", "burst: 1").replace("3/d", "4/d");
    weir.rewrite(&with(&origin, &changed).workers(2));
    assert_eq!([ask("a").status, ask("a").status], [200, 429]);
}
