//! The steps of an assignment, stickiness over time, and that explaining tells the same.

use std::sync::Arc;

use proptest::{prelude::*, sample::select};
use serde_json::json;

use super::*;
use crate::{
    routing::{NamedMatcher, PathMatcher, ValueMatcher},
    types::{Fraction, Reason},
};

/// 64 bits that draw this number.
fn drawing(number: u32) -> u64 {
    u64::try_from(((u128::from(number) << 64) / 100_000) + 1).unwrap()
}

fn header(name: &str, value: &str) -> Condition {
    Condition::Header(NamedMatcher::new(name, ValueMatcher::exact(value)))
}

fn rule(text: &str, condition: Condition, target: RuleTarget) -> PlanRule {
    PlanRule { name: name(text), condition, target }
}

fn to(backend: &str) -> RuleTarget {
    RuleTarget::Backend(name(backend))
}

#[test]
fn the_order_is_kill_switch_rules_split() {
    let mut parts = parts(&[100, 0]);
    parts.rules = vec![
        rule("qa", header("x-canary", "always"), to("v1")),
        rule("second", header("x-canary", "always"), to("v0")),
        rule("elsewhere", Condition::Path(PathMatcher::prefix("/maintenance").unwrap()), to("page")),
    ];
    let plan = plan(parts.clone());
    let mut client = Client::new().with("x-canary", "always").with("x-user", "42");
    let found = client.visit(&plan, 0);
    assert_eq!((found.backend, found.reason, found.rule, found.bucket), (1, Reason::Rule, Some(0), None));
    let found = Client::new().with("x-user", "42").visit(&plan, 0);
    assert_eq!((found.backend, found.reason, found.rule), (0, Reason::Identity, None));
    assert_eq!(found.bucket.unwrap().number(), 63_352);
    client.headers.clear();
    client.path = "/maintenance/x";
    let found = client.visit(&plan, 0);
    assert_eq!((found.backend, plan.backends()[2].name.as_str()), (2, "page"));
    assert_eq!((plan.split_len(), found.set_cookie), (2, None));

    parts.kill_switch = Some(name("v0"));
    let killed = super::plan(parts);
    let found = Client::new().with("x-canary", "always").visit(&killed, 0);
    assert_eq!((found.backend, found.reason, found.set_cookie), (0, Reason::KillSwitch, None));
    assert_eq!(killed.fallback(0, |_| true), None);
}

#[test]
fn a_browser_is_known_by_its_cookie() {
    let shop = plan(parts(&[50, 50]));
    let mut client = Client::new();
    let first = client.visit(&shop, drawing(4_711));
    assert_eq!((first.reason, first.new_bucket), (Reason::Draw, true));
    let again = client.visit(&shop, drawing(99_000));
    assert_eq!((again.reason, again.new_bucket, again.set_cookie), (Reason::Cookie, false, None));
    assert_eq!((again.backend, again.bucket), (first.backend, first.bucket));
    // Another route shares the cookie without replacing it, by a bucket of its own.
    let other = plan(PlanParts { salt: "other".to_owned(), ..parts(&[50, 50]) });
    let elsewhere = client.visit(&other, 0);
    assert_eq!((elsewhere.reason, elsewhere.set_cookie), (Reason::Cookie, None));
    assert_ne!(elsewhere.bucket, first.bucket);
    // Half the time has passed: the same number with a new date. Then a new key. Then too late.
    client.now += 16 * DAY;
    let renewed = client.visit(&shop, 0);
    assert_eq!((renewed.bucket, renewed.new_bucket), (first.bucket, false));
    assert_eq!(renewed.set_cookie.unwrap().issued_day, 20_016);
    client.keyring = Keyring::new([8; 16], Some([7; 16]));
    assert!(client.visit(&shop, 0).set_cookie.is_some());
    assert_eq!(client.visit(&shop, 0).set_cookie, None);
    client.now += 31 * DAY;
    assert_eq!(client.visit(&shop, 0).reason, Reason::Draw);
    // Of several cookies the first that verifies counts.
    client.jar.insert(0, ("weir".to_owned(), "1.0.20047.0000.ff".to_owned()));
    assert_eq!(client.visit(&shop, drawing(1)).reason, Reason::Cookie);
}

