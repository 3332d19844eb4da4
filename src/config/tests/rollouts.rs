//! Plans: what is asked for most by name, presets, limits in their units, and plans that come alone.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::{Code, parse_plan, plan_to_json, rollout_presets},
    HEAD, config,
};
use crate::config::model::{
    Config,
    rollout::{
        Approval, Check, HookKind, Metric, OnTimeout, Regression, RegressionOf, RolloutPlan, Sink, Step,
        Threshold,
    },
};
use crate::types::{Fraction, Name, Role};

/// A file with a route, segments and notifications.
fn file() -> Config {
    config(&format!(
        "{HEAD}segments: {{ internal: {{ client_ip: 10.0.0.0/8 }}, beta: {{ fraction: 5% }} }}
notifications: {{ slack: {{ slack: {{ url_file: /url }}, on: [rolled_back] }} }}
routes:
  - name: shop
    split: {{ backends: {{ stable: 100, canary: 0 }} }}
    rollout: {{ baseline: stable, canary: canary, preset: standard, group: storefront }}
"
    ))
}

fn plan(text: &str) -> RolloutPlan {
    let file = file();
    let text = format!("baseline: stable\ncanary: canary\n{text}");
    let (plan, _) =
        parse_plan(&text, &file.routes[0], &file).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let json = plan_to_json(&plan);
    let (again, _) =
        parse_plan(&json.to_string(), &file.routes[0], &file).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(again, plan, "{json}");
    plan
}

