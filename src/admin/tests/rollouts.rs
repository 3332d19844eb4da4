//! Rollouts, request by request, over a driver of their own.

use super::*;
use crate::{
    config::model::rollout::Check,
    rollout::{
        Driver, Rollouts,
        driver::{Context, Surroundings},
        judge::Answer,
        machine::HookAnswer,
        outside::{Asked, HookCall, Outside},
    },
    telemetry::Registry,
};

/// A world in which all backends are healthy and nobody is asked.
struct Calm;

impl Surroundings for Calm {
    fn unhealthy(&self, _: &Name) -> Option<String> {
        None
    }
}

impl Outside for Calm {
    fn call(&self, _: HookCall) -> Asked<HookAnswer> {
        Box::pin(async { HookAnswer::Yes("200".to_owned()) })
    }
    fn ask(&self, _: &Check, _: Option<&str>) -> Asked<Answer> {
        Box::pin(async { Answer::Nothing })
    }
    fn messages_are_due(&self) {}
}

/// The handle of a driver that runs as long as the test does.
pub(super) fn running(control: &Control) -> Rollouts {
    let context = Context {
        control: control.clone(),
        registry: Arc::new(Registry::new(1)),
        surroundings: Arc::new(Calm),
        outside: Arc::new(Calm),
    };
    // Preparing reads the journal, and whoever makes a fixture does not wait for anything.
    let preparing = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Driver::prepare(context))
    });
    let (rollouts, driver) = preparing.join().unwrap();
    tokio::spawn(driver.run(std::future::pending()));
    rollouts
}

/// Two steps of some length, and everything in the end.
const PLAN: &str = r#"{"baseline": "stable", "canary": "canary", "steps": [{"weight": "10%", "hold": "1h"},
    {"weight": "50%", "hold": "1h", "approval": {"roles": ["admin"]}}, {"weight": "100%"}], "analysis": {"gates": []}}"#;

fn body(members: &str) -> String {
    format!("{{\"route\": \"shop\", \"plan\": {PLAN}{members}}}")
}

/// Starts one, and waits until it is at its first step.
async fn started(fixture: &Fixture) -> String {
    let reply = fixture.send("POST /v1/rollouts", &body(", \"version\": \"v2\"")).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), format!("/v1/rollouts/{id}"));
    reaches(fixture, &id, |rollout| rollout["traffic"]["in_force"] == true && rollout["step"] == 1).await;
    id
}