#[test]
fn without_a_cookie_the_address_counts_and_an_empty_identity_is_none() {
    let plan = plan(PlanParts { cookie: None, ..parts(&[50, 50]) });
    let found = Client::new().with("x-user", "").visit(&plan, 0);
    assert_eq!((found.reason, found.set_cookie), (Reason::ClientIp, None));
    assert_eq!(found.bucket, Client::new().visit(&plan, u64::MAX).bucket);
}

#[test]
fn nobody_is_recognised_in_mode_none() {
    let plan = plan(PlanParts { mode: StickyMode::None, ..parts(&[50, 50]) });
    let mut client = Client::new().with("x-user", "42");
    for (number, backend) in [(0, 1), (49_999, 1), (50_000, 0), (99_999, 0)] {
        let found = client.visit(&plan, drawing(number));
        assert_eq!((found.backend, found.reason, found.set_cookie), (backend, Reason::Draw, None));
    }
}

#[test]
fn a_bucket_is_kept_by_what_the_user_is_known_by() {
    let none = plan(PlanParts { mode: StickyMode::None, ..parts(&[50, 50]) });
    let address = plan(PlanParts { cookie: None, ..parts(&[50, 50]) });
    let mut keyless = parts(&[50, 50]);
    keyless.rules = vec![
        rule(
            "half",
            header("x-half", "1"),
            RuleTarget::Split(vec![(name("v0"), Weight::of(1)), (name("v1"), Weight::of(1))]),
        ),
        rule("qa", header("x-qa", "1"), to("v1")),
    ];
    let ruled = plan(keyless);
    let shop = plan(parts(&[50, 50]));
    for (plan, field, reason, keeps) in [
        (&none, ("x-user", "42"), Reason::Draw, false),
        (&address, ("x-other", "1"), Reason::ClientIp, true),
        (&shop, ("x-user", "42"), Reason::Identity, true),
        (&shop, ("x-other", "1"), Reason::Draw, true),
        (&ruled, ("x-half", "1"), Reason::Rule, true),
        (&ruled, ("x-qa", "1"), Reason::Rule, false),
    ] {
        let found = Client::new().with(field.0, field.1).visit(plan, 7);
        assert_eq!((found.reason, found.keeps_bucket), (reason, keeps), "{field:?}");
    }
    let mut client = Client::new();
    let first = client.visit(&shop, 9);
    let again = client.visit(&shop, 10);
    assert_eq!((again.reason, again.keeps_bucket, again.bucket), (Reason::Cookie, true, first.bucket));
}

#[test]
fn a_pin_holds_until_off_or_epoch() {
    let pin = |weights: &[u32], state, epoch| {
        let mut parts = PlanParts { mode: StickyMode::Pin, epoch, ..parts(weights) };
        parts.backends[1].state = state;
        plan(parts)
    };
    let mut client = Client::new().with("x-user", "42");
    let first = client.visit(&pin(&[0, 100], BackendState::Active, 0), 0);
    assert_eq!((first.backend, first.reason, first.new_bucket), (1, Reason::Identity, true));
    for (plan, backend, reason) in [
        (pin(&[100, 0], BackendState::Active, 0), 1, Reason::Pin),
        (pin(&[50, 50], BackendState::Drain, 0), 1, Reason::Pin),
    ] {
        let found = client.visit(&plan, 0);
        assert_eq!((found.backend, found.reason, found.set_cookie), (backend, reason, None));
    }
    let (mut off, mut raised) = (Client::new(), Client::new());
    off.jar = client.jar.clone();
    raised.jar = client.jar.clone();
    let found = off.visit(&pin(&[50, 50], BackendState::Off, 0), 0);
    assert_eq!((found.backend, found.reason), (0, Reason::Cookie));
    let found = raised.visit(&pin(&[100, 0], BackendState::Active, 1), 0);
    assert_eq!((found.backend, found.reason, found.new_bucket), (0, Reason::Cookie, false));
    assert_eq!(raised.visit(&pin(&[0, 100], BackendState::Active, 1), 0).reason, Reason::Pin);
    // Drained: no new users. An old pin ages out, used or not.
    let drained = Client::new().visit(&pin(&[1, 99], BackendState::Drain, 0), 0);
    assert_eq!(drained.backend, 0);
    client.now += 31 * DAY;
    assert_eq!(client.visit(&pin(&[100, 0], BackendState::Active, 0), 0).backend, 0);
}

