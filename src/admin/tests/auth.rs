//! Who may do what, request by request.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::*;
use crate::{
    admin::auth::{
        file,
        token::{TokenEntry, TokenHash},
    },
    config::model::{
        Admin, AdminClient, AdminClients, AdminSocket, AdminTls, CertificateFiles, CertificateName,
        TlsVersion,
    },
    telemetry::DenialReason,
    types::Role,
};

/// Somebody with a role, perhaps for some routes, perhaps until a time.
fn entry(name: &str, role: Role, routes: &[&str]) -> TokenEntry {
    let routes = routes.iter().map(|route| Name::new(route).unwrap()).collect::<Vec<_>>();
    TokenEntry {
        name: Name::new(name).unwrap(),
        hash: TokenHash::of(&format!("weir_{name}")),
        role,
        routes: (!routes.is_empty()).then_some(routes),
        expires: None,
        created: None,
    }
}

/// A Weir with tokens: that of `alice` is `weir_alice`.
pub(super) struct Guarded {
    pub(super) fixture: Fixture,
    folder: tempfile::TempDir,
}

impl Guarded {
    pub(super) fn start(change: impl FnOnce(&mut Admin)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let ended = TokenEntry {
            expires: Some(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1)),
            ..entry("ended", Role::Admin, &[])
        };
        let entries = [
            entry("vera", Role::Viewer, &[]),
            entry("otto", Role::Operator, &[]),
            entry("ada", Role::Admin, &[]),
            entry("shopper", Role::Operator, &["shop"]),
            entry("other", Role::Operator, &["cart"]),
            ended,
        ];
        for entry in &entries {
            file::add(&path, entry).unwrap();
        }
        let mut admin = fixtures::config(&[("shop", &[("stable", 1)])]).admin;
        admin.tokens = Some(path);
        change(&mut admin);
        Self { fixture: Fixture::with(Auth::new(&admin).unwrap()), folder }
    }

    pub(super) async fn send(&self, head: &str, body: &str) -> Reply {
        self.fixture.send(head, body).await
    }

    /// Sends a request of somebody.
    pub(super) async fn ask(&self, who: &str, head: &str, body: &str) -> Reply {
        self.send(&format!("{head}\nauthorization: Bearer weir_{who}"), body).await
    }
}

const SET: &str = "PATCH /v1/routes/shop/weights";
const WEIGHTS: &str = r#"{"weights": {"canary": 6}}"#;

