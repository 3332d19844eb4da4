//! Short forms and their long ones.

use super::{HEAD, config, good};

fn same(short: &str, long: &str) {
    let with = |bit: &str| config(&format!("{HEAD}segments: {{ other: {{ method: GET }} }}\n{bit}"));
    assert_eq!(with(short), with(long), "{short}\n{long}");
}

fn route(inside: &str) -> String {
    format!("routes: [ {{ name: shop, {inside} }} ]\n")
}

fn rule(inside: &str) -> String {
    route(&format!("backend: stable, rules: [ {{ match: {inside}, backend: canary }} ]"))
}

#[test]
fn short_forms_mean_the_long_ones() {
    let split = "split: { backends: [ { name: stable, weight: 95 }, { name: canary, weight: 5 } ]";
    for (short, long) in [
        (
            route("backend: stable"),
            route(
                "split: { key: none, salt: shop, backends: [ { name: stable, weight: 1, state: active } ] }",
            ),
        ),
        (route("backend: stable"), route("split: { backends: { stable: 1 }, sticky: { mode: none } }")),
        (route("split: { backends: { stable: 95, canary: 5 } }"), route(&format!("{split} }}"))),
        (route(&format!("{split}, key: client_ip }}")), route(&format!("{split}, key: [client_ip] }}"))),
        (
            route(&format!("{split}, key: {{ header: X-A }} }}")),
            route(&format!("{split}, key: [ {{ header: X-A }} ] }}")),
        ),
        (
            route("backend: stable, match: { hosts: A.example, method: GET }"),
            route("backend: stable, match: [ { hosts: [a.example], method: [GET] } ]"),
        ),
        (
            route("backend: stable, match: { header: { name: x }, query: { name: q, exact: '1' } }"),
            route(
                "backend: stable, match: { header: [ { name: x, present: true } ], query: [ { name: q, exact: '1' } ] }",
            ),
        ),
        (route("backend: stable, match: {}"), route("backend: stable")),
        (
            route("backend: stable, retry: { on: 503 }"),
            route(
                "backend: stable, retry: { attempts: 3, on: [ '503' ], budget: 20%, backoff: { base: 25ms, max: 250ms } }",
            ),
        ),
        (
            route("backend: stable, retry: {}"),
            route("backend: stable, retry: { on: [connect_failure, reset_before_response, refused_stream] }"),
        ),
        (rule("{ region: DE }"), rule("{ region: [DE] }")),
        (rule("{ client_ip: 10.0.0.1 }"), rule("{ client_ip: [10.0.0.1/32] }")),
        (rule("{ fraction: 2% }"), rule("{ fraction: { percent: 2% } }")),
        (
            rule("{ header: { name: a }, method: GET, segment: other }"),
            rule("{ all: [ { header: { name: a } }, { method: GET }, { segment: other } ] }"),
        ),
        (
            rule("{ header: [ { name: a }, { name: b } ] }"),
            rule("{ all: [ { header: { name: a } }, { header: { name: b } } ] }"),
        ),
        (rule("[ { method: GET }, { region: DE } ]"), rule("{ any: [ { method: GET }, { region: DE } ] }")),
        (
            route(
                "backend: stable, rules: [ { match: { method: GET }, split: { stable: 75, canary: 25 } } ]",
            ),
            route(
                "backend: stable, rules: [ { name: rule-1, match: { method: GET }, split: [ { name: stable, weight: 75 }, \
                 { name: canary, weight: 25 } ] } ]",
            ),
        ),
    ] {
        same(&short, &long);
    }
}

#[test]
fn pointers_find_short_forms() {
    let text = format!(
        "{HEAD}routes:\n  - name: shop\n    match: {{ hosts: a.example }}\n    backend: stable\n  - name: b\n    \
         match: {{ path: {{ exact: /b }} }}\n    split: {{ backends: {{ stable: 1, canary: 2 }} }}\n"
    );
    let source = good(&text).source;
    for (pointer, expected) in [
        ("/routes/0/match/0/hosts/0", "a.example"),
        ("/routes/0/match/hosts", "a.example"),
        ("/routes/0/split/backends/0/name", "stable"),
        ("/routes/0/split/sticky/mode", "stable"),
        ("/routes/1/split/backends/1/name", "canary"),
        ("/routes/1/split/backends/1/weight", "2"),
        ("/routes/1/split/backends/1", "canary: 2"),
        ("/routes/1/split/on_unavailable", "{ backends: { stable: 1, canary: 2 } }"),
        ("/backends/stable/endpoints/0/address", "127.0.0.1:9001"),
    ] {
        let span = source.span(pointer);
        assert_eq!(&source.text()[span.start..span.end], expected, "{pointer}");
    }
    let key = source.key_span("/backends/stable");
    assert_eq!(&source.text()[key.start..key.end], "stable");
}

#[test]
fn canonical_yaml_is_readable() {
    let text = config(&format!(
        "{HEAD}routes: [ {{ name: shop, match: {{ path: {{ prefix: / }} }}, backend: stable, rules: [ {{ match: {{ \
         fraction: 0.5% }}, backend: canary }} ] }} ]\n"
    ))
    .to_yaml();
    insta::assert_snapshot!(text);
}

#[test]
fn aliases_stand_for_what_they_name() {
    let text = "
listeners: [ { name: http, bind: ':8080' } ]
backends:
  stable: { endpoints: [ { address: 127.0.0.1:9001 } ], health_check: &check { path: /healthz, interval: 1s } }
  canary: { endpoints: [ { address: 127.0.0.1:9002 } ], health_check: *check }
routes: [ { name: shop, split: { backends: { stable: 1, canary: 1 } } } ]
";
    let backends = config(text).backends;
    assert_eq!(backends["stable"].health_check, backends["canary"].health_check);
}

#[test]
fn the_public_address_of_the_admin_api_is_a_name_of_it() {
    let names =
        |admin: &str| config(&format!("{HEAD}{}admin: {admin}\n", route("backend: stable"))).admin.names();
    assert_eq!(names("{ hosts: [Weir.internal] }"), ["weir.internal"]);
    let both = "{ hosts: [weir.internal], public_url: 'https://Weir.example.com:8443/ops/' }";
    assert_eq!(names(both), ["weir.internal", "weir.example.com"]);
}