#[test]
fn rules_pass_by_backends_that_are_off() {
    let mut parts = parts(&[50, 50]);
    parts.backends[1].state = BackendState::Off;
    let all = || Condition::All([].into());
    parts.rules = vec![
        rule("never", Condition::Any([].into()), to("v0")),
        rule("off", all(), to("v1")),
        rule("off-split", all(), RuleTarget::Split(vec![(name("v1"), Weight::of(1))])),
        rule("last", all(), to("v0")),
    ];
    let found = Client::new().visit(&plan(parts), 0);
    assert_eq!((found.backend, found.rule), (0, Some(3)));
}

#[test]
fn a_rule_that_draws_sets_the_cookie() {
    let share = Fraction::from_percent(50.0).unwrap();
    let fraction = || Condition::Fraction { share, salt: Arc::new(Salt::new("beta")) };
    let mut base = parts(&[100, 0]);
    base.rules = vec![rule("beta", fraction(), to("v1"))];
    let plan = plan(base);
    let mut in_beta = 0;
    for number in 0..100 {
        let mut client = Client::new();
        let first = client.visit(&plan, drawing(number * 1000));
        assert!(first.set_cookie.is_some() && first.new_bucket);
        let again = client.visit(&plan, drawing(99_999 - number * 1000));
        assert_eq!((again.backend, again.rule, again.set_cookie), (first.backend, first.rule, None));
        in_beta += first.backend;
    }
    assert!((30..70).contains(&in_beta), "{in_beta}");
}

#[test]
fn a_regional_split_has_the_same_canary_users() {
    let mut parts = parts(&[95, 5]);
    // In another order than the split's: the layout is the split's all the same.
    let weights = vec![(name("v1"), Weight::of(25)), (name("v0"), Weight::of(75))];
    parts.rules = vec![rule("us", Condition::Region([name("us-east")].into()), RuleTarget::Split(weights))];
    let plan = plan(parts);
    for user in 0..1000 {
        let mut client = Client::new().with("x-user", &user.to_string());
        let elsewhere = client.visit(&plan, 0);
        client.listener = Some(name("us-east"));
        let there = client.visit(&plan, 0);
        assert_eq!(there.reason, Reason::Rule);
        assert_eq!(there.bucket, elsewhere.bucket);
        assert!(there.backend >= elsewhere.backend);
    }
}

