//! Active health checks, and what happens when a backend cannot take a request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::support::{GET, Gate, Origin, Setup, Weir, ok, origin::nobody, weir::eventually};

const CHECK: &str = "health_check: { path: /healthz, interval: 20ms, timeout: 1s, healthy_threshold: 2, unhealthy_threshold: 2 }";

/// An origin that answers with its name, and whose health can be switched.
fn switched(name: &'static str) -> (Origin, Arc<AtomicBool>) {
    let healthy = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&healthy);
    let origin = Origin::scripted(move |peer| {
        while let Some(request) = peer.request() {
            let fails = request.target() == "/healthz" && !switch.load(Ordering::Acquire);
            peer.send(if fails {
                "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_owned()
            } else {
                ok(name)
            });
        }
    });
    (origin, healthy)
}

fn answer(weir: &Weir) -> String {
    let response = weir.client().ask(GET);
    if response.status == 200 { response.text() } else { response.status.to_string() }
}

fn eventually_answers(weir: &Weir, expected: &str) {
    eventually(&format!("the answer {expected}"), || (answer(weir) == expected).then_some(()));
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_nothing_until_it_recovers() {
    let (first, healthy) = switched("first");
    let (second, _) = switched("second");
    let weir = Setup::new().backend_with("stable", &[first.address, second.address], CHECK).start();
    eventually_answers(&weir, "first");
    healthy.store(false, Ordering::Release);
    eventually("the verdict", || (weir.metric("weir_endpoint_healthy", "") < 1.5).then_some(()));
    for _ in 0..50 {
        assert_eq!(answer(&weir), "second");
    }
    healthy.store(true, Ordering::Release);
    eventually_answers(&weir, "first");
    let probe = first.requests().into_iter().find(|request| request.target() == "/healthz").unwrap();
    assert_eq!(probe.get("host"), Some(first.address.to_string().as_str()));
    assert_eq!(probe.get("user-agent"), Some("weir-health-check"));
}

#[test]
fn a_verdict_outlives_a_reload() {
    let (stable, healthy) = switched("stable");
    let (canary, _) = switched("canary");
    let setup =
        Setup::new().backend_with("stable", &[stable.address], CHECK).backend("canary", &[canary.address]);
    let weir = setup.clone().split("backends: { stable: 1, canary: 0 }").start();
    eventually_answers(&weir, "stable");
    healthy.store(false, Ordering::Release);
    eventually_answers(&weir, "canary");
    for salt in 0..10 {
        weir.rewrite(&setup.clone().split(&format!("salt: s{salt}, backends: {{ stable: 1, canary: 0 }}")));
        // Not once is the unhealthy endpoint tried, although an unknown one would be.
        assert_eq!(answer(&weir), "canary");
    }
    healthy.store(true, Ordering::Release);
    eventually_answers(&weir, "stable");
}

#[test]
fn an_endpoint_without_a_verdict_takes_traffic_or_not_as_configured() {
    let hold = Gate::default();
    let gate = hold.clone();
    let origin = Origin::scripted(move |peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/healthz" {
                gate.wait();
            }
            peer.send(ok("ok"));
        }
    });
    for (state, expected) in [("healthy", "ok"), ("unhealthy", "503")] {
        let check = format!("health_check: {{ path: /healthz, timeout: 60s, initial_state: {state} }}");
        let weir = Setup::new().backend_with("stable", &[origin.address], &check).start();
        assert_eq!(answer(&weir), expected);
        if state == "unhealthy" {
            hold.open();
            eventually_answers(&weir, "ok");
        }
    }
}

#[test]
fn a_backend_without_a_healthy_endpoint_falls_back_or_fails() {
    let (stable, healthy) = switched("stable");
    let (canary, _) = switched("canary");
    healthy.store(false, Ordering::Release);
    let setup =
        Setup::new().backend_with("stable", &[stable.address], CHECK).backend("canary", &[canary.address]);
    let weir = setup.clone().split("backends: { stable: 1, canary: 0 }").start();
    eventually_answers(&weir, "canary");
    assert!(weir.count("weir_assignments_total", "fallback") > 0);
    let weir = setup.split("backends: { stable: 1, canary: 0 }, on_unavailable: fail").start();
    eventually_answers(&weir, "503");
}

#[test]
fn an_endpoint_that_nobody_answers_at_is_unhealthy() {
    let weir = Setup::new().backend_with("stable", &[nobody()], CHECK).start();
    eventually_answers(&weir, "503");
}