fn wrong(text: &str) -> String {
    let file = file();
    parse_plan(text, &file.routes[0], &file).map(|(plan, _)| plan).unwrap_err().to_string()
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

fn percent(n: u32) -> Fraction {
    Fraction::from_percent(n.into()).unwrap()
}

/// Weights in percent and how long they are held, in minutes.
fn ladder(plan: &RolloutPlan) -> Vec<(u32, u64)> {
    let steps = plan.steps.iter();
    steps
        .map(|step| (step.weight.unwrap().buckets() / 1000, (step.hold + step.bake).as_secs() / 60))
        .collect()
}

fn threshold(plan: &RolloutPlan, at: usize) -> &Threshold {
    match &plan.analysis.gates[at].check {
        Check::Threshold(threshold) => threshold,
        other => panic!("{other:?}"),
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

// === what is asked for by name ===

#[test]
fn five_twenty_fifty() {
    let steps = "steps: [ { weight: 5, hold: 5m }, { weight: 20, hold: 10m }, { weight: 50, hold: 15m }, { weight: 100 } ]";
    assert_eq!(ladder(&plan(steps)), [(5, 5), (20, 10), (50, 15), (100, 0)]);
    assert_eq!(plan(steps).steps, plan("preset: standard").steps);
}

#[test]
fn five_twenty_five_fifty() {
    let steps = "steps: [ { weight: 5%, hold: 30m }, { weight: 25%, hold: 1h }, { weight: 50%, hold: 2h }, { weight: 100% } ]";
    assert_eq!(ladder(&plan(steps)), [(5, 30), (25, 60), (50, 120), (100, 0)]);
    assert_eq!(plan(steps).steps, plan("preset: conservative").steps);
}

#[test]
fn errors_above_one_percent_and_p99_above_half_a_second() {
    let plan = plan(
        "preset: fast\nanalysis: { gates: [ { metric: error_rate, max: 1% }, { metric: latency_p99, max: 500ms } ] }",
    );
    let (errors, latency) = (threshold(&plan, 0), threshold(&plan, 1));
    assert_eq!((errors.metric, errors.max), (Metric::ErrorRate, Some(0.01)));
    assert_eq!((latency.metric, latency.max), (Metric::Latency(0.99), Some(0.5)));
    let names: Vec<&str> = plan.analysis.gates.iter().map(|gate| gate.name.as_str()).collect();
    assert_eq!(names, ["error_rate", "latency_p99"]);
}

#[test]
fn errors_twice_and_p99_half_more_than_those_of_stable() {
    let plan = plan(
        "preset: fast\nanalysis: { gates: [ { metric: error_rate, max_ratio: 2x }, { metric: latency_p99, max_ratio: 1.5 } ] }",
    );
    assert_eq!(threshold(&plan, 0).max_ratio, Some(2.0));
    assert_eq!(threshold(&plan, 1).max_ratio, Some(1.5));
}

#[test]
fn p99_of_two_seconds_and_availability_of_three_nines() {
    let plan = plan(
        "preset: fast\nanalysis: { gates: [ { metric: latency_p99, max: 2000ms }, { metric: availability, min: 99.9% } ] }",
    );
    assert_eq!(threshold(&plan, 0).max, Some(2.0));
    assert_eq!((threshold(&plan, 1).metric, threshold(&plan, 1).min), (Metric::Availability, Some(0.999)));
}

#[test]
fn internal_then_beta_then_all() {
    let plan = plan(
        "steps: [ { segment: internal, hold: 10m }, { segment: [internal, beta], hold: 1h }, { weight: 100 } ]",
    );
    assert_eq!(
        plan.steps[0],
        Step { segments: vec![name("internal")], hold: minutes(10), ..Step::default() }
    );
    assert_eq!(plan.steps[1].segments, [name("internal"), name("beta")]);
    assert_eq!(plan.steps[2].weight, Some(percent(100)));
}

#[test]
fn us_east_first() {
    let plan =
        plan("steps: [ { region: us-east, weight: 5, hold: 5m }, { weight: 5, hold: 5m }, { weight: 100 } ]");
    assert_eq!(
        (plan.steps[0].regions.as_slice(), plan.steps[0].weight),
        (&[name("us-east")][..], Some(percent(5)))
    );
}

#[test]
fn approval_by_a_person() {
    let default =
        Approval { roles: vec![Role::Operator], timeout: minutes(24 * 60), on_timeout: OnTimeout::Abort };
    let plan = plan(
        "steps: [ { weight: 5, approval: true }, { approval: { roles: [admin], timeout: 0s, on_timeout: pause } }, { weight: 100 } ]",
    );
    assert_eq!(plan.steps[0].approval, Some(default));
    let strict = Approval { roles: vec![Role::Admin], timeout: Duration::ZERO, on_timeout: OnTimeout::Pause };
    assert_eq!(plan.steps[1], Step { approval: Some(strict), ..Step::default() });
}

#[test]
fn blue_green_with_checks_at_nothing() {
    let own = plan(
        "steps: [ { weight: 0, hold: 1m }, { weight: 100, bake: 30m } ]
hooks: [ { type: pre_rollout, url: 'http://tests/smoke', timeout: 3m }, { type: confirm_promotion, url: 'http://tests/ok' }, { type: confirm_promotion, url: 'http://tests/two' } ]
keep_baseline: 12h",
    );
    assert_eq!(own.steps[0].weight, Some(Fraction::NONE));
    assert_eq!((own.steps[1].bake, own.keep_baseline), (minutes(30), minutes(12 * 60)));
    let hooks: Vec<_> = own.hooks.iter().map(|hook| (hook.kind, hook.name.as_str())).collect();
    assert_eq!(
        hooks,
        [
            (HookKind::PreRollout, "pre_rollout"),
            (HookKind::ConfirmPromotion, "confirm_promotion"),
            (HookKind::ConfirmPromotion, "confirm_promotion-2"),
        ]
    );
    let preset = plan("preset: blue-green");
    assert_eq!(ladder(&preset), [(0, 5), (100, 30)]);
    assert_eq!(preset.steps[0].mirror, Some(percent(10)));
}

// === presets ===

#[test]
fn presets_are_whole_and_raise_no_warning() {
    let file = file();
    for preset in rollout_presets::NAMES {
        let text = format!("{{ preset: {preset}, baseline: stable, canary: canary }}");
        let (plan, warnings) = parse_plan(&text, &file.routes[0], &file).unwrap();
        assert!(warnings.is_empty(), "{warnings}");
        assert_eq!(plan.analysis.gates, rollout_presets::gates());
        assert_eq!(plan.steps.last().and_then(|step| step.weight), Some(Fraction::ALL), "{preset}");
        assert_eq!(plan.deadline, if *preset == "ab-hold" { Duration::ZERO } else { minutes(24 * 60) });
    }
    assert_eq!(ladder(&plan("preset: fast")), [(5, 1), (50, 2), (100, 0)]);
    let linear = ladder(&plan("preset: linear-10"));
    assert_eq!((linear[0], linear[8], linear.len()), ((10, 1), (90, 1), 10));
}

#[test]
fn a_plan_goes_before_its_preset_key_by_key() {
    let own = plan(
        "preset: conservative\nsteps: [ { weight: 1, hold: 1m }, { weight: 100 } ]\nanalysis: { interval: 10s }",
    );
    assert_eq!(ladder(&own), [(1, 1), (100, 0)]);
    assert_eq!((own.analysis.interval, own.analysis.gates.len()), (Duration::from_secs(10), 4));
    let blind = plan("preset: standard\nanalysis: { gates: [] }\ndeadline: 6h");
    assert_eq!((blind.analysis.gates.len(), blind.deadline), (0, minutes(360)));
    let own = plan("preset: standard\nanalysis: { gates: [ { consecutive_failures: 5 } ] }");
    assert_eq!(own.analysis.gates[0].check, Check::ConsecutiveFailures(5));
}

#[test]
fn the_canonical_form_has_no_preset() {
    let json = file().to_json();
    let rollout = &json["routes"][0]["rollout"];
    assert_eq!(rollout["preset"], Value::Null);
    assert_eq!(rollout["steps"][1], json!({ "weight": "20%", "hold": "10m", "bake": "0s" }));
    assert_eq!(
        rollout["analysis"]["gates"][0],
        json!({ "name": "error_rate", "dry_run": false, "metric": "error_rate", "max": "5%", "hard_max": "50%" })
    );
    assert_eq!(
        json["notifications"]["slack"],
        json!({ "on": ["rolled_back"], "slack": { "url_file": "/url" } })
    );
}

// === gates ===

#[test]
fn limits_keep_their_units() {
    for (gate, expected) in [
        ("metric: error_rate, max: 0.125%", "0.125%"),
        ("metric: error_rate, max: 100%", "100%"),
        ("metric: latency_p50, max: 1500ms", "1500ms"),
        ("metric: latency_p99.9, max: 120s", "2m"),
        ("metric: request_rate, max: 7/m", "7/m"),
        ("metric: request_rate, max: 60/m", "1/s"),
        ("metric: request_rate, max: 1000000/s", "1000000/s"),
        ("metric: request_rate, max: 14/h", "14/h"),
        ("metric: request_rate, max: 1/d", "1/d"),
    ] {
        let plan = plan(&format!("preset: fast\nanalysis: {{ gates: [ {{ {gate} }} ] }}"));
        assert_eq!(plan_to_json(&plan)["analysis"]["gates"][0]["max"], expected, "{gate}");
    }
}

#[test]
fn tolerances_are_what_is_said() {
    let regression = |of, ratio, difference, alpha| Regression { of, ratio, difference, alpha };
    for (gate, expected) in [
        ("regression: error_rate", regression(RegressionOf::ErrorRate, 1.25, 0.0, None)),
        ("regression: latency", regression(RegressionOf::Distribution, 1.2, 0.0, None)),
        ("regression: error_rate, tolerance: 0.1%", regression(RegressionOf::ErrorRate, 1.0, 0.001, None)),
        ("regression: error_rate, tolerance: 1.5x", regression(RegressionOf::ErrorRate, 1.5, 0.0, None)),
        (
            "regression: error_rate, tolerance: [0.1%, 1.25x], alpha: 0.5%",
            regression(RegressionOf::ErrorRate, 1.25, 0.001, Some(0.005)),
        ),
        (
            "regression: latency, quantile: 0.99, tolerance: 1.2x",
            regression(RegressionOf::Quantile(0.99), 1.2, 0.0, None),
        ),
    ] {
        let plan = plan(&format!("preset: fast\nanalysis: {{ gates: [ {{ {gate} }} ] }}"));
        assert_eq!(plan.analysis.gates[0].check, Check::Regression(expected), "{gate}");
    }
}

#[test]
fn gates_without_a_name_have_one_each() {
    let plan = plan(
        "preset: fast
analysis:
  prometheus: http://prometheus:9090
  gates:
    - { prometheus: up, min: 1 }
    - { prometheus: down, max: 0.5, server: 'http://other:9090' }
    - { regression: latency }
    - { regression: latency, quantile: 0.999 }
    - { webhook: 'http://checks/kpi', dry_run: true }
    - { metric: latency_p999, name: tail, max: 1s }",
    );
    let names: Vec<&str> = plan.analysis.gates.iter().map(|gate| gate.name.as_str()).collect();
    assert_eq!(
        names,
        ["prometheus", "prometheus-2", "latency_regression", "latency_p99.9_regression", "webhook", "tail"]
    );
    assert!(plan.analysis.gates[4].dry_run);
}

// === plans that come alone ===

#[test]
fn a_plan_alone_has_the_messages_of_the_file() {
    for (text, expected) in [
        ("", "rollout:1:1: error[E0009]: the file holds nothing"),
        (
            "[]",
            "rollout:1:1: error[E0020]: expected a map, such as `{ baseline: …, canary: … }`, found a list",
        ),
        (
            "{ \"baseline\": \"stable\", \"canary\": \"canary\" }",
            "rollout:1:1: error[E0172]: the rollout has neither `steps` nor a `preset`",
        ),
        (
            "{ baseline: stable, canary: canry, preset: fast }",
            "rollout:1:29: error[E0101]: there is no backend `canry` (did you mean `canary`?)",
        ),
        (
            "{ baseline: stable, canary: stable, preset: fast }",
            "rollout:1:29: error[E0171]: `stable` is both baseline and canary",
        ),
        (
            "{ baseline: stable, canary: canary, steps: [ { segment: intern, hold: 5m }, { weight: 100 } ] }",
            "rollout:1:57: error[E0102]: there is no segment `intern` (did you mean `internal`?)",
        ),
        (
            "{ baseline: stable, canary: canary, preset: fast, notify: [slak] }",
            "rollout:1:60: error[E0170]: there is no notification `slak` (did you mean `slack`?)",
        ),
        (
            "{ baseline: stable, canary: canary, step: [ { weight: 100 } ] }",
            "rollout:1:37: error[E0031]: unknown key `step`; did you mean `steps`?",
        ),
    ] {
        let message = wrong(text);
        assert!(message.starts_with(expected) && message.lines().count() == 1, "{text}\n{message}");
    }
}

#[test]
fn a_plan_alone_is_held_against_the_other_routes_of_its_group() {
    let mut file = file();
    let mut other = file.routes[0].clone();
    other.name = name("basket");
    file.routes.push(other);
    let of =
        |preset: &str| format!("{{ baseline: stable, canary: canary, preset: {preset}, group: storefront }}");
    let codes = |preset: &str| match parse_plan(&of(preset), &file.routes[0], &file) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|error| error.code).collect(),
    };
    assert_eq!(codes("standard"), []);
    assert_eq!(codes("fast"), [Code::RolloutGroup]);
}

#[test]
fn warnings_come_with_a_plan_alone() {
    let file = file();
    let text = "{ baseline: stable, canary: canary, steps: [ { weight: 20, hold: 1m } ] }";
    let (_, warnings) = parse_plan(text, &file.routes[0], &file).unwrap();
    let codes: Vec<Code> = warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [Code::NoGates, Code::FirstStep, Code::EndsShort]);
}

#[test]
fn notifications_are_read() {
    let file = config(&format!(
        "{HEAD}notifications:
  hook: {{ webhook: {{ url: 'https://a/b', headers: {{ B: /b, A: /a }}, secret_file: /key }} }}
  issues: {{ on: rolled_back, github: {{ repository: example/shop, token_file: /token, labels: [a, b] }} }}
routes:
  - name: shop
    split: {{ backends: {{ stable: 100, canary: 0 }} }}
    rollout: {{ baseline: stable, canary: canary, preset: standard, notify: [hook, issues] }}
"
    ));
    assert_eq!(
        file.notifications["hook"].sink,
        Sink::Webhook {
            url: "https://a/b".to_owned(),
            headers: vec![("A".to_owned(), "/a".into()), ("B".to_owned(), "/b".into())],
            secret_file: Some("/key".into()),
        }
    );
    let Sink::Github { api, .. } = &file.notifications["issues"].sink else { panic!("an issue") };
    assert_eq!(api, "https://api.github.com");
    assert_eq!(config(&file.to_yaml()), file);
}