#[test]
fn an_explanation_tells_every_step() {
    let mut parts = parts(&[95, 5]);
    let segment = Segment { name: name("beta"), condition: header("x-groups", "beta") };
    parts.rules = vec![
        rule("beta", Condition::Segment(Arc::new(segment)), to("v1")),
        rule(
            "dach",
            Condition::All([header("x-user", "42"), Condition::Region([name("DE")].into())].into()),
            to("v0"),
        ),
    ];
    let plan = plan(parts);
    let told = Client::new()
        .with("x-user", "42")
        .on(|request, context| serde_json::to_string_pretty(&explain(&plan, request, context, 0)).unwrap());
    insta::assert_snapshot!(told, @r#"
    {
      "backend": "v0",
      "reason": "identity",
      "bucket": 63352,
      "region": "ZZ",
      "sets_cookie": false,
      "steps": [
        {
          "step": "kill_switch",
          "result": "passed",
          "detail": "off"
        },
        {
          "step": "rule beta",
          "result": "passed",
          "detail": "does not hold: segment beta (header x-groups = beta)"
        },
        {
          "step": "rule dach",
          "result": "passed",
          "detail": "does not hold: region [DE] (region ZZ)"
        },
        {
          "step": "split",
          "result": "decided",
          "detail": "v0 by bucket 63352 (identity)"
        }
      ]
    }
    "#);
}

#[test]
fn the_fallback_is_the_heaviest_healthy_one() {
    let mut parts = parts(&[0, 60, 20, 20, 50]);
    parts.backends[4].state = BackendState::Drain;
    let plan = plan(parts);
    for (chosen, healthy, expected) in [
        (1, &[0, 1, 2, 3, 4][..], Some(2)),
        (2, &[0, 1, 3], Some(1)),
        (1, &[0, 3], Some(3)),
        (1, &[0, 1, 4], Some(0)),
        (1, &[1, 4], None),
    ] {
        assert_eq!(plan.fallback(chosen, |index| healthy.contains(&index)), expected, "{chosen} {healthy:?}");
    }
}

#[test]
fn a_dry_run_counts_who_would_move() {
    let old = plan(parts(&[95, 5]));
    insta::assert_snapshot!(
        serde_json::to_string(&old.moved_share(&plan(parts(&[75, 25])))).unwrap(),
        @r#"{"share":0.2,"moves":[{"from":"v0","to":"v1","buckets":20000}]}"#
    );
    assert_eq!(old.moved_share(&old).share, 0.0);
    let salted = plan(PlanParts { salt: "new".to_owned(), ..parts(&[95, 5]) });
    assert_eq!(old.moved_share(&salted).share, 0.095);
}

#[test]
fn claims_identify_users_and_hold_in_conditions() {
    let claims = |json: serde_json::Value| match json {
        serde_json::Value::Object(payload) => Some(Claims::new(payload)),
        _ => None,
    };
    let beta = NamedMatcher::new("groups", ValueMatcher::exact("beta"));
    let parts = PlanParts {
        keys: vec![KeySource::Jwt("sub".into()), KeySource::Header("x-user".into())],
        rules: vec![rule("beta", Condition::Jwt(beta), to("v1"))],
        ..parts(&[100, 0])
    };
    let plan = plan(parts);
    let visit = |token: serde_json::Value, header: &str| {
        let mut client = Client::new().with("x-user", header);
        client.claims = claims(token);
        client.visit(&plan, 0)
    };
    let anna = visit(json!({ "sub": "anna" }), "1");
    assert_eq!((anna.reason, anna.backend), (Reason::Identity, 0));
    assert_eq!(anna.bucket, visit(json!({ "sub": "anna" }), "2").bucket);
    // The same text from a header is the same identity: that is what a split key is.
    assert_eq!(anna.bucket, visit(json!(null), "anna").bucket);
    assert_eq!(visit(json!({ "sub": ["anna"] }), "2").bucket, visit(json!(null), "2").bucket);
    for (token, backend) in [
        (json!({ "groups": ["a", "beta"] }), 1),
        (json!({ "groups": "beta" }), 1),
        (json!({ "groups": "betas" }), 0),
        (json!({}), 0),
        (json!(null), 0),
    ] {
        assert_eq!(visit(token.clone(), "1").backend, backend, "{token}");
    }
}

#[test]
fn parts_that_make_no_plan_are_refused() {
    let with = |change: fn(&mut PlanParts)| {
        let mut parts = parts(&[50, 50]);
        change(&mut parts);
        SplitPlan::new(parts).unwrap_err().to_string()
    };
    for (error, expected) in [
        (
            with(|parts| parts.backends.iter_mut().for_each(|backend| backend.state = BackendState::Off)),
            "the split: all weights are zero: no backend would take the traffic",
        ),
        (with(|parts| parts.backends[1].name = name("v0")), "backend `v0` is listed twice"),
        (
            with(|parts| {
                let weights = RuleTarget::Split(vec![(name("v0"), Weight::ZERO)]);
                parts.rules = vec![rule("r", Condition::All([].into()), weights)];
            }),
            "rule `r`: all weights are zero: no backend would take the traffic",
        ),
        (with(|parts| parts.cookie.as_mut().unwrap().name = "a b".to_owned()), "`a b` is not a cookie name"),
    ] {
        assert_eq!(error, expected);
    }
}

/// Issue of the whole: over a ramp, users switch only as the weights do, and two instances agree.
#[test]
fn a_hundred_thousand_users_over_a_ramp_switch_only_with_the_weights() {
    let mut last = vec![0_usize; 100_000];
    for (step, weight) in [0, 5, 25, 50, 100, 0].into_iter().enumerate() {
        let [here, there] = [(); 2].map(|()| plan(parts(&[100 - weight, weight])));
        let mut canary = 0_u32;
        for (user, last) in last.iter_mut().enumerate() {
            let client = Client::new().with("x-user", &format!("user-{user}"));
            let [a, b] = [&here, &there].map(|plan| {
                client.on(|request, context| assign(plan, request, context, user as u64).backend)
            });
            assert_eq!(a, b, "instances disagree on user {user}");
            assert!(if step == 5 { a <= *last } else { a >= *last }, "user {user} moved against the change");
            *last = a;
            canary += u32::try_from(a).unwrap();
        }
        // Four standard deviations of the binomial: at most 633.
        assert!(canary.abs_diff(weight * 1000) <= 640, "{weight} %: {canary}");
    }
    assert_eq!(last.iter().sum::<usize>(), 0);
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        select(vec!["1", "2"]).prop_map(|value| header("a", value)),
        (1..100_u32).prop_map(|percent| Condition::Fraction {
            share: Fraction::from_percent(f64::from(percent)).unwrap(),
            salt: Arc::new(Salt::new("f")),
        }),
        select(vec!["DE", "US", "ZZ"]).prop_map(|region| Condition::Region([name(region)].into())),
        Just(Condition::ClientIp(["192.0.2.0/25".parse().unwrap()].into_iter().collect())),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            parts.clone().prop_map(|parts| Condition::All(parts.into())),
            parts.prop_map(|parts| Condition::Any(parts.into())),
            inner.prop_map(|condition| Condition::Not(Box::new(condition))),
        ]
    })
}

