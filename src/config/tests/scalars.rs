//! Single values: the decoder and the schema's patterns against the same tables.

use serde_json::{Value, json};

use super::{
    super::{keys::ROOT, schema},
    HEAD, ROUTES, parse,
    validator::violations,
};

/// Where a kind of value can be put into a file: text around it.
fn file(place: &str, value: &Value) -> String {
    let place = place.replace("$", &value.to_string());
    if place.starts_with("routes") { format!("{HEAD}{place}\n") } else { format!("{HEAD}{place}\n{ROUTES}") }
}

/// `right` are taken by decoder and schema, `wrong` by neither, `subtle` only by the schema.
fn check(place: &str, right: &[Value], wrong: &[Value], subtle: &[Value]) {
    let by_schema = |text: &str| {
        let source = crate::config::source::Source::new("x", text);
        let root = crate::config::yaml::read(&source, &mut Default::default()).unwrap();
        violations(&schema(), &super::validator::json(&root)).is_empty()
    };
    for (values, decoder, pattern) in [(right, true, true), (wrong, false, false), (subtle, false, true)] {
        for value in values {
            let text = file(place, value);
            assert_eq!(parse(&text, "x").is_ok(), decoder, "decoder: {value} in {place}");
            assert_eq!(by_schema(&text), pattern, "schema: {value} in {place}");
        }
    }
}

#[test]
fn durations() {
    check(
        "drain: { delay: $ }",
        &[json!("0s"), json!("500ms"), json!("5s"), json!("2m"), json!("1h"), json!("30d"), json!("3650d")],
        &[
            json!("5"),
            json!(5),
            json!("5 s"),
            json!("-5s"),
            json!("1.5s"),
            json!("1h30m"),
            json!("s"),
            json!(""),
            json!("5S"),
        ],
        &[json!("3651d"), json!("99999999999999999999d")],
    );
}

#[test]
fn sizes() {
    let listeners =
        HEAD.replace("bind: 127.0.0.1:8080", "bind: 127.0.0.1:8080, limits: { max_header_bytes: $ }");
    for (value, fits) in [
        (json!("32KiB"), true),
        (json!("64KB"), true),
        (json!("1MiB"), true),
        (json!(4096), true),
        (json!("4096"), true),
        (json!("4096B"), true),
        (json!(1023), false),
        (json!("2MiB"), false),
        (json!("1.5KiB"), false),
        (json!("KiB"), false),
        (json!("99999999999999999999GiB"), false),
    ] {
        let text = listeners.replace('$', &value.to_string()) + ROUTES;
        assert_eq!(parse(&text, "x").is_ok(), fits, "{value}");
    }
}

#[test]
fn percentages() {
    check(
        "access_log: { sample: $ }",
        &[json!("0%"), json!("2%"), json!("0.5%"), json!("99.999%"), json!("100%"), json!("100.000%")],
        &[
            json!("101%"),
            json!("2"),
            json!(2),
            json!("-1%"),
            json!("0.0001%"),
            json!("2 %"),
            json!("%"),
            json!("005%"),
        ],
        &[],
    );
}

#[test]
fn networks_and_addresses() {
    check(
        "trusted_proxies: [$]",
        &[json!("10.0.0.0/8"), json!("10.1.2.3"), json!("fd00::/8"), json!("::/0")],
        &[json!("x"), json!("10.0.0.0/"), json!("10.0.0.0/8/8"), json!(10)],
        &[json!("10.0.0.1/8"), json!("10.0.0.0/33"), json!("10.0.0/8")],
    );
    check(
        "admin: { bind: $ }",
        &[json!("127.0.0.1:1"), json!("[::1]:9900"), json!("localhost:9900")],
        &[json!("127.0.0.1"), json!("example.com:80"), json!("::1:80"), json!(9900)],
        // Not loopback.
        &[json!(":9900"), json!("127.0.0.1:99999")],
    );
}

#[test]
fn names_hosts_paths_and_methods() {
    check(
        "routes: [ { name: $, backend: stable } ]",
        &[json!("shop"), json!("v1.9"), json!("9")],
        &[json!(""), json!("-x"), json!("a b"), json!("ä"), json!("a".repeat(64)), json!(9)],
        &[],
    );
    check(
        "routes: [ { name: r, backend: stable, match: { hosts: $ } } ]",
        &[json!("a.example"), json!("*.a.example"), json!("A_b-c"), json!(["a", "b"])],
        &[
            json!("*"),
            json!("a.*"),
            json!("*a.b"),
            json!("a:80"),
            json!("http://a"),
            json!("ä.de"),
            json!("a."),
            json!(""),
        ],
        &[],
    );
    check(
        "routes: [ { name: r, backend: stable, match: { path: { prefix: $ } } } ]",
        &[json!("/"), json!("/a;b=c"), json!("/%20")],
        &[json!("a"), json!(""), json!("/a b"), json!("/a?b"), json!("/a#b"), json!("/ä")],
        &[],
    );
    check(
        "routes: [ { name: r, backend: stable, match: { path: { regex: $ } } } ]",
        &[json!("/v[0-9]+"), json!("(?i)/a")],
        &[json!("")],
        &[json!("("), json!("a{1000}{1000}"), json!("(?=a)"), json!("(".repeat(100) + &")".repeat(100))],
    );
    check(
        "routes: [ { name: r, backend: stable, match: { method: $ } } ]",
        &[json!("GET"), json!("M-SEARCH"), json!(["GET", "PUT"])],
        &[json!("get"), json!("G T"), json!("")],
        &[],
    );
    check(
        "routes: [ { name: r, backend: stable, match: { header: { name: $ } } } ]",
        &[json!("X-A"), json!("a")],
        &[json!("a b"), json!("a:"), json!(""), json!(1)],
        &[],
    );
}

