//! Screens of rollouts, character by character.

use serde_json::{Value, json};

use super::*;

const ASCII: Look = Look { colour: false, unicode: false };

fn rollout(change: impl FnOnce(&mut Value)) -> Rollout {
    let gate = |verdict: &str, words: &str| json!({"gate": "error_rate", "verdict": verdict, "test": "max", "words": words});
    let mut value = json!({
        "id": "r-7f3a2c", "routes": ["checkout"], "baseline": "stable", "canary": "canary", "version": "v1.9.0",
        "phase": "progressing", "active": true, "step": 2, "step_count": 3, "share": 0.2, "seconds_left": 259.0,
        "by": "ci@github#8812", "began_at": "2026-01-31T12:00:00.000Z", "attempt": 1, "age_seconds": 161.0,
        "traffic": {"stage": 2, "target": "step", "in_force": true, "share": 0.2},
        "dwell_seconds": 41.0, "hold_seconds": 300.0, "plan": {},
        "steps": [
            {"number": 1, "status": "passed", "what": "weight 5 %", "share": 0.05, "hold_seconds": 120.0,
             "approval": false, "took_seconds": 120.2, "gates": [gate("pass", "error_rate 0 % ≤ 1 %")]},
            {"number": 2, "status": "running", "what": "weight 20 %", "share": 0.2, "hold_seconds": 300.0,
             "approval": false, "gates": [gate("pass", "error_rate 0.2 % ≤ 1 %")]},
            {"number": 3, "status": "pending", "what": "weight 100 %", "share": 1.0, "hold_seconds": 0.0,
             "approval": false},
        ],
        "live": [{
            "route": "checkout", "decision": "go", "gates": [],
            "baseline": {"backend": "stable", "requests": 9812, "errors": 4, "error_ratio": 0.0004,
                         "p50_seconds": 0.011, "p95_seconds": 0.041, "p99_seconds": 0.088},
            "canary": {"backend": "canary", "requests": 508, "errors": 1, "error_ratio": 0.002,
                       "p50_seconds": 0.012, "p95_seconds": 0.044, "p99_seconds": 0.093},
        }],
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn rolled_back() -> Rollout {
    rollout(|value| {
        value["phase"] = "rolled_back".into();
        value["active"] = false.into();
        value["live"] = json!([]);
        value["seconds_left"] = Value::Null;
        value["ending"] = json!({
            "phase": "rolled_back", "decided_at": "2026-01-31T12:02:41.000Z", "took_seconds": 1.8, "from_share": 0.2,
            "reason": {"gate": "error_rate", "verdict": "fail", "test": "max", "step": 2,
                       "canary": {"value": 0.061, "bad": 31, "n": 508},
                       "words": "error_rate 6.1 % > 1 % (canary 31/508, stable 4/9,812)"},
        });
        value["steps"][1]["status"] = "failed".into();
        value["steps"][1]["took_seconds"] = 41.0.into();
        value["steps"][1]["gates"][0]["verdict"] = "fail".into();
        value["steps"][1]["gates"][0]["words"] = "error_rate 6.1 % > 1 %".into();
        value["steps"][2]["status"] = "skipped".into();
    })
}

#[test]
fn a_rollout_under_way_shows_its_steps_and_both_versions() {
    let view = View::PLAIN;
    assert_eq!(
        rollout(|_| {}).screen(&view).render(&view),
        "\
checkout / r-7f3a2c   ◑ progressing   stable → canary v1.9.0   by ci@github#8812
├─ 1 weight 5 %    hold 2m  ✔ passed  2m00s
├─ 2 weight 20 %   hold 5m  ◑ running  41s, 4m19s left
│      ✔ error_rate 0.2 % ≤ 1 %
└─ 3 weight 100 %           · pending
ROUTE     BACKEND  REQUESTS  FAILED  ERR%   P50   P95   P99
checkout  stable      9,812       4  0.04  11ms  41ms  88ms
          canary        508       1  0.20  12ms  44ms  93ms
"
    );
}

#[test]
fn one_that_was_rolled_back_says_why_and_what_it_cost() {
    let view = View::PLAIN;
    assert_eq!(
        rolled_back().screen(&view).render(&view),
        "\
checkout / r-7f3a2c   ✖ rolled back (automatic)   stable → canary v1.9.0   by ci@github#8812
Reason   error_rate 6.1 % > 1 % (canary 31/508, stable 4/9,812)   step 2
Effect   canary 20 % → 0 % in 1.8s; 31 requests failed
├─ 1 weight 5 %    hold 2m  ✔ passed  2m00s
├─ 2 weight 20 %   hold 5m  ✖ failed  41s
│      ✖ error_rate 6.1 % > 1 %
└─ 3 weight 100 %           – skipped
"
    );
}

#[test]
fn a_terminal_without_unicode_is_told_the_same() {
    let view = View { look: ASCII, ..View::PLAIN };
    let text = rollout(|value| value["live"] = json!([])).screen(&view).render(&view);
    assert!(text.is_ascii(), "{text}");
    assert_eq!(
        text,
        "\
checkout / r-7f3a2c   * progressing   stable -> canary v1.9.0   by ci@github#8812
|- 1 weight 5 %    hold 2m  ok passed  2m00s
|- 2 weight 20 %   hold 5m  * running  41s, 4m19s left
|      ok error_rate 0.2 % <= 1 %
`- 3 weight 100 %           . pending
"
    );
}

#[test]
fn who_waits_for_what_is_said() {
    let awaiting = rollout(|value| {
        value["phase"] = "awaiting_approval".into();
        value["live"] = json!([]);
        value["approval"] = json!({"roles": ["admin"], "waited_seconds": 60.0, "seconds_left": 82_800.0, "on_timeout": "abort"});
    });
    let view = View::PLAIN;
    let text = awaiting.screen(&view).render(&view);
    assert!(text.starts_with("checkout / r-7f3a2c   ? waits for approval   "), "{text}");
    assert!(
        text.contains("Approval by admin, 23h00m left, then abort: `weir rollout approve r-7f3a2c`\n"),
        "{text}"
    );
    let paused = rollout(|value| {
        value["phase"] = "paused".into();
        let reason = json!({"gate": "pause", "verdict": "held", "test": "pause", "words": "ada paused it"});
        value["paused"] = json!({"reason": reason, "by": "ada", "withdrawn": true});
    });
    let text = paused.screen(&view).render(&view);
    assert!(text.contains("Paused   ada paused it; the canary gets nothing meanwhile\n"), "{text}");
}

#[test]
fn a_list_has_a_line_for_each() {
    let under_way = rollout(|_| {}).summary;
    assert_eq!(progress(&under_way), "rollout r-7f3a2c is progressing, step 2 of 3, 20 % to the canary");
    let view = View::PLAIN;
    let listed = Rollouts { rollouts: vec![under_way], problems: vec!["v3 was not rolled out".to_owned()] };
    assert_eq!(
        listed.screen(&view).render(&view),
        "\
ID        ROUTES    VERSION  PHASE          STEP  SHARE  BEGAN                BY              REASON
r-7f3a2c  checkout  v1.9.0   ◑ progressing   2/3   20 %  2026-01-31 12:00:00  ci@github#8812
problem: v3 was not rolled out
"
    );
}

#[test]
fn a_table_of_routes_has_it_in_short() {
    let short = |phase, seconds_left| {
        let of = crate::admin::api::types::rollout::RouteRollout {
            id: "r-7f3a2c".to_owned(),
            canary: Name::new("canary").unwrap(),
            phase,
            step: 1,
            step_count: 5,
            seconds_left,
        };
        short(&of, Look::PLAIN)
    };
    assert_eq!(short(Phase::Progressing, Some(134.0)), "◑ r-7f3a2c 1/5, 2m14s left");
    assert_eq!(short(Phase::AwaitingApproval, None), "? r-7f3a2c 1/5, waits for approval");
    assert_eq!(span(0.3), "300ms");
}
