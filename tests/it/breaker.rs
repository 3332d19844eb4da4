//! Circuit breakers, panic and slow start.

use crate::support::{
    Client, GET, Gate, Origin, Setup, Weir, ok,
    origin::{Deaf, nobody},
    streams::{StreamOrigin, respond},
    weir::eventually,
};

/// An origin that answers when the gate opens.
fn held(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::scripted(move |peer| {
        while peer.request().is_some() {
            gate.wait();
            peer.send(ok("ok"));
        }
    })
}

fn before(origins: &[&Origin], keys: &str) -> Weir {
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    Setup::new().backend_with("stable", &addresses, keys).start()
}

/// A client whose request is at the origin.
fn waiting(weir: &Weir, origin: &Origin) -> Client {
    let seen = origin.requests().len();
    let mut client = weir.client();
    client.send(GET);
    origin.wait("the request", |now| now.requests().count() > seen);
    client
}

#[test]
fn requests_over_the_limit_are_refused_at_once() {
    let gate = Gate::default();
    let origin = held(&gate);
    let weir = before(&[&origin], "circuit_breaker: { max_requests: 2 }");
    let clients = [waiting(&weir, &origin), waiting(&weir, &origin)];
    let answer = weir.client().ask(GET);
    assert_eq!((answer.status, answer.get("retry-after")), (503, Some("1")));
    weir.counts("weir_circuit_breaker_refused_total", "requests", 1);
    weir.counts("weir_circuit_breaker_open", "requests", 1);
    weir.counts("weir_upstream_errors_total", "overload", 1);
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    eventually("room", || (weir.count("weir_circuit_breaker_open", "requests") == 0).then_some(()));
    assert_eq!(weir.client().ask(GET).status, 200);
}

#[test]
fn a_limit_counts_requests_of_before_a_reload() {
    let gate = Gate::default();
    let origin = held(&gate);
    let setup =
        Setup::new().backend_with("stable", &[origin.address], "circuit_breaker: { max_requests: 1 }");
    let weir = setup.start();
    let mut client = waiting(&weir, &origin);
    weir.rewrite(&setup.clone().timeouts("connect: 3s"));
    assert_eq!(weir.client().ask(GET).status, 503);
    gate.open();
    assert_eq!(client.response().status, 200);
}

#[test]
fn waiting_for_connections_has_a_limit() {
    let deaf = Deaf::new();
    let weir = Setup::new()
        .backend_with("stable", &[deaf.address], "circuit_breaker: { max_pending: 1 }")
        .timeouts("connect: 60s")
        .start();
    let mut first = weir.client();
    first.send(GET);
    eventually("the first to wait", || {
        (weir.count("weir_circuit_breaker_open", "pending") == 1).then_some(())
    });
    assert_eq!(weir.client().ask(GET).status, 503);
    weir.counts("weir_circuit_breaker_refused_total", "pending", 1);
}

#[test]
fn connections_have_a_limit_and_idle_ones_make_room() {
    let gate = Gate::default();
    let (one, other) = (held(&gate), held(&gate));
    let weir = before(&[&one, &other], "circuit_breaker: { max_connections: 1 }, lb_policy: round_robin");
    let mut client = weir.client();
    client.send(GET);
    eventually("the first", || (one.requests().len() + other.requests().len() == 1).then_some(()));
    assert_eq!(weir.client().ask(GET).status, 503, "the only one is in use");
    weir.counts("weir_circuit_breaker_refused_total", "connections", 1);
    gate.open();
    assert_eq!(client.response().status, 200);
    for _ in 0..10 {
        assert_eq!(client.ask(GET).status, 200, "the one to the other endpoint is given up");
    }
    assert!(one.seen().connections.len() + other.seen().connections.len() > 5);
    weir.counts("weir_circuit_breaker_refused_total", "connections", 1);
}

