//! Splitting end to end: shares, stickiness, rules, and the kill switch.

use weir::control::Change;

use crate::support::{Client, GET, Origin, Setup, Weir, weir::eventually};

struct Two {
    weir: Weir,
    _origins: [Origin; 2],
}

/// A Weir over `stable` and `canary` with this route.
fn two(route: &str) -> Two {
    let origins = [Origin::named("stable"), Origin::named("canary")];
    let weir = Setup::new()
        .backend("stable", &[origins[0].address])
        .backend("canary", &[origins[1].address])
        .route(&format!("name: all, {route}"))
        .start();
    Two { weir, _origins: origins }
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// How many of `users` a client finds on the canary, asked in batches over one connection.
fn on_canary(client: &mut Client, users: std::ops::Range<u32>) -> u32 {
    let users: Vec<u32> = users.collect();
    let mut count = 0;
    for batch in users.chunks(100) {
        let requests: String = batch.iter().map(|user| get(&format!("X-User: user-{user}\r\n"))).collect();
        client.send(requests);
        count += batch.iter().filter(|_| client.response().text() == "canary").count();
    }
    u32::try_from(count).unwrap()
}

#[test]
fn shares_are_what_the_weights_say() {
    // Identities are fixed, so these counts are the same in every run; the bound is five standard deviations.
    const USERS: u32 = 4000;
    for canary in [5, 25, 50, 95] {
        let two = two(&format!(
            "split: {{ key: {{ header: X-User }}, backends: {{ stable: {}, canary: {canary} }} }}",
            100 - canary
        ));
        let count = f64::from(on_canary(&mut two.weir.client(), 0..USERS));
        let share = f64::from(canary) / 100.0;
        let bound = 5.0 * (f64::from(USERS) * share * (1.0 - share)).sqrt();
        let expected = f64::from(USERS) * share;
        assert!(
            (count - expected).abs() <= bound,
            "{count} of {USERS} at {canary} %, {expected} ± {bound:.0}"
        );
    }
}

#[test]
fn weight_zero_gets_nothing() {
    for route in [
        "split: { key: { header: X-User }, backends: { stable: 100, canary: 0 } }",
        "split: { key: none, backends: { stable: 100, canary: 0 } }",
        "split: { backends: { stable: 100, canary: 0 } }",
        "split: { key: { header: X-User }, backends: [ { name: stable, weight: 1 }, { name: canary, weight: 99, state: off } ] }",
    ] {
        let two = two(route);
        assert_eq!(on_canary(&mut two.weir.client(), 0..1000), 0, "{route}");
        // A request is counted once its response is written, which its client may see earlier.
        let counted = eventually("all requests counted", || {
            let of = |backend| two.weir.count("weir_requests_total", backend);
            let counted = (of("backend=\"stable\""), of("backend=\"canary\""));
            (counted.0 + counted.1 == 1000).then_some(counted)
        });
        assert_eq!(counted, (1000, 0), "{route}");
    }
}

#[test]
fn a_user_stays_and_a_raise_moves_users_one_way() {
    let route = |canary: u32| {
        format!(
            "split: {{ key: {{ header: X-User }}, backends: {{ stable: {}, canary: {canary} }} }}",
            100 - canary
        )
    };
    let before: Vec<String> = {
        let two = two(&route(20));
        let mut client = two.weir.client();
        (0..300).map(|user| client.ask(get(&format!("X-User: {user}\r\n"))).text()).collect()
    };
    // Another instance, with another weight.
    let two = two(&route(60));
    let mut client = two.weir.client();
    for (user, before) in before.iter().enumerate() {
        let after = client.ask(get(&format!("X-User: {user}\r\n"))).text();
        assert!(after == *before || after == "canary", "user {user} went back to {after}");
    }
}

#[test]
fn a_cookie_keeps_a_user_and_says_nothing_else() {
    let two = two("split: { backends: { stable: 50, canary: 50 } }");
    for _ in 0..20 {
        let mut client = two.weir.client();
        let first = client.ask(GET);
        let cookie = first.cookie().expect("a new user gets a cookie");
        let set = first.head.all("set-cookie")[0].to_owned();
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Path=/"), "{set}");
        assert!(!set.contains("stable") && !set.contains("canary"), "{set}");
        for _ in 0..5 {
            let again = two.weir.client().ask(get(&format!("Cookie: other=1; {cookie}; more=2\r\n")));
            assert_eq!(again.text(), first.text());
            assert!(!again.head.has("set-cookie"), "a cookie that counts is not set again");
        }
    }
}

#[test]
fn a_forged_cookie_is_ignored_and_replaced() {
    let two = two("split: { backends: { stable: 50, canary: 50 } }");
    let mut client = two.weir.client();
    let cookie = client.ask(GET).cookie().unwrap();
    let (name, value) = cookie.split_once('=').unwrap();
    let parts: Vec<&str> = value.split('.').collect();
    let mut forged: Vec<String> = Vec::new();
    for at in 0..parts.len() {
        // Each part changed by one character.
        let mut changed: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let last = changed[at].pop().unwrap();
        changed[at].push(if last == '1' { '2' } else { '1' });
        forged.push(changed.join("."));
    }
    forged.extend(["", "x", "0.0.0.0.0", "....", "99999.0.0.0.AAAA"].map(str::to_owned));
    forged.push("a".repeat(4000));
    for value in forged {
        let answer = client.ask(get(&format!("Cookie: {name}={value}\r\n")));
        assert_eq!(answer.status, 200);
        assert!(answer.cookie().is_some(), "{value} was believed");
    }
}

#[test]
fn rules_beat_the_cookie_and_the_weights() {
    let two =
        two("rules: [ { name: qa, match: { header: { name: X-Canary, exact: always } }, backend: canary }, \
         { name: all-us, match: { query: { name: beta } }, split: { stable: 0, canary: 1 } } ], \
         split: { backends: { stable: 100, canary: 0 } }");
    let mut client = two.weir.client();
    let first = client.ask(GET);
    assert_eq!(first.text(), "stable");
    let cookie = first.cookie().unwrap();
    assert_eq!(client.ask(get(&format!("Cookie: {cookie}\r\nX-Canary: always\r\n"))).text(), "canary");
    assert_eq!(client.ask(get(&format!("Cookie: {cookie}\r\nX-Canary: never\r\n"))).text(), "stable");
    let beta = format!("GET /?beta=1 HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
    assert_eq!(client.ask(beta).text(), "canary");
}

#[test]
fn the_kill_switch_sends_everybody_to_one_backend_and_back() {
    let two = two("split: { backends: { stable: 0, canary: 100 } }");
    let mut client = two.weir.client();
    let cookie = client.ask(GET).cookie().unwrap();
    let with_cookie = get(&format!("Cookie: {cookie}\r\n"));
    assert_eq!(client.ask(&with_cookie).text(), "canary");
    two.weir.apply(Change::Kill { route: "all".to_owned(), backend: None }).unwrap();
    for _ in 0..20 {
        assert_eq!(client.ask(&with_cookie).text(), "stable");
        assert_eq!(client.ask(GET).text(), "stable");
    }
    assert_eq!(two.weir.count("weir_kill_switch_active", ""), 1);
    two.weir.apply(Change::Unkill { route: "all".to_owned() }).unwrap();
    assert_eq!(client.ask(&with_cookie).text(), "canary");
}

#[test]
fn routes_are_found_by_host_path_and_method() {
    let origins = ["shop", "api", "other"].map(Origin::named);
    let mut setup = Setup::new();
    for (name, origin) in ["shop", "api", "other"].iter().zip(&origins) {
        setup = setup.backend(name, &[origin.address]);
    }
    let weir = setup
        .route("name: shop, match: { hosts: [shop.example, \"*.shop.example\"] }, backend: shop")
        .route("name: api, match: { hosts: [shop.example], path: { prefix: /api }, method: [GET, POST] }, backend: api")
        .route("name: other, match: { path: { exact: /only } }, backend: other")
        .start();
    let mut client = weir.client();
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nHost: shop.example", "shop"),
        ("GET / HTTP/1.1\r\nHost: SHOP.example:8080", "shop"),
        ("GET / HTTP/1.1\r\nHost: de.shop.example", "shop"),
        ("GET /api/x HTTP/1.1\r\nHost: shop.example", "api"),
        ("DELETE /api/x HTTP/1.1\r\nHost: shop.example", "shop"),
        ("GET /apix HTTP/1.1\r\nHost: shop.example", "shop"),
        ("GET /only?x=y HTTP/1.1\r\nHost: elsewhere", "other"),
        ("GET http://shop.example/api HTTP/1.1\r\nHost: shop.example", "api"),
        ("GET /only/x HTTP/1.1\r\nHost: elsewhere", "404"),
    ] {
        let answer = client.ask(format!("{request}\r\n\r\n"));
        let got = if answer.status == 200 { answer.text() } else { answer.status.to_string() };
        assert_eq!(got, expected, "{request}");
    }
}
