//! Hooks over real sockets.

use std::{path::PathBuf, time::Duration};

use serde_json::json;

use super::*;
use crate::{
    config::model::rollout::Hook,
    rollout::{
        fixtures::{plan, rollout, weight},
        machine::Ending,
        outside::stub::{Answer, Stub},
        reason::Verdict,
    },
};

/// 2025-12-01T00:00:00Z.
const NOW_MS: u64 = 1_764_547_200_000;

fn hook(url: String, kind: HookKind, payload: Payload) -> Hook {
    Hook {
        name: "smoke".to_owned(),
        kind,
        url,
        timeout: Duration::from_secs(20),
        retries: 2,
        every: Duration::from_secs(10),
        payload,
        headers: Vec::new(),
        secret_file: None,
        metadata: vec![("cmd".to_owned(), "hey -z 1m".to_owned())],
    }
}

fn of(hook: Hook) -> HookCall {
    let mut plan = plan(vec![weight(5.0, 60), weight(20.0, 60), weight(100.0, 60)], Vec::new());
    plan.hooks = vec![hook];
    let mut rollout = rollout(plan);
    rollout.step = 1;
    rollout.phase = Phase::Progressing;
    rollout.began_ms = NOW_MS;
    HookCall::of(&rollout, 0, 1, 1).unwrap()
}

