//! Active health checks, and what happens when a backend cannot take a request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use bytes::Bytes;
use h2::server::SendResponse;

use crate::support::{
    Client, GET, Gate, Origin, Setup, Weir, ok,
    origin::{nobody, vacant},
    streams::{StreamOrigin, respond},
    weir::eventually,
};

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

#[test]
fn a_connection_is_enough_where_nothing_is_to_be_asked() {
    const TCP: &str =
        "health_check: { tcp: true, interval: 20ms, healthy_threshold: 1, unhealthy_threshold: 1 }";
    let place = vacant();
    let well = Origin::named("well");
    let weir = Setup::new().backend_with("stable", &[place, well.address], TCP).start();
    eventually("the verdict", || (weir.metric("weir_endpoint_healthy", "") < 1.5).then_some(()));
    for _ in 0..20 {
        assert_eq!(answer(&weir), "well");
    }
    let late = Origin::on(place, |peer| {
        while peer.request().is_some() {
            peer.send(ok("late"));
        }
    });
    eventually_answers(&weir, "late");
    let asked = [late.requests(), well.requests()].concat();
    assert!(asked.iter().all(|request| request.target() == "/"), "probes ask nothing");
}

#[test]
fn grpc_servers_are_asked_for_their_health() {
    const SERVING: u8 = 1;
    const NOT_SERVING: u8 = 2;
    let status = Arc::new(AtomicU8::new(NOT_SERVING));
    let says = Arc::clone(&status);
    let origin = StreamOrigin::answering(move |_, request, to| {
        if request.uri().path() != "/grpc.health.v1.Health/Check" {
            return respond(to, 200, "call");
        }
        let fields = ["content-type", "te", "user-agent"]
            .map(|name| request.headers()[name].to_str().unwrap().to_owned());
        assert_eq!(fields, ["application/grpc", "trailers", "weir-health-check"]);
        let says = Arc::clone(&says);
        tokio::spawn(async move {
            let question = request.into_body().data().await.unwrap().unwrap();
            // Nothing but the service that the check names is known here.
            let code = if question[..] == *b"\0\0\0\0\x06\x0a\x04cart" { "0" } else { "5" };
            answer_health(to, says.load(Ordering::Acquire), code);
        });
    });
    let check = |service| {
        format!(
            "protocol: h2c, health_check: {{ grpc: {{ service: {service} }}, interval: 20ms, healthy_threshold: 1, unhealthy_threshold: 1 }}"
        )
    };
    let weir = Setup::new().backend_with("stable", &[origin.address], &check("cart")).start();
    eventually_answers(&weir, "503");
    status.store(SERVING, Ordering::Release);
    eventually_answers(&weir, "call");
    status.store(NOT_SERVING, Ordering::Release);
    eventually_answers(&weir, "503");
    status.store(SERVING, Ordering::Release);
    let other = Setup::new().backend_with("stable", &[origin.address], &check("basket")).start();
    eventually_answers(&other, "503");
    let told = Client::to(other.running().admin())
        .ask("GET /v1/backends HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .text();
    assert!(told.contains("the server does not know the service"), "{told}");
}

/// A `HealthCheckResponse` with this status, and how the call ended.
fn answer_health(mut to: SendResponse<Bytes>, status: u8, code: &'static str) {
    let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = to.send_response(head, false).unwrap();
    stream.send_data(vec![0, 0, 0, 0, 2, 8, status].into(), false).unwrap();
    let trailers = std::iter::once((http::HeaderName::from_static("grpc-status"), code.parse().unwrap()));
    stream.send_trailers(trailers.collect()).unwrap();
}
