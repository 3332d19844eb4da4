//! What goes wrong, and how it is told.

use super::*;

/// Requests, their bodies, and what they get: status, kind, detail, hint, and pointers.
const ERRORS: &[(&str, &str, &str)] = &[
    (
        "GET /v2",
        "",
        "404 not-found | there is nothing at `/v2` | the API is described in docs/api.md and at /v1/openapi.json",
    ),
    ("DELETE /v1/status", "", "405 method-not-allowed | `/v1/status` does not take DELETE"),
    ("GET /v1/routes/shp", "", "404 unknown-route | there is no route `shp` | did you mean `shop`?"),
    (
        "GET /v1/backends/stabel",
        "",
        "404 unknown-backend | there is no backend `stabel` | did you mean `stable`?",
    ),
    (
        "PATCH /v1/routes/shop/weights",
        "{\"weights\": {\"canry\": 5}}",
        "422 unknown-backend | route `shop` has no backend `canry` in its split | did you mean `canary`? /weights/canry",
    ),
    (
        "PUT /v1/routes/shop/weights",
        "{\"weights\": {\"canary\": 5}}",
        "422 invalid-change | the new weights of route `shop` leave out `stable` | name every backend of the split, or change single weights with PATCH /weights/stable",
    ),
    (
        "PUT /v1/routes/shop/weights",
        "{\"weights\": {\"canary\": 0, \"stable\": 0}}",
        "422 invalid-change | all weights of route `shop` would be zero | give at least one backend a weight above 0 /weights",
    ),
    (
        "PATCH /v1/routes/shop/weights",
        "{\"weights\": {\"canary\": \"5\", \"stable\": -1}}",
        "400 invalid-body | a weight is a number such as 5 or 0.5 /weights/canary /weights/stable",
    ),
    (
        "PUT /v1/routes/shop/weights",
        "{\"weights\": {\"canary\": null}}",
        "400 invalid-body | `canary` has no weight | null gives the control file its say again, with PATCH only /weights/canary",
    ),
    (
        "PATCH /v1/routes/shop/weights",
        "{\"canary\": 5}",
        "400 invalid-body | unknown member `canary` | send for example {\"weights\": {\"stable\": 80, \"canary\": 20}} /canary",
    ),
    (
        "PATCH /v1/routes/shop/weights",
        "{\"weights\": ",
        "400 invalid-body | the body is not JSON: EOF while parsing a value at line 1 column 12",
    ),
    ("PATCH /v1/routes/shop/weights", "[]", "400 invalid-body | the body has to be a JSON object"),
    (
        "PATCH /v1/routes/shop/weights\ncontent-type: text/html",
        "{}",
        "415 unsupported-media-type | a body of type `text/html` is not taken here | send application/json or application/merge-patch+json",
    ),
    (
        "PATCH /v1/routes/shop/weights?dry_run=maybe",
        "{\"weights\": {\"canary\": 6}}",
        "400 invalid-parameter | `dry_run` is true or false, not `maybe`",
    ),
    (
        "PATCH /v1/routes/shop/weights\nif-match: 42",
        "{\"weights\": {\"canary\": 6}}",
        "412 revision-conflict | what was expected is no revision, but r1 is in force | send the ETag of an earlier answer, such as \"r1\"",
    ),
    (
        "POST /v1/routes/shop/explain",
        "{\"user\": 1}",
        "400 invalid-body | unknown member `user` | the members are method, path, host, headers, client_ip /user",
    ),
    ("POST /v1/routes/shop/explain", "{}", "422 invalid-change | no user"),
    ("POST /v1/routes/shop/explain", "{\"method\": \"\"}", "400 invalid-body | `` is no method /method"),
    ("POST /v1/routes/shop/explain", "{\"host\": \"a b\"}", "400 invalid-body | `a b` is no host /host"),
    ("POST /v1/routes/shop/explain", "{\"path\": \"a\"}", "400 invalid-body | `a` is no path /path"),
    (
        "POST /v1/routes/shop/explain",
        "{\"headers\": {\"a b\": \"1\"}}",
        "400 invalid-body | `a b` could not be sent as a header field /headers/a b",
    ),
    (
        "GET /v1/status\nhost: evil.example:9900",
        "",
        "403 host-not-allowed | the admin API does not answer for host `evil.example:9900` | ask for it by a loopback name, such as localhost, or by one of `admin.hosts`",
    ),
    (
        "PUT /v1/routes/shop/kill-switch\norigin: http://evil.example",
        "",
        "403 cross-origin | changes are not taken from pages of another origin",
    ),
    (
        "PATCH /v1/routes/shop/weights?dryrun=true",
        "{\"weights\": {\"canary\": 6}}",
        "400 invalid-parameter | unknown parameter `dryrun` | did you mean `dry_run`?",
    ),
    (
        "GET /v1/status?x=1",
        "",
        "400 invalid-parameter | unknown parameter `x` | this operation takes no parameters",
    ),
    (
        "PATCH /v1/routes/shop/weights",
        "{\"weights\": {\"canary\": 10, \"canary\": 20}}",
        "400 invalid-body | `canary` is given twice at line 1 column 40",
    ),
    (
        "PATCH /v1/routes/shop/weights",
        "{\"weights\": {\"canary\": 1.0000001}}",
        "400 invalid-body | a weight has at most six decimals /weights/canary",
    ),
    (
        "PUT /v1/routes/shop/kill-switch",
        "{\"backend\": \"nope\"}",
        "422 unknown-backend | route `shop` has no backend `nope` in its split | its backends are `stable` and `canary` /backend",
    ),
    (
        "GET /v1/status\nhost: localhost\nhost: localhost",
        "",
        "400 invalid-parameter | the request names more than one host",
    ),
    (
        "GET http://evil.example/v1/status\nhost: localhost",
        "",
        "400 invalid-parameter | the request names more than one host",
    ),
    (
        "GET /v1/config/effective?format=toml",
        "",
        "400 invalid-parameter | `format` is json or yaml, not `toml`",
    ),
];

#[tokio::test]
async fn errors_are_problems() {
    let fixture = Fixture::start();
    let big = format!("{{\"reason\": \"{}\"}}", "x".repeat(300 << 10));
    let too_big =
        ("PATCH /v1/routes/shop/weights", &*big, "413 body-too-large | the body has more than 256 KiB");
    for (head, body, expected) in ERRORS.iter().copied().chain([too_big]) {
        let reply = fixture.send(head, body).await;
        assert_eq!(reply.header("content-type"), "application/problem+json", "{head}");
        let problem = reply.json();
        let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
        let mut shown = format!(
            "{} {} | {}",
            problem["status"],
            text("type").trim_start_matches("urn:weir:problem:"),
            text("detail")
        );
        if !text("hint").is_empty() {
            shown += &format!(" | {}", text("hint"));
        }
        for fault in problem["errors"].as_array().into_iter().flatten() {
            let pointer = fault["pointer"].as_str().unwrap();
            if !pointer.is_empty() {
                shown += &format!(" {pointer}");
            }
        }
        assert_eq!(shown, expected, "{head}");
        assert_eq!(u64::from(reply.status), problem["status"].as_u64().unwrap());
    }
}