#[tokio::test]
async fn roles_and_routes_say_who_may_do_what() {
    let weir = Guarded::start(|_| {});
    for (who, head, body, expected) in [
        ("vera", "GET /v1/status", "", 200),
        ("vera", "GET /v1/routes/shop/weights", "", 200),
        ("vera", "POST /v1/routes/shop/explain", r#"{"headers": {"x-user": "1"}}"#, 200),
        ("vera", "GET /v1/config", "", 403),
        ("vera", "GET /nowhere", "", 404),
        ("vera", "DELETE /v1/status", "", 405),
        ("vera", SET, WEIGHTS, 403),
        ("vera", "PATCH /v1/routes/shop/weights?dry_run=true", WEIGHTS, 403),
        ("vera", "PUT /v1/routes/shop/kill-switch", "", 403),
        ("vera", "DELETE /v1/routes/shop/kill-switch", "", 403),
        ("otto", SET, WEIGHTS, 200),
        ("otto", "PUT /v1/routes/shop/kill-switch", "", 200),
        ("otto", "GET /v1/config/effective", "", 403),
        ("vera", "GET /v1/config/diff", "", 403),
        ("vera", "POST /v1/config/diff", "{}", 403),
        ("vera", "POST /v1/routes/shop/signed-overrides", r#"{"backend": "canary"}"#, 403),
        ("other", "POST /v1/routes/shop/signed-overrides", r#"{"backend": "canary"}"#, 403),
        ("shopper", "POST /v1/routes/shop/signed-overrides", r#"{"backend": "canary"}"#, 200),
        ("otto", "GET /v1/config/diff", "", 200),
        ("otto", "POST /v1/config/diff", "{}", 422),
        ("other", "POST /v1/config/diff", "{}", 422),
        ("otto", "GET /v1/revisions/2/diff", "", 200),
        ("otto", "GET /v1/revisions/2", "", 403),
        ("shopper", "DELETE /v1/routes/shop/kill-switch", "", 200),
        ("shopper", "PATCH /v1/routes/cart/weights", WEIGHTS, 403),
        ("other", SET, WEIGHTS, 403),
        // The path is what the handler reads: an escape is no way around.
        ("other", "PATCH /v1/routes/%73hop/weights", WEIGHTS, 403),
        ("shopper", "PATCH /v1/routes/%73hop/weights", r#"{"weights": {"canary": 7}}"#, 200),
        ("other", "GET /v1/routes/shop/weights", "", 200),
        ("ada", "GET /v1/config", "", 200),
        ("ada", SET, r#"{"weights": {"canary": 8}}"#, 200),
        ("ended", "GET /v1/status", "", 401),
        ("nobody", "GET /v1/status", "", 401),
    ] {
        let reply = weir.ask(who, head, body).await;
        assert_eq!(reply.status, expected, "{who}: {head}: {}", reply.text);
    }
}

#[tokio::test]
async fn an_operator_compares_files_and_sees_no_secret() {
    let weir = Guarded::start(|_| {});
    let with = |secret: &str| {
        let text = fixtures::TEXT.replace("WEIGHT", "5");
        text + &format!("    headers: {{ request: {{ set: {{ X-Key: {secret} }} }} }}\n")
    };
    let found = weir.ask("otto", "POST /v1/config/diff\ncontent-type: application/yaml", &with("hush")).await;
    assert_eq!((found.status, found.header("etag")), (200, "\"r1\""));
    insta::assert_snapshot!(found.text, @r#"{"different":true,"changes":[{"item":"route shop","kind":"added","path":"headers","to":{"request":{"set":{"X-Key":"(withheld 1)"}}}}]}"#);
    let found = weir.ask("ada", "POST /v1/config/diff\ncontent-type: application/yaml", &with("hush")).await;
    assert!(found.text.contains("hush"), "{}", found.text);
    // What the API has set, against the file.
    weir.ask("otto", SET, WEIGHTS).await;
    let found = weir.ask("otto", "GET /v1/config/diff", "").await;
    insta::assert_snapshot!(found.text, @r#"{"different":true,"changes":[{"item":"route shop","kind":"changed","path":"split.backends.canary.weight","from":6,"to":5}]}"#);
    // Of two revisions.
    let file = ControlFile::parse(std::path::Path::new("weir.yaml"), with("hush").as_bytes()).unwrap();
    let change = crate::control::Change::Reload(Arc::new(file));
    let origin = crate::control::Origin::new("test", crate::control::Channel::File);
    weir.fixture.control.apply(crate::control::Command::new(change, origin)).await.unwrap();
    let found = weir.ask("otto", "GET /v1/revisions/3/diff", "").await;
    assert!(found.text.contains("(withheld 1)") && !found.text.contains("hush"), "{}", found.text);
    let found = weir.ask("ada", "GET /v1/revisions/3/diff", "").await;
    assert!(found.text.contains("hush"), "{}", found.text);
}

#[tokio::test]
async fn what_is_missing_is_told_with_what_to_do() {
    let weir = Guarded::start(|_| {});
    for (head, expected) in [
        (
            "GET /v1/status",
            "401 unauthorized | the admin API wants to know who asks | send `Authorization: Bearer TOKEN`; the command line takes it from --token-file or WEIR_TOKEN | Bearer realm=\"weir\"",
        ),
        (
            "GET /v1/status\nauthorization: Bearer weir_nobody",
            "401 unauthorized | there is no such token | it may have been revoked, or be another Weir's; `weir token create` makes one | Bearer realm=\"weir\", error=\"invalid_token\"",
        ),
        (
            "GET /v1/status\nauthorization: Bearer weir_ended",
            "401 unauthorized | the token `ended` has ended, on 1970-01-01T00:00:01Z | `weir token create` makes another one | Bearer realm=\"weir\", error=\"invalid_token\"",
        ),
        (
            "GET /v1/status\nauthorization: Basic weir_ada",
            "401 unauthorized | `Authorization` is not one bearer token | send one field: `Authorization: Bearer TOKEN` | Bearer realm=\"weir\", error=\"invalid_token\"",
        ),
        (
            "GET /v1/status\nauthorization: Bearer weir_ada\nauthorization: Bearer weir_ada",
            "401 unauthorized | `Authorization` is not one bearer token | send one field: `Authorization: Bearer TOKEN` | Bearer realm=\"weir\", error=\"invalid_token\"",
        ),
        (
            "PUT /v1/routes/shop/kill-switch\nauthorization: bearer weir_vera",
            "403 forbidden | `vera` has the role viewer, and this takes operator | ask an administrator for it, or for a token with that role | ",
        ),
        (
            "PUT /v1/routes/shop/kill-switch\nauthorization: Bearer weir_other",
            "403 forbidden | `other` may change `cart` only | ask an administrator for it, or for a token with other `routes` | ",
        ),
    ] {
        let reply = weir.send(head, "").await;
        let problem = reply.json();
        let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
        let kind = text("type");
        let shown = format!(
            "{} {} | {} | {} | {}",
            reply.status,
            kind.trim_start_matches("urn:weir:problem:"),
            text("detail"),
            text("hint"),
            reply.header("www-authenticate"),
        );
        assert_eq!(shown, expected, "{head}");
    }
    let denials = |reason| weir.fixture.stats.denials(reason);
    assert_eq!(denials(DenialReason::NoToken), 1);
    assert_eq!(denials(DenialReason::WrongToken), 3);
    assert_eq!((denials(DenialReason::Expired), denials(DenialReason::Role)), (1, 1));
}

#[tokio::test]
async fn health_is_open_and_metrics_are_for_whom_the_file_says() {
    let from = |address: &str| format!("GET /metrics\npeer: {address}");
    for (metrics, local, remote) in
        [(OpenMetrics::Local, 200, 401), (OpenMetrics::All, 200, 200), (OpenMetrics::Nobody, 401, 401)]
    {
        let weir = Guarded::start(|admin| admin.metrics = metrics);
        assert_eq!(weir.send(&from("127.0.0.1"), "").await.status, local, "{metrics:?}");
        assert_eq!(weir.send(&from("192.0.2.1"), "").await.status, remote, "{metrics:?}");
        assert_eq!(weir.ask("vera", &from("192.0.2.1"), "").await.status, 200);
        assert_eq!(weir.send("GET /livez", "").await.status, 200);
        assert_eq!(weir.send("GET /readyz", "").await.status, 200);
    }
}

#[tokio::test]
async fn the_actor_is_who_was_proved_and_the_claim_is_a_note() {
    let weir = Guarded::start(|_| {});
    let head = format!("{SET}\nx-weir-actor: ci\nx-request-id: deploy-17");
    let reply = weir.ask("otto", &head, WEIGHTS).await;
    assert_eq!((reply.status, reply.header("x-request-id")), (200, "deploy-17"));
    let row = serde_json::to_value(weir.fixture.store.inner.rows().last().unwrap()).unwrap();
    let expected = json!({"actor": "otto", "channel": "api", "note": "ci", "request_id": "deploy-17"});
    assert_eq!(row["origin"], expected);
    // What is no name for a request gets another one.
    for id in ["a b", "", &"x".repeat(129), "<script>"] {
        let reply = weir.ask("vera", &format!("GET /v1/status\nx-request-id: {id}"), "").await;
        let given = reply.header("x-request-id");
        assert!(given.len() == 32 && given.bytes().all(|byte| byte.is_ascii_hexdigit()), "{given}");
    }
}

#[tokio::test]
async fn who_fails_too_often_waits_and_a_good_token_never_does() {
    let weir = Guarded::start(|admin| admin.max_failures = crate::types::Rate::parse("3/h").unwrap());
    let from = |address: &str| format!("GET /v1/status\npeer: {address}");
    for expected in [401, 401, 401, 429, 429] {
        let reply = weir.ask("nobody", &from("192.0.2.1"), "").await;
        assert_eq!(reply.status, expected);
        assert_eq!(reply.header("retry-after").is_empty(), expected == 401);
    }
    assert_eq!(weir.ask("nobody", &from("192.0.2.2"), "").await.status, 401);
    assert_eq!(weir.ask("vera", &from("192.0.2.1"), "").await.status, 200);
    assert_eq!(weir.fixture.stats.denials(DenialReason::RateLimited), 2);
}

#[tokio::test]
async fn a_changed_file_counts_and_a_bad_one_does_not() {
    let weir = Guarded::start(|_| {});
    let path = weir.folder.path().join("tokens");
    let auth = &weir.fixture.auth;
    file::remove(&path, "otto").unwrap();
    let content = fs::read(&path).unwrap();
    assert_eq!(auth.replace_tokens(Ok(&content)), Ok(Some(5)));
    assert_eq!(auth.replace_tokens(Ok(&content)), Ok(None));
    assert_eq!(weir.ask("otto", "GET /v1/status", "").await.status, 401);
    for content in [Ok(&b"{}"[..]), Err("gone".to_owned())] {
        assert!(auth.replace_tokens(content).is_err());
        assert_eq!(weir.ask("vera", "GET /v1/status", "").await.status, 200);
        assert!(auth.warnings()[0].contains("the tokens read before stay in force"), "{:?}", auth.warnings());
        assert!(!auth.gauge().unwrap().good);
    }
    assert_eq!(auth.replace_tokens(Ok(&content)), Ok(None));
    assert!(auth.warnings().is_empty() && auth.gauge().unwrap().good);
}

#[tokio::test]
async fn refusals_are_written_down_without_what_was_tried() {
    let weir = Guarded::start(|_| {});
    let (auth, control) = (Arc::clone(&weir.fixture.auth), weir.fixture.control.clone());
    let recording = tokio::spawn(async move { auth.record_denials(control).await });
    weir.ask("stolen", "GET /v1/status", "").await;
    weir.ask("vera", "PUT /v1/routes/shop/kill-switch", "").await;
    weir.send("GET /v1/status\nhost: evil.example", "").await;
    let rows = loop {
        let rows = weir.fixture.store.inner.rows();
        let denied: Vec<_> = rows.iter().filter(|row| row.action == "denied").cloned().collect();
        if denied.len() == 3 {
            break serde_json::to_value(denied).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    recording.abort();
    let whats: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["to"].clone()).collect();
    let expected = [
        "status: host, from 0.0.0.0",
        "status: wrong_token, from 0.0.0.0",
        "set_kill_switch: role, from 0.0.0.0",
    ];
    assert_eq!(whats, expected);
    assert_eq!((&rows[2]["origin"]["actor"], &rows[2]["route"]), (&json!("vera"), &json!("shop")));
    assert_eq!(rows[0]["result"], "refused");
    assert!(!rows.to_string().contains("weir_"), "{rows}");
    assert!(!rows.to_string().contains("evil"), "{rows}");
}

#[tokio::test]
async fn every_answer_tells_browsers_to_keep_out() {
    let weir = Guarded::start(|_| {});
    for head in ["GET /livez", "GET /v1/status", "GET /nowhere", "OPTIONS /v1/routes/shop/weights"] {
        let reply = weir.send(head, "").await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
            ("access-control-allow-origin", ""),
        ] {
            assert_eq!(reply.header(name), value, "{head}: {name}");
        }
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
    }
}

#[tokio::test]
async fn users_and_certificates_have_roles() {
    let weir = Guarded::start(|admin| {
        let uids = [(1000, Role::Operator), (1001, Role::Viewer)].into();
        admin.socket = Some(AdminSocket { path: "/admin.sock".into(), mode: None, uids });
        let files = CertificateFiles { cert_file: "/a".into(), key_file: "/b".into() };
        let says = CertificateName::Dns("ci".to_owned());
        let roles = vec![AdminClient { says, role: Role::Operator, routes: vec![name("cart")] }];
        let clients = Some(AdminClients { ca_file: "/c".into(), roles });
        admin.tls = Some(AdminTls { certificate: files, min_version: TlsVersion::Tls12, clients });
    });
    let kill = "PUT /v1/routes/shop/kill-switch";
    for (peer, head, expected) in [
        ("uid:0", kill, 200),
        ("uid:1000", kill, 200),
        ("uid:1000", "GET /v1/config", 403),
        ("uid:1001", kill, 403),
        ("uid:1001", "GET /metrics", 200),
        ("uid:1002", "GET /v1/status", 401),
        ("dns:ci", "GET /v1/status", 200),
        ("dns:ci", kill, 403),
        ("dns:other", "GET /v1/status", 401),
        ("127.0.0.1", "GET /v1/status", 401),
    ] {
        let reply = weir.send(&format!("{head}\npeer: {peer}"), "").await;
        assert_eq!(reply.status, expected, "{peer}: {head}: {}", reply.text);
    }
    let hint = |reply: Reply| reply.json()["hint"].as_str().unwrap_or_default().to_owned();
    let user = weir.send("GET /v1/status\npeer: uid:1002", "").await;
    assert_eq!(hint(user), "give it one by `admin.socket.uids: { 1002: viewer }`, or send a token");
    let holder = weir.send("GET /v1/status\npeer: dns:other", "").await;
    assert_eq!(hint(holder), "give one of them a role in `admin.tls.clients.roles`, or send a token");
}

#[tokio::test]
async fn an_open_address_opens_no_socket() {
    let admin = Admin { tokens: None, ..fixtures::config(&[("shop", &[("stable", 1)])]).admin };
    let fixture = Fixture::with(Auth::new(&admin).unwrap());
    assert_eq!(fixture.send("GET /v1/config\npeer: 127.0.0.1", "").await.status, 200);
    assert_eq!(fixture.send("GET /v1/config\npeer: uid:0", "").await.status, 200);
    assert_eq!(fixture.send("GET /v1/config\npeer: uid:4242", "").await.status, 401);
}

#[tokio::test]
async fn a_rollout_takes_an_operator_of_its_routes_and_an_agreement_those_whom_the_plan_names() {
    let weir = Guarded::start(|_| {});
    let start = r#"{"route": "shop", "plan": {"baseline": "stable", "canary": "canary", "analysis": {"gates": []}, "steps":
        [{"weight": "10%", "approval": {"roles": ["admin"]}}, {"weight": "100%", "bake": "1h"}]}}"#;
    for (who, expected) in [("vera", 403), ("other", 403), ("nobody", 401)] {
        let reply = weir.ask(who, "POST /v1/rollouts", start).await;
        assert_eq!(reply.status, expected, "{who}: {}", reply.text);
    }
    let refused = weir.ask("other", "POST /v1/rollouts?dry_run=true", start).await;
    assert_eq!((refused.status, &refused.json()["detail"]), (403, &json!("`other` may change `cart` only")));
    let reply = weir.ask("shopper", "POST /v1/rollouts", start).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let path = format!("/v1/rollouts/{}", reply.json()["id"].as_str().unwrap());
    let mut seen = Value::Null;
    for _ in 0..500 {
        seen = weir.ask("vera", &format!("GET {path}"), "").await.json();
        if seen["phase"] == "awaiting_approval" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(
        (&seen["phase"], &seen["approval"]["roles"]),
        (&json!("awaiting_approval"), &json!(["admin"])),
        "{seen}"
    );
    for (who, what, expected) in [
        ("vera", "pause", 403),
        ("vera", "approve", 403),
        ("other", "pause", 403),
        ("other", "retry", 403),
        // An operator may not pass by who has to agree.
        ("otto", "approve", 403),
        ("otto", "promote", 403),
        ("otto", "promote?full=true", 403),
        ("otto", "approve?dry_run=true", 403),
        ("shopper", "approve", 403),
        ("shopper", "pause", 200),
        ("otto", "promote", 403),
        ("shopper", "resume", 200),
    ] {
        let reply = weir.ask(who, &format!("POST {path}/{what}"), "").await;
        assert_eq!(reply.status, expected, "{who}: {what}: {}", reply.text);
    }
    let refused = weir.ask("otto", &format!("POST {path}/promote?full=true"), "").await.json();
    assert_eq!(refused["detail"], "`otto` has the role operator, and the plan wants the agreement of admin");
    for _ in 0..500 {
        if weir.ask("ada", &format!("POST {path}/approve"), r#"{"reason": "fine"}"#).await.status == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let entries = weir.ask("vera", "GET /v1/audit?action=rollout_approve", "").await.json();
    assert_eq!(
        (&entries["rows"][0]["origin"]["actor"], &entries["rows"][0]["origin"]["reason"]),
        (&json!("ada"), &json!("fine"))
    );
    assert!(
        weir.fixture.stats.denials(DenialReason::Role) > 5
            && weir.fixture.stats.denials(DenialReason::Scope) > 2
    );
    assert_eq!(weir.ask("shopper", &format!("POST {path}/abort"), "").await.status, 200);
}