proptest! {
    /// `visit` compares assign and explain.
    #[test]
    fn explaining_tells_what_is_assigned(
        conditions in proptest::collection::vec(any_condition(), 0..4),
        mode in select(vec![StickyMode::Bucket, StickyMode::Pin, StickyMode::None]),
        killed in proptest::bool::weighted(0.1),
        cookies in any::<bool>(),
        user in proptest::option::of("[a-z]{0,3}"),
        value in select(vec!["1", "2", "3"]),
        entropy in any::<[u64; 3]>(),
    ) {
        let mut parts = PlanParts { mode, ..parts(&[60, 40]) };
        parts.rules = conditions
            .into_iter()
            .enumerate()
            .map(|(i, condition)| {
                let split = RuleTarget::Split(named(&[10, 90]));
                rule(&format!("r{i}"), condition, if i % 2 == 0 { to("v1") } else { split })
            })
            .collect();
        parts.kill_switch = killed.then(|| name("v0"));
        if !cookies {
            parts.cookie = None;
        }
        let plan = plan(parts);
        let mut client = Client::new().with("a", value);
        client.headers.extend(user.map(|user| ("x-user".to_owned(), user)));
        let found = entropy.map(|entropy| client.visit(&plan, entropy));
        if mode != StickyMode::None {
            // Sticky: neither the backend nor the cookie changes without a reason.
            prop_assert!(found.iter().all(|later| later.backend == found[0].backend));
            prop_assert!(found[1..].iter().all(|later| later.set_cookie.is_none()));
        }
    }
}

#[test]
fn an_override_is_for_one_user_and_yields_only_to_the_kill_switch() {
    let overridden = |state, kill_switch: Option<Name>| {
        let mut parts = PlanParts { kill_switch, ..parts(&[100, 0]) };
        let canary = parts.backends[1].name.clone();
        parts.backends[1].state = state;
        parts.overrides = vec![(b"alice"[..].into(), canary)];
        plan(parts)
    };
    let active = overridden(BackendState::Active, None);
    let killed = Some(active.backends()[0].name.clone());
    for (plan, user, expected) in [
        (&active, "alice", (1, Reason::Override)),
        (&active, "bob", (0, Reason::Identity)),
        (&overridden(BackendState::Drain, None), "alice", (1, Reason::Override)),
        (&overridden(BackendState::Off, None), "alice", (0, Reason::Identity)),
        (&overridden(BackendState::Active, killed), "alice", (0, Reason::KillSwitch)),
    ] {
        let assigned = Client::new().with("x-user", user).visit(plan, 0);
        assert_eq!((assigned.backend, assigned.reason), expected, "{user}");
        assert_eq!(assigned.set_cookie, None);
    }
    // Where the address is the key, an override is for an address.
    let mut by_address = parts(&[100, 0]);
    by_address.keys = vec![KeySource::ClientIp];
    let client = Client::new();
    let canary = by_address.backends[1].name.clone();
    by_address.overrides = vec![(client.ip.to_string().as_bytes().into(), canary)];
    let assigned = Client::new().visit(&plan(by_address), 0);
    assert_eq!((assigned.backend, assigned.reason), (1, Reason::Override));
}