#[test]
fn a_limit_does_not_send_requests_elsewhere() {
    let gate = Gate::default();
    let (canary, stable) = (held(&gate), Origin::named("stable"));
    let weir = Setup::new()
        .backend_with("canary", &[canary.address], "circuit_breaker: { max_requests: 1 }")
        .backend("stable", &[stable.address])
        .start();
    let _client = waiting(&weir, &canary);
    assert_eq!(weir.client().ask(GET).status, 503);
    assert!(stable.requests().is_empty());
    gate.open();
}

#[test]
fn streams_need_one_connection_which_ages_out_and_makes_room() {
    let (one, other) = (
        StreamOrigin::answering(|_, _, to| respond(to, 200, "one")),
        StreamOrigin::answering(|_, _, to| respond(to, 200, "other")),
    );
    let keys = "protocol: h2c, idle_timeout: 100ms";
    let weir = Setup::new().backend_with("stable", &[one.address], keys).start();
    let mut client = weir.client();
    for _ in 0..5 {
        assert_eq!(client.ask(GET).text(), "one");
    }
    assert_eq!(one.seen().connections, 1);
    eventually("the end of the unused connection", || (one.seen().ended == 1).then_some(()));
    let keys = "protocol: h2c, circuit_breaker: { max_connections: 1 }, lb_policy: round_robin";
    let weir = Setup::new().backend_with("stable", &[one.address, other.address], keys).start();
    let mut client = weir.client();
    let mut names: Vec<String> = (0..4).map(|_| client.ask(GET).text()).collect();
    names.sort();
    assert_eq!(names, ["one", "one", "other", "other"]);
}

const CHECK: &str = "health_check: { path: /healthz, interval: 20ms, unhealthy_threshold: 1 }";

/// An origin that answers, and fails its checks.
fn unwell(name: &'static str) -> Origin {
    Origin::scripted(move |peer| {
        while let Some(request) = peer.request() {
            let check = request.target() == "/healthz";
            peer.send(if check {
                "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_owned()
            } else {
                ok(name)
            });
        }
    })
}

#[test]
fn with_few_available_all_are_used() {
    let (well, sick, ill) = (Origin::named("well"), unwell("sick"), unwell("ill"));
    for (threshold, panics) in [(33, false), (50, true)] {
        let keys = format!("{CHECK}, panic_threshold: {threshold}%, lb_policy: round_robin");
        let weir = before(&[&well, &sick, &ill], &keys);
        eventually("verdicts", || (weir.count("weir_endpoint_healthy", "") == 1).then_some(()));
        assert_eq!(weir.count("weir_backend_panic", ""), u64::from(panics));
        let mut client = weir.client();
        let mut names: Vec<String> = (0..9).map(|_| client.ask(GET).text()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), if panics { 3 } else { 1 }, "{names:?}");
    }
}

#[test]
fn with_none_available_another_backend_stands_in_before_all_are_used() {
    let (sick, stable) = (unwell("sick"), Origin::named("stable"));
    let keys = format!("{CHECK}, panic_threshold: 50%");
    let setup = Setup::new().backend_with("canary", &[sick.address], &keys);
    let weir = setup.clone().backend("stable", &[stable.address]).start();
    eventually("the stand-in", || (weir.client().ask(GET).text() == "stable").then_some(()));
    let weir = setup
        .clone()
        .backend("stable", &[nobody()])
        .split("backends: { canary: 1 }, on_unavailable: fail")
        .start();
    eventually("the verdict", || {
        (weir.count("weir_endpoint_healthy", &sick.address.to_string()) == 0).then_some(())
    });
    assert_eq!(weir.client().ask(GET).text(), "sick");
}

#[test]
fn an_endpoint_that_is_new_starts_slowly() {
    let origin = Origin::named("ok");
    let weir = before(&[&origin], "slow_start: 1h");
    assert_eq!(weir.client().ask(GET).status, 200, "there is nobody else");
    let mut admin = Client::to(weir.running().admin());
    let page = admin.ask("GET /v1/backends HTTP/1.1\r\nHost: localhost\r\n\r\n").text();
    assert!(page.contains("\"warmth\":0.1"), "{page}");
}
