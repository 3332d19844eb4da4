//! The balancing policies on real endpoints.

use std::collections::BTreeMap;

use crate::support::{GET, Gate, Origin, Setup, Weir, ok, weir::eventually};

/// Three origins that answer with their names.
fn origins() -> [Origin; 3] {
    ["a", "b", "c"].map(Origin::named)
}

fn before(origins: &[Origin; 3], policy: &str) -> Setup {
    let addresses = origins.each_ref().map(|origin| origin.address);
    Setup::new().backend_with("stable", &addresses, &format!("lb_policy: {policy}"))
}

/// How often each name comes in so many answers to one client.
fn answers(weir: &Weir, count: usize, request: &str) -> BTreeMap<String, usize> {
    let mut client = weir.client();
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        *answers.entry(client.ask(request).text()).or_default() += 1;
    }
    answers
}

#[test]
fn every_policy_uses_every_endpoint() {
    let origins = origins();
    for policy in ["p2c", "round_robin", "least_request", "peak_ewma"] {
        let weir = before(&origins, policy).start();
        assert_eq!(answers(&weir, 200, GET).len(), 3, "{policy}");
    }
}

#[test]
fn round_robin_takes_turns() {
    let origins = origins();
    let weir = before(&origins, "round_robin").start();
    let counts = answers(&weir, 30, GET);
    assert!(counts.values().all(|count| *count == 10), "{counts:?}");
}

#[test]
fn least_request_avoids_a_busy_endpoint() {
    let busy = Gate::default();
    let gate = busy.clone();
    let slow = Origin::scripted(move |peer| {
        while peer.request().is_some() {
            gate.wait();
            peer.send(ok("slow"));
        }
    });
    let quick = Origin::named("quick");
    let weir = Setup::new()
        .backend_with("stable", &[slow.address, quick.address], "lb_policy: least_request")
        .start();
    // One client after the other, until one hangs at the slow endpoint.
    let mut clients = Vec::new();
    while slow.requests().is_empty() {
        let mut client = weir.client();
        client.send(GET);
        clients.push(client);
        eventually("an endpoint with the request", || {
            let hangs = !slow.requests().is_empty();
            (hangs || quick.requests().len() == clients.len()).then_some(())
        });
        if slow.requests().is_empty() {
            clients.last_mut().unwrap().response();
        }
    }
    assert_eq!(answers(&weir, 50, GET), [("quick".to_owned(), 50)].into());
    busy.open();
}

#[test]
fn rendezvous_keeps_a_user_on_an_endpoint() {
    let origins = origins();
    let addresses = origins.each_ref().map(|origin| origin.address);
    let weir = Setup::new()
        .backend_with("stable", &addresses, "lb_policy: rendezvous")
        .split("key: { header: X-User }, backends: { stable: 1 }")
        .start();
    let mut used = BTreeMap::new();
    for user in 0..60 {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n");
        let seen = answers(&weir, 3, &request);
        assert_eq!(seen.len(), 1, "user {user}: {seen:?}");
        *used.entry(seen.into_keys().next().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(used.len(), 3, "{used:?}");
    // Whoever has no user yet gets the assignment cookie, and stays by it.
    let mut client = weir.client();
    let first = client.ask(GET);
    let again = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", first.cookie().unwrap());
    assert_eq!(answers(&weir, 5, &again), [(first.text(), 5)].into());
}

#[test]
fn rendezvous_without_a_user_goes_by_address() {
    let origins = origins();
    let addresses = origins.each_ref().map(|origin| origin.address);
    let weir = Setup::new()
        .top("trusted_proxies: [127.0.0.0/8]")
        .backend_with("stable", &addresses, "lb_policy: rendezvous")
        .route("name: all, backend: stable")
        .start();
    let from = |ip: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {ip}\r\n\r\n");
    let mut used = BTreeMap::new();
    for host in 1..40 {
        let seen = answers(&weir, 3, &from(&format!("192.0.2.{host}")));
        assert_eq!(seen.len(), 1, "{seen:?}");
        used.extend(seen);
    }
    assert_eq!(used.len(), 3);
}
