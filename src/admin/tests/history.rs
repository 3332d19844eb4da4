//! Overrides, drains, the overlay, revisions and the audit, request by request.

use super::*;

fn pointers(value: &Value, path: &str) -> Vec<String> {
    let list = value[path].as_array().unwrap();
    list.iter().map(|one| one["path"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_user_gets_a_backend_and_gives_it_back() {
    let fixture = Fixture::start();
    let user = "/v1/routes/shop/overrides/alice%40example.com";
    let reply = fixture.send(&format!("PUT {user}?dry_run=true"), "{\"backend\": \"canary\"}").await;
    assert_eq!((reply.status, &reply.json()["dry_run"], reply.header("etag")), (200, &true.into(), "\"r1\""));
    let reply =
        fixture.send(&format!("PUT {user}"), "{\"backend\": \"canary\", \"reason\": \"bug 7\"}").await;
    insta::assert_snapshot!(reply.text, @r#"{"route":"shop","key":"alice@example.com","backend":"canary","revision":2,"changed":true}"#);
    let reply = fixture.send("GET /v1/routes/shop/overrides", "").await;
    insta::assert_snapshot!(reply.text, @r#"{"route":"shop","revision":2,"overrides":{"alice@example.com":"canary"}}"#);
    let reply = fixture.send(&format!("DELETE {user}"), "").await;
    insta::assert_snapshot!(reply.text, @r#"{"route":"shop","key":"alice@example.com","backend":null,"revision":3,"changed":true}"#);
    let reply = fixture.send(&format!("PUT {user}"), "{\"backend\": \"nope\"}").await;
    assert_eq!((reply.status, &reply.json()["errors"][0]["pointer"]), (422, &"/backend".into()));
    let reply = fixture.send(&format!("PUT {user}"), "{}").await;
    assert_eq!((reply.status, &reply.json()["errors"][0]["pointer"]), (400, &"/backend".into()));
}

#[tokio::test]
async fn a_drained_backend_takes_no_new_users() {
    let fixture = Fixture::start();
    let reply = fixture.send("PUT /v1/backends/canary/drain", "").await;
    insta::assert_snapshot!(reply.text, @r#"{"backend":"canary","draining":true,"revision":2,"changed":true,"moved_ratio":{"shop":0.05}}"#);
    let reply = fixture.send("GET /v1/routes/shop", "").await;
    assert_eq!(reply.json()["backends"][1]["state"], "drain");
    assert_eq!(reply.json()["backends"][1]["target_ratio"], 0.0);
    let reply = fixture.send("PUT /v1/backends/stable/drain", "").await;
    assert_eq!((reply.status, reply.json()["title"].as_str().unwrap()), (422, "Invalid change"));
    let reply = fixture.send("PUT /v1/backends/stabel/drain", "").await;
    assert_eq!((reply.status, &reply.json()["hint"]), (404, &"did you mean `stable`?".into()));
    let reply = fixture.send("DELETE /v1/backends/canary/drain", "").await;
    assert_eq!(reply.json()["draining"], false);
}

#[tokio::test]
async fn a_kill_moves_who_was_elsewhere() {
    let fixture = Fixture::start();
    let reply = fixture.send("PUT /v1/routes/shop/kill-switch", "{\"backend\": \"canary\"}").await;
    assert_eq!(reply.json()["moved_ratio"], 0.95);
}

#[tokio::test]
async fn revisions_are_listed_compared_and_restored() {
    let fixture = Fixture::start();
    fixture
        .send("PATCH /v1/routes/shop/weights", "{\"weights\": {\"canary\": 20}, \"reason\": \"go\"}")
        .await;
    fixture.send("PUT /v1/routes/shop/kill-switch", "").await;
    let page = fixture.send("GET /v1/revisions?limit=2", "").await.json();
    let numbers = |page: &Value| {
        let list = page["revisions"].as_array().unwrap().iter();
        list.map(|one| one["revision"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((numbers(&page), &page["next"]), (vec![3, 2], &"2".into()));
    assert_eq!(page["revisions"][1]["origin"]["reason"], "go");
    let page = fixture.send("GET /v1/revisions?limit=2&cursor=2", "").await.json();
    assert_eq!((numbers(&page), page.get("next")), (vec![1], None));
    let one = fixture.send("GET /v1/revisions/r2", "").await.json();
    assert_eq!(one["overlay"]["routes"]["shop"]["weights"]["canary"], 20.0);
    let diff = fixture.send("GET /v1/revisions/2/diff", "").await.json();
    assert_eq!((&diff["from"], &diff["to"]), (&1.into(), &2.into()));
    assert_eq!(pointers(&diff, "differences"), ["in_force/routes/shop/weights/canary"]);
    let diff = fixture.send("GET /v1/revisions/1/diff?against=current", "").await.json();
    assert_eq!(
        pointers(&diff, "differences"),
        ["in_force/routes/shop/weights/canary", "in_force/routes/shop/kill_switch"]
    );
    let restore = "POST /v1/revisions/1/restore\nidempotency-key: k-1";
    let dry = fixture.send("POST /v1/revisions/1/restore?dry_run=true", "").await.json();
    assert_eq!((&dry["revision"], dry["differences"].as_array().unwrap().len()), (&3.into(), 2));
    let reply = fixture.send(restore, "{\"reason\": \"back\"}").await;
    assert_eq!((reply.status, reply.header("etag")), (200, "\"r4\""));
    assert_eq!(reply.json()["moved_ratio"]["shop"], 0.05);
    // The same request again does nothing more, another with its key is refused.
    fixture.send("PATCH /v1/routes/shop/weights", "{\"weights\": {\"canary\": 9}}").await;
    let reply = fixture.send(restore, "{\"reason\": \"back\"}").await;
    assert_eq!((&reply.json()["replayed"], &reply.json()["changed"]), (&4.into(), &false.into()));
    let reply = fixture.send("POST /v1/revisions/2/restore\nidempotency-key: k-1", "").await;
    assert_eq!((reply.status, &reply.json()["title"]), (422, &"Idempotency key reused".into()));
    for (head, status) in [
        ("GET /v1/revisions/99", 404),
        ("GET /v1/revisions/x", 400),
        ("GET /v1/revisions/1/diff", 404),
        ("POST /v1/revisions/1/restore\nif-match: \"r1\"", 412),
        ("GET /v1/revisions?limit=0", 400),
    ] {
        assert_eq!(fixture.send(head, "").await.status, status, "{head}");
    }
}

#[tokio::test]
async fn a_change_can_be_made_to_say_what_was_seen() {
    let fixture = Fixture::with_settings(open(), "admin: { require_if_match: true }\n");
    let weights = "{\"weights\": {\"canary\": 20}}";
    for head in [
        "PATCH /v1/routes/shop/weights",
        "DELETE /v1/routes/shop/kill-switch",
        "PUT /v1/backends/canary/drain",
        "POST /v1/revisions/1/restore",
    ] {
        let reply = fixture.send(head, if head.starts_with("PATCH") { weights } else { "" }).await;
        assert_eq!((reply.status, &reply.json()["title"]), (428, &"Precondition required".into()), "{head}");
    }
    assert_eq!(fixture.send("PUT /v1/routes/shop/kill-switch", "").await.status, 200);
    assert_eq!(fixture.send("PATCH /v1/routes/shop/weights\nif-match: \"r2\"", weights).await.status, 200);
}

#[tokio::test]
async fn who_lost_a_race_sees_what_won_it() {
    let fixture = Fixture::start();
    fixture.send("PATCH /v1/routes/shop/weights", "{\"weights\": {\"canary\": 20}}").await;
    let old = "if-match: \"r1\"";
    for (head, body, weight) in [
        ("PUT /v1/routes/shop/overrides/alice", "{\"backend\": \"canary\"}", Some(20.0)),
        ("DELETE /v1/routes/shop/overlay", "", Some(20.0)),
        ("DELETE /v1/routes/shop/kill-switch", "", Some(20.0)),
        ("PUT /v1/backends/canary/drain", "", None),
        ("POST /v1/revisions/1/restore", "", None),
    ] {
        let reply = fixture.send(&format!("{head}\n{old}"), body).await;
        assert_eq!((reply.status, reply.header("etag")), (412, ""), "{head}");
        let current = &reply.json()["current"];
        assert_eq!(current["revision"], 2, "{head}");
        assert_eq!(current["weights"]["canary"].as_f64(), weight, "{head}");
    }
    // Nobody pulls a brake on condition.
    let head = format!("PUT /v1/routes/shop/kill-switch\n{old}");
    assert_eq!(fixture.send(&head, "").await.status, 200);
}

#[tokio::test]
async fn only_what_is_not_idempotent_takes_a_key() {
    let fixture = Fixture::start();
    let key = "idempotency-key: k-1";
    for (method, draining) in [("PUT", true), ("DELETE", false), ("PUT", true)] {
        let reply = fixture.send(&format!("{method} /v1/backends/canary/drain\n{key}"), "").await;
        assert_eq!((reply.status, &reply.json()["draining"]), (200, &draining.into()));
    }
}

#[tokio::test]
async fn the_overlay_is_shown_and_dropped() {
    let fixture = Fixture::start();
    fixture.send("PATCH /v1/routes/shop/weights", "{\"weights\": {\"canary\": 20}}").await;
    let reply = fixture.send("GET /v1/routes/shop/overlay", "").await;
    insta::assert_snapshot!(reply.text, @r#"{"route":"shop","revision":2,"weights":{"canary":20},"kill_switch":null,"overrides":{}}"#);
    let reply = fixture.send("DELETE /v1/routes/shop/overlay", "").await;
    assert_eq!((&reply.json()["changed"], &reply.json()["revision"]), (&true.into(), &3.into()));
    let reply = fixture.send("DELETE /v1/routes/shop/overlay", "").await;
    assert_eq!(reply.json()["changed"], false);
    assert_eq!(fixture.send("DELETE /v1/routes/shp/overlay", "").await.status, 404);
}

#[tokio::test]
async fn the_audit_is_searched_and_verified() {
    let fixture = Fixture::start();
    for (actor, canary) in [("alice", 6), ("bob", 7), ("alice", 8)] {
        let head = format!("PATCH /v1/routes/shop/weights\nx-weir-actor: {actor}");
        fixture.send(&head, &format!("{{\"weights\": {{\"canary\": {canary}}}}}")).await;
    }
    let seqs = async |query: &str| {
        let page = fixture.send(&format!("GET /v1/audit?{query}"), "").await.json();
        let rows = page["rows"].as_array().unwrap().iter();
        rows.map(|row| row["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(seqs("").await, [4, 3, 2, 1]);
    assert_eq!(seqs("actor=alice").await, [4, 2]);
    assert_eq!(seqs("actor=alice&limit=1&cursor=4").await, [2]);
    assert_eq!(seqs("route=shop&action=set_weights&since=2026-01-01T00:00:00Z").await, [4, 3, 2]);
    assert_eq!(seqs("until=2026-01-01T00:00:00Z").await, [0; 0]);
    let reply = fixture.send("GET /v1/audit?since=yesterday", "").await;
    assert_eq!((reply.status, &reply.json()["title"]), (400, &"Invalid parameter".into()));
    let verified = fixture.send("GET /v1/audit/verify", "").await.json();
    assert_eq!((&verified["ok"], &verified["rows"]), (&true.into(), &4.into()));
    assert!(verified["head"].as_str().unwrap().starts_with("4:"), "{verified}");
}