#[test]
fn rates() {
    check(
        "routes: [ { name: r, backend: stable, rate_limit: { key: route, rate: $ } } ]",
        &[json!("100/s"), json!("1/d"), json!("1000000/m"), json!("30/h")],
        &[
            json!("0/s"),
            json!("1000001/s"),
            json!("01/s"),
            json!("5/10s"),
            json!("5"),
            json!(5),
            json!("5 /s"),
            json!("-1/s"),
        ],
        &[],
    );
}

#[test]
fn weights_and_statuses() {
    check(
        "routes: [ { name: r, split: { backends: { stable: $, canary: 1 } } } ]",
        &[json!(0), json!(95), json!(0.5), json!(1_000_000)],
        &[json!("5"), json!("5%"), json!(-1), json!(1_000_001), json!(true), json!(null)],
        &[json!(0.000_000_1)],
    );
    let place = "backends: { a: { endpoints: [ { address: '1.1.1.1:1' } ], health_check: { path: /, expected_status: $ } } }";
    for (value, fits) in [
        (json!(204), true),
        (json!("200-299"), true),
        (json!([200, "300-399"]), true),
        (json!(99), false),
        (json!(600), false),
        (json!("299-200"), false),
        (json!("2xx"), false),
        (json!([]), false),
    ] {
        let text = format!(
            "listeners: [ {{ name: l, bind: ':1' }} ]\n{}\nroutes: [ {{ name: r, backend: a }} ]\n",
            place.replace('$', &value.to_string())
        );
        assert_eq!(parse(&text, "x").is_ok(), fits, "{value}");
    }
}

#[test]
fn every_default_is_a_value_of_its_key() {
    // Debug assertions in the decoder check each when an empty map is read.
    let config = super::config(&format!("{HEAD}{ROUTES}"));
    assert_eq!(config.listeners[0].limits.max_header_bytes, 32 << 10);
    assert_eq!(ROOT.name, "file");
}

/// A route whose rollout has this in its analysis or steps.
fn rollout(inside: &str) -> String {
    format!(
        "routes: [ {{ name: a, split: {{ backends: {{ stable: 1, canary: 0 }} }}, rollout: {{ baseline: stable, canary: canary, \
         preset: fast, {inside} }} }} ]"
    )
}

fn gate(inside: &str) -> String {
    rollout(&format!("analysis: {{ gates: [ {{ {inside} }} ] }}"))
}

#[test]
fn shares_in_percent() {
    check(
        &rollout("steps: [ { weight: $ }, { weight: 100 } ]"),
        &[json!(0), json!(5), json!(0.5), json!(99.999), json!("5%"), json!("0.125%"), json!("100%")],
        &[json!(101), json!(-1), json!("5"), json!("101%"), json!("x"), json!(null), json!([5])],
        &[json!(0.0005)],
    );
}

#[test]
fn multiples_and_quantiles() {
    check(
        &gate("metric: error_rate, max_ratio: $"),
        &[json!(1), json!(1.5), json!("2x"), json!("1.5x"), json!(1000)],
        &[json!(0.5), json!(1001), json!("2"), json!("x"), json!("-2x"), json!(true)],
        &[json!("0.5x"), json!("1001x")],
    );
    check(
        &gate("regression: latency, quantile: $"),
        &[json!(0.5), json!(0.99), json!(0.99999)],
        &[json!(99), json!(-0.5), json!("0.99"), json!("p99")],
        &[json!(0), json!(1), json!(0.999_999)],
    );
    check(
        &gate("regression: error_rate, tolerance: $"),
        &[json!("1.25x"), json!("0.1%"), json!(["1.25x", "0.1%"])],
        &[json!(1.25), json!("1.25"), json!([]), json!("0.1")],
        &[json!("0.5x"), json!(["1x", "2x"])],
    );
}

#[test]
fn metrics_and_limits() {
    check(
        &gate("metric: $, max_ratio: 2"),
        &[json!("error_rate"), json!("retry_rate"), json!("latency_p50"), json!("latency_p99.9")],
        &[json!("errors"), json!("latency"), json!("latency_p"), json!("latency_p99.9999"), json!(99)],
        &[json!("latency_p100"), json!("latency_p0"), json!("availability")],
    );
    check(
        &gate("metric: latency_p99, max: $"),
        &[json!("500ms"), json!("2s"), json!("1h")],
        &[json!("500 ms"), json!("half a second"), json!("3"), json!(true)],
        &[json!(500), json!("1%"), json!("10/s")],
    );
}

#[test]
fn web_addresses_and_what_is_asked_there() {
    check(
        &rollout("hooks: [ { type: event, url: $ } ]"),
        &[json!("http://a"), json!("https://a.example:8443/b?c=d"), json!("http://[::1]:80/")],
        &[
            json!("a"),
            json!("ftp://a"),
            json!("a.example/b"),
            json!("http://"),
            json!("http://a b"),
            json!(80),
        ],
        &[json!("http://me:secret@a"), json!("http:///b"), json!("http://a#b")],
    );
    check(
        &gate("webhook: 'http://a', max: 1, pointer: $"),
        &[json!(""), json!("/a"), json!("/a~1b/0"), json!("/a b")],
        &[json!("a"), json!("a/b"), json!("/a\u{1}")],
        &[json!("/a~2")],
    );
    check(
        &gate("max: 1, server: 'http://a', prometheus: $"),
        &[json!("up"), json!("sum(\n  rate(x[1m])\n)\n")],
        &[json!(""), json!(5), json!("a\u{1}")],
        &[json!("  ")],
    );
}