/// Waits until a rollout is so; how it is then.
pub(super) async fn reaches(fixture: &Fixture, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Value::Null;
    for _ in 0..500 {
        seen = fixture.send(&format!("GET /v1/rollouts/{id}"), "").await.json();
        if is_so(&seen) {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never so: {seen}");
}

pub(super) async fn phase(fixture: &Fixture, id: &str, phase: &str) -> Value {
    reaches(fixture, id, |rollout| rollout["phase"] == phase).await
}

#[tokio::test]
async fn one_is_started_seen_and_listed() {
    let fixture = Fixture::start();
    let empty = fixture.send("GET /v1/rollouts", "").await;
    assert_eq!((empty.status, empty.text.as_str()), (200, r#"{"rollouts":[]}"#));
    let id = started(&fixture).await;
    let one = fixture.send(&format!("GET /v1/rollouts/{id}"), "").await.json();
    assert_eq!(
        (&one["phase"], &one["version"], &one["by"], &one["share"]),
        (&"progressing".into(), &"v2".into(), &"anonymous".into(), &0.1.into())
    );
    assert_eq!(
        (&one["steps"][0]["status"], &one["steps"][0]["what"]),
        (&"running".into(), &"weight 10 %".into())
    );
    assert_eq!(
        (&one["steps"][1]["what"], &one["steps"][1]["approval"]),
        (&"weight 50 % then approval".into(), &true.into())
    );
    assert!(one["seconds_left"].as_f64().is_some_and(|left| left > 3590.0), "{one}");
    assert_eq!(one["plan"]["deadline"], "1d", "every default is written out: {}", one["plan"]);
    for (query, found) in [
        ("", 1),
        ("?route=shop", 1),
        ("?active=true", 1),
        ("?active=false", 0),
        ("?phase=progressing", 1),
        ("?phase=paused", 0),
        ("?limit=1", 1),
    ] {
        let list = fixture.send(&format!("GET /v1/rollouts{query}"), "").await;
        assert_eq!(list.json()["rollouts"].as_array().unwrap().len(), found, "{query}: {}", list.text);
    }
    for (query, status) in
        [("?route=nope", 404), ("?phase=nope", 400), ("?active=2", 400), ("?limit=0", 400), ("?x=1", 400)]
    {
        assert_eq!(fixture.send(&format!("GET /v1/rollouts{query}"), "").await.status, status, "{query}");
    }
    let entries = reaches_entries(&fixture, &id).await;
    assert_eq!((&entries["rollout"], &entries["entries"][0]["seq"]), (&id.as_str().into(), &1.into()));
    assert_eq!(entries["entries"][0]["words"], "step 1 of 3 begins: 10% to the canary");
    // The route says who has it.
    let route = fixture.send("GET /v1/routes/shop", "").await.json();
    assert_eq!((&route["rollout"]["id"], &route["rollout"]["step_count"]), (&id.as_str().into(), &3.into()));
    let status = fixture.send("GET /v1/status", "").await.json();
    assert_eq!(status["routes"][0]["rollout"]["phase"], "progressing");
    // Weights are its own now.
    let reply = fixture.send("PATCH /v1/routes/shop/weights", "{\"weights\": {\"canary\": 3}}").await;
    assert_eq!((reply.status, &reply.json()["type"]), (409, &"urn:weir:problem:rollout-active".into()));
}

/// Its journal, once that has anything: it is written beside the driver.
async fn reaches_entries(fixture: &Fixture, id: &str) -> Value {
    for _ in 0..500 {
        let entries = fixture.send(&format!("GET /v1/rollouts/{id}/entries"), "").await.json();
        if entries["entries"].as_array().is_some_and(|entries| !entries.is_empty()) {
            return entries;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the journal stays empty");
}

#[tokio::test]
async fn what_cannot_be_started_is_told_with_its_place() {
    let fixture = Fixture::start();
    for (body, status, kind, pointer) in [
        ("{}", 422, "invalid-change", "/route"),
        ("{\"route\": \"shop\", \"routes\": [\"shop\"]}", 422, "invalid-change", "/routes"),
        ("{\"routes\": []}", 400, "invalid-body", "/routes"),
        ("{\"routes\": [1]}", 400, "invalid-body", "/routes"),
        ("{\"route\": \"shop\", \"plan\": 7}", 400, "invalid-body", "/plan"),
        ("{\"route\": \"shop\", \"supersede\": 7}", 400, "invalid-body", "/supersede"),
        ("{\"route\": \"shop\", \"to\": 7}", 400, "invalid-body", "/to"),
        ("{\"route\": \"shap\", \"plan\": {}}", 422, "unknown-route", "/route"),
        ("{\"routes\": [\"shop\", \"nope\"], \"plan\": {}}", 422, "unknown-route", "/routes/1"),
        ("{\"route\": \"shop\"}", 422, "invalid-plan", "/plan"),
        (
            "{\"route\": \"shop\", \"plan\": {\"baseline\": \"stable\", \"canary\": \"canary\", \"steps\": [{\"weight\": 5, \"wieght\": 5}]}}",
            422,
            "invalid-plan",
            "/plan/steps/0/wieght",
        ),
        ("{\"route\": \"shop\", \"plan\": \"baseline: [\"}", 422, "invalid-plan", "/plan"),
    ] {
        let reply = fixture.send("POST /v1/rollouts", body).await;
        let problem = reply.json();
        assert_eq!(reply.status, status, "{body}: {problem}");
        assert_eq!(problem["type"], format!("urn:weir:problem:{kind}"), "{body}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    assert_eq!(fixture.send("GET /v1/rollouts", "").await.json()["rollouts"], Value::Array(Vec::new()));
    assert_eq!(
        fixture.send("GET /v1/audit", "").await.json()["rows"].as_array().unwrap().len(),
        1,
        "the start of Weir"
    );
}

#[tokio::test]
async fn a_dry_run_gives_the_plan_and_starts_nothing() {
    let fixture = Fixture::start();
    let reply = fixture.send("POST /v1/rollouts?dry_run=true", &body("")).await;
    let planned = reply.json();
    assert_eq!(
        (reply.status, &planned["dry_run"], &planned["routes"][0]),
        (200, &true.into(), &"shop".into())
    );
    assert_eq!(
        (&planned["plan"]["on_failure"], &planned["plan"]["steps"][0]["hold"]),
        (&"rollback".into(), &"1h".into())
    );
    assert!(planned["warnings"].is_array());
    // The same as YAML in a text.
    let yaml = "baseline: stable\ncanary: canary\nsteps: [ { weight: 10%, hold: 1h }, { weight: 100% } ]\n";
    let text = serde_json::json!({"route": "shop", "plan": yaml}).to_string();
    let reply = fixture.send("POST /v1/rollouts?dry_run=true", &text).await;
    assert_eq!(
        (reply.status, &reply.json()["plan"]["steps"][0]["weight"]),
        (200, &planned["plan"]["steps"][0]["weight"])
    );
    assert_eq!(fixture.send("GET /v1/rollouts", "").await.json()["rollouts"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_second_one_waits_its_turn_or_takes_the_place() {
    let fixture = Fixture::start();
    let first = started(&fixture).await;
    let reply = fixture.send("POST /v1/rollouts", &body("")).await;
    let problem = reply.json();
    assert_eq!((reply.status, &problem["type"]), (409, &"urn:weir:problem:rollout-active".into()));
    assert_eq!(
        (&problem["current"]["id"], &problem["current"]["phase"]),
        (&first.as_str().into(), &"progressing".into())
    );
    assert_eq!(fixture.send("POST /v1/rollouts?dry_run=true", &body("")).await.status, 409);
    let reply = fixture.send("POST /v1/rollouts", &body(", \"supersede\": true")).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let second = reply.json()["id"].as_str().unwrap().to_owned();
    let first = phase(&fixture, &first, "superseded").await;
    assert!(first["reason"]["words"].as_str().unwrap().contains(&second), "{first}");
    phase(&fixture, &second, "progressing").await;
}

#[tokio::test]
async fn a_request_that_is_sent_again_starts_nothing_again() {
    let fixture = Fixture::start();
    let start = "POST /v1/rollouts\nidempotency-key: release-19";
    let first = fixture.send(start, &body("")).await.json();
    let again = fixture.send(start, &body("")).await;
    assert_eq!((again.status, &again.json()["id"]), (201, &first["id"]));
    let other = fixture.send(start, &body(", \"version\": \"v3\"")).await;
    assert_eq!(
        (other.status, &other.json()["type"]),
        (422, &"urn:weir:problem:idempotency-key-reused".into())
    );
    let rows = fixture.send("GET /v1/audit?action=rollout_start", "").await.json();
    assert_eq!(rows["rows"].as_array().unwrap().len(), 1, "{rows}");
}

#[tokio::test]
async fn it_is_paused_resumed_promoted_and_approved() {
    let fixture = Fixture::start();
    let id = started(&fixture).await;
    let command = |what: &str| format!("POST /v1/rollouts/{id}/{what}");
    // A pause does not look at the revision, everything else may.
    let reply = fixture.send(&(command("pause") + "\nif-match: \"r99\""), "{\"reason\": \"logs\"}").await;
    assert_eq!((reply.status, &reply.json()["phase"]), (200, &"paused".into()), "{}", reply.text);
    assert_eq!(reply.json()["paused"]["by"], "anonymous");
    let reply = fixture.send(&command("pause"), "").await;
    let problem = reply.json();
    assert_eq!((reply.status, &problem["type"]), (409, &"urn:weir:problem:rollout-phase".into()));
    assert_eq!(
        (&problem["current"]["phase"], &problem["detail"]),
        (&"paused".into(), &"the rollout is paused, so there is nothing to pause".into())
    );
    assert_eq!(fixture.send(&(command("resume") + "\nif-match: \"r99\""), "").await.status, 412);
    let reply = fixture.send(&command("resume?dry_run=true"), "").await.json();
    assert_eq!((&reply["phase"], &reply["dry_run"]), (&"paused".into(), &true.into()));
    assert_eq!(fixture.send(&command("resume"), "").await.json()["phase"], "progressing");
    assert_eq!(fixture.send(&command("promote"), "").await.json()["step"], 2);
    assert_eq!(fixture.send(&command("promote?full=maybe"), "").await.status, 400);
    assert_eq!(fixture.send(&command("approve"), "").await.status, 409);
    assert_eq!(fixture.send(&command("promote?full=true"), "{\"reason\": \"hotfix\"}").await.status, 200);
    let promoted = phase(&fixture, &id, "promoted").await;
    assert_eq!((&promoted["share"], &promoted["traffic"]["target"]), (&1.0.into(), &"promoted".into()));
    assert_eq!(fixture.send(&command("abort"), "").await.status, 409);
    assert_eq!(fixture.send(&command("undo"), "{\"reason\": \"calls\"}").await.status, 200);
    let undone = phase(&fixture, &id, "rolled_back").await;
    assert_eq!(
        (&undone["ending"]["by"], &undone["ending"]["phase"]),
        (&"anonymous".into(), &"rolled_back".into())
    );
    let weights = fixture.send("GET /v1/routes/shop/weights", "").await.json();
    assert_eq!(
        (&weights["shares"]["stable"], &weights["shares"]["canary"]),
        (&1.0.into(), &0.0.into()),
        "{weights}"
    );
    let reply = fixture.send(&command("retry"), "").await;
    let again = reply.json();
    assert_eq!((reply.status, &again["retries"], &again["attempt"]), (201, &id.as_str().into(), &2.into()));
    let rows = actions(&fixture).await;
    let told: Vec<&str> =
        rows.iter().map(String::as_str).filter(|action| action.starts_with("rollout_")).collect();
    assert_eq!(
        told,
        [
            "rollout_start",
            "rollout_pause",
            "rollout_resume",
            "rollout_promote",
            "rollout_promote_full",
            "rollout_undo",
            "rollout_retry"
        ]
    );
    assert!(rows.iter().any(|action| action == "set_stages"), "the traffic itself: {rows:?}");
}

/// What the audit says was done, the oldest first.
async fn actions(fixture: &Fixture) -> Vec<String> {
    let rows = fixture.send("GET /v1/audit?limit=100", "").await.json();
    let rows = rows["rows"].as_array().unwrap().iter().rev();
    rows.map(|row| row["action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_that_does_not_exist_is_told_with_what_may_be_meant() {
    let fixture = Fixture::start();
    let id = started(&fixture).await;
    let near = format!("{}x", &id[..id.len() - 1]);
    for (text, hint) in [
        (near.as_str(), format!("did you mean `{id}`?")),
        ("shop", format!("the newest one of route `shop` is {id}")),
        ("zzz", "`weir rollout list` and /v1/rollouts have all that are kept".to_owned()),
    ] {
        for head in [
            format!("GET /v1/rollouts/{text}"),
            format!("GET /v1/rollouts/{text}/entries"),
            format!("POST /v1/rollouts/{text}/abort"),
            format!("POST /v1/rollouts/{text}/retry"),
        ] {
            let reply = fixture.send(&head, "").await;
            assert_eq!(
                (reply.status, &reply.json()["type"]),
                (404, &"urn:weir:problem:unknown-rollout".into()),
                "{head}"
            );
            assert_eq!(reply.json()["hint"], hint.as_str(), "{head}");
        }
    }
}

#[tokio::test]
async fn a_broken_disk_stops_nobody_who_aborts() {
    let fixture = Fixture::start();
    let id = started(&fixture).await;
    fixture.store.broken.store(true, Ordering::Release);
    assert_eq!(fixture.send(&format!("POST /v1/rollouts/{id}/promote"), "").await.status, 503);
    let reply = fixture.send(&format!("POST /v1/rollouts/{id}/abort"), "{\"reason\": \"wrong build\"}").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(reply.json()["warnings"][0].as_str().unwrap().contains("not in the audit"), "{}", reply.text);
    phase(&fixture, &id, "aborted").await;
    assert_eq!(fixture.send("POST /v1/rollouts", &body("")).await.status, 503);
    fixture.store.broken.store(false, Ordering::Release);
}

#[tokio::test]
async fn a_weir_that_stops_starts_nothing_and_still_aborts() {
    let fixture = Fixture::start();
    let id = started(&fixture).await;
    fixture.view.0.store(true, Ordering::Relaxed);
    assert_eq!(fixture.send(&format!("POST /v1/rollouts/{id}/promote"), "").await.status, 503);
    assert_eq!(fixture.send(&format!("POST /v1/rollouts/{id}/abort"), "").await.status, 200);
}