#[tokio::test]
async fn a_hook_gets_everything_and_a_signature() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let stub = Stub::answering(202, "started\n").await;
    let mut hook = hook(stub.url("/smoke?env=live"), HookKind::PreRollout, Payload::Weir);
    hook.headers = vec![("Authorization".to_owned(), file("token", "Bearer t0ken\n"))];
    hook.secret_file = Some(file("key", "s3cret\n"));
    let answer = call(&Client::new(), &of(hook), NOW_MS).await;
    assert_eq!(answer, HookAnswer::Yes("202: started".to_owned()));
    let asked = &stub.asked()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/smoke?env=live"));
    let expected_host = stub.address.to_string();
    for (name, value) in [
        ("host", expected_host.as_str()),
        ("content-type", "application/json"),
        ("authorization", "Bearer t0ken"),
        ("x-weir-delivery", "r-1/smoke/2/1"),
        ("user-agent", concat!("weir/", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"s3cret");
    let signed = [b"1764547200.", &asked.body[..]].concat();
    let proof = secret::hex(aws_lc_rs::hmac::sign(&key, &signed).as_ref());
    assert_eq!(asked.header("x-weir-signature"), format!("t=1764547200,v1={proof}"));
    assert_eq!(
        asked.json(),
        json!({
            "delivery": "r-1/smoke/2/1",
            "hook": { "name": "smoke", "type": "pre_rollout", "call": 1 },
            "rollout": {
                "id": "r-1",
                "attempt": 1,
                "routes": ["shop"],
                "baseline": "stable",
                "canary": "canary",
                "version": "v2",
                "phase": "progressing",
                "step": { "number": 2, "of": 3, "share": 0.2 },
                "by": "ada",
                "why": null,
                "began_at": "2025-12-01T00:00:00.000Z",
                "ended_at": null,
            },
            "reason": null,
            "metadata": { "cmd": "hey -z 1m" },
        })
    );
}

#[tokio::test]
async fn a_status_is_an_answer_and_nothing_else_is() {
    let long = "x".repeat(100_000);
    let cases: [(u16, &str, HookAnswer); 6] = [
        (200, "", HookAnswer::Yes("200".to_owned())),
        (204, "", HookAnswer::Yes("204".to_owned())),
        (299, &long, HookAnswer::Yes(format!("299: {}", &long[..200]))),
        (403, "Forbidden", HookAnswer::No("403: Forbidden".to_owned())),
        (500, "", HookAnswer::No("500".to_owned())),
        (302, "", HookAnswer::No("302, a redirect, which is not followed".to_owned())),
    ];
    for (status, body, expected) in cases {
        let stub = Stub::answering(status, body).await;
        let call = of(hook(stub.url("/"), HookKind::ConfirmStep, Payload::Weir));
        assert_eq!(super::call(&Client::new(), &call, NOW_MS).await, expected, "{status}");
        assert_eq!(stub.asked().len(), 1);
    }
}

#[tokio::test]
async fn no_answer_is_a_failure_that_says_why() {
    let closed = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let failed = |url: String, change: fn(&mut Hook)| async move {
        let mut hook = hook(url, HookKind::PreRollout, Payload::Weir);
        change(&mut hook);
        match call(&Client::new(), &of(hook), NOW_MS).await {
            HookAnswer::Failed(why) => why,
            other => panic!("{other:?}"),
        }
    };
    let why = failed(format!("http://{closed}/secret-path"), |_| {}).await;
    assert!(why.starts_with(&format!("cannot connect to {closed}: ")), "{why}");
    let why = failed("ftp://checks/".to_owned(), |_| {}).await;
    assert_eq!(why, "not an address that can be called: it begins with http:// or https://");
    let why =
        failed(format!("http://{closed}/"), |hook| hook.secret_file = Some("/nowhere/key".into())).await;
    assert!(why.starts_with("cannot read /nowhere/key: "), "{why}");
    let hangs = Stub::start(|_| Answer::Never).await;
    let why = failed(hangs.url("/"), |hook| hook.timeout = Duration::from_millis(50)).await;
    assert!(why.contains("within 50ms"), "{why}");
}

#[tokio::test]
async fn a_load_tester_of_flagger_understands_the_call() {
    let stub = Stub::answering(202, "").await;
    let mut declared = hook(stub.url("/"), HookKind::Rollout, Payload::Flagger);
    declared.metadata.push(("namespace".to_owned(), "test".to_owned()));
    call(&Client::new(), &of(declared), NOW_MS).await;
    let mut event = of(hook(stub.url("/"), HookKind::Event, Payload::Flagger));
    let reason = Reason::plain("error_rate", Verdict::Fail, "error_rate 6.1 % > 1 %");
    event.rollout.phase = Phase::RolledBack;
    event.rollout.ending = Some(Ending { phase: Phase::RolledBack, reason, by: None, decided_ms: NOW_MS });
    call(&Client::new(), &event, NOW_MS).await;
    let checksum = checksum(&event.rollout);
    assert_eq!(checksum.len(), 10);
    let asked = stub.asked();
    assert_eq!(
        asked[0].json(),
        json!({
            "name": "shop",
            "namespace": "test",
            "phase": "Progressing",
            "checksum": checksum,
            "metadata": { "cmd": "hey -z 1m", "namespace": "test" },
        })
    );
    assert_eq!(
        asked[1].json(),
        json!({
            "name": "shop",
            "namespace": "default",
            "phase": "Failed",
            "checksum": checksum,
            "metadata": {
                "cmd": "hey -z 1m",
                "eventMessage": "r-1: rolled back, step 2 of 3: error_rate 6.1 % > 1 %",
                "eventType": "Warning",
                "timestamp": "1764547200000",
            },
        })
    );
}

#[test]
fn phases_have_the_words_of_flagger() {
    let mut rollout = of(hook("http://checks/".to_owned(), HookKind::Event, Payload::Flagger)).rollout;
    for (kind, phase, step, expected) in [
        (HookKind::ConfirmRollout, Phase::Waiting, 0, "Waiting"),
        (HookKind::PreRollout, Phase::Waiting, 0, "Progressing"),
        (HookKind::ConfirmPromotion, Phase::AwaitingApproval, 1, "Progressing"),
        (HookKind::Rollback, Phase::AwaitingApproval, 0, "Waiting"),
        (HookKind::Rollback, Phase::AwaitingApproval, 1, "WaitingPromotion"),
        (HookKind::Event, Phase::Paused, 1, "Progressing"),
        (HookKind::Event, Phase::Baking, 2, "Promoting"),
        (HookKind::PostRollout, Phase::Promoted, 2, "Succeeded"),
        (HookKind::PostRollout, Phase::RolledBack, 1, "Failed"),
        (HookKind::PostRollout, Phase::Aborted, 1, "Failed"),
    ] {
        (rollout.phase, rollout.step) = (phase, step);
        assert_eq!(flagger_phase(kind, &rollout), expected, "{kind:?} {phase:?}");
    }
}
