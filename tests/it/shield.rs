//! Shielding: failures of a canary that its users do not see, and that are counted all the same.

use weir::control::Change;

use crate::support::{GET, Origin, Setup, Weir, origin::nobody};

const BROKEN: &str = "HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\nbroken";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

/// All users on the canary; stable is the baseline.
fn before(stable: std::net::SocketAddr, canary: std::net::SocketAddr, keys: &str) -> Weir {
    Setup::new()
        .backend("stable", &[stable])
        .backend("canary", &[canary])
        .route(&format!(
            "name: all, split: {{ key: none, backends: {{ stable: 0, canary: 1 }}, on_unavailable: fail }}, {keys}"
        ))
        .start()
}

/// Waits until one request of this backend and code is finished.
fn one_of(weir: &Weir, backend: &str, code: u16) {
    weir.counts("weir_requests_total", &format!("backend=\"{backend}\",code=\"{code}\""), 1);
}

#[test]
fn the_user_sees_stable_and_the_canary_is_charged() {
    let (stable, canary) = (Origin::named("stable"), Origin::answering(BROKEN));
    let weir = before(stable.address, canary.address, "shield: true");
    let answer = weir.client().ask(GET);
    assert_eq!((answer.status, answer.text().as_str()), (200, "stable"));
    weir.counts("weir_shielded_failures_total", "canary", 1);
    one_of(&weir, "canary", 500);
    one_of(&weir, "stable", 200);
    weir.counts("weir_assignments_total", "reason=\"shield\"", 1);
    assert_eq!(weir.retries(), 0);
}

#[test]
fn failures_without_an_answer_are_shielded_too() {
    let stable = Origin::named("stable");
    let silent = Origin::scripted(|peer| {
        peer.request();
    });
    for (canary, code) in [(nobody(), 502), (silent.address, 502)] {
        let weir = before(stable.address, canary, "shield: true");
        assert_eq!(weir.client().ask(GET).text(), "stable");
        one_of(&weir, "canary", code);
        weir.counts("weir_shielded_failures_total", "canary", 1);
    }
}

#[test]
fn what_may_not_be_sent_twice_and_what_is_no_failure_is_not_shielded() {
    for (answer, request, keys, status) in [
        (BROKEN, POST, "shield: true", 500),
        (BROKEN, GET, "shield: false", 500),
        ("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", GET, "shield: true", 404),
    ] {
        let (stable, canary) = (Origin::named("stable"), Origin::answering(answer));
        let weir = before(stable.address, canary.address, keys);
        assert_eq!(weir.client().ask(request).status, status);
        assert!(stable.requests().is_empty());
        assert_eq!(weir.count("weir_shielded_failures_total", ""), 0);
    }
}

#[test]
fn when_stable_fails_too_the_last_real_response_counts() {
    let canary = Origin::answering(BROKEN);
    let silent = Origin::scripted(|peer| {
        peer.request();
    });
    // Stable gives none: the canary's own failure is what the user sees, and nothing was shielded.
    for stable in [nobody(), silent.address] {
        let weir = before(stable, canary.address, "shield: true");
        assert_eq!(weir.client().ask(GET).text(), "broken");
        assert_eq!(weir.count("weir_shielded_failures_total", ""), 0);
        one_of(&weir, "canary", 500);
        weir.counts("weir_requests_total", "", 1);
    }
    // Stable's failure is stable's.
    let stable = Origin::answering("HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy");
    let weir = before(stable.address, canary.address, "shield: true");
    assert_eq!(weir.client().ask(GET).text(), "busy");
    one_of(&weir, "canary", 500);
    one_of(&weir, "stable", 503);
}

#[test]
fn stable_itself_is_never_shielded() {
    let (stable, canary) = (Origin::answering(BROKEN), Origin::named("canary"));
    let weir = Setup::new()
        .backend("stable", &[stable.address])
        .backend("canary", &[canary.address])
        .route("name: all, split: { key: none, backends: { stable: 1, canary: 0 } }, shield: true")
        .start();
    assert_eq!(weir.client().ask(GET).status, 500);
    assert!(canary.requests().is_empty());
}

#[test]
fn a_kill_switch_is_not_undone_by_shielding() {
    let (stable, canary) = (Origin::named("stable"), Origin::answering(BROKEN));
    let weir = before(stable.address, canary.address, "shield: true");
    weir.apply(Change::Kill { route: "all".to_owned(), backend: Some("canary".to_owned()) }).unwrap();
    assert_eq!(weir.client().ask(GET).status, 500);
    assert!(stable.requests().is_empty());
}

#[test]
fn other_endpoints_of_the_canary_come_before_stable_and_stable_before_another_try() {
    let stable = Origin::named("stable");
    let keys = "shield: true, retry: { attempts: 3, on: 500, backoff: { base: 0s } }";
    let broken = Origin::answering(BROKEN);
    let weir = before(stable.address, broken.address, keys);
    assert_eq!(weir.client().ask(GET).text(), "stable");
    assert_eq!(broken.requests().len(), 1, "the only endpoint is not asked again");

    let well = Origin::named("canary");
    let weir = Setup::new()
        .backend("stable", &[stable.address])
        .backend("canary", &[broken.address, well.address])
        .route(&format!("name: all, split: {{ key: none, backends: {{ stable: 0, canary: 1 }} }}, {keys}"))
        .start();
    let mut client = weir.client();
    for _ in 0..10 {
        assert_eq!(client.ask(GET).text(), "canary");
    }
    assert!(weir.retries() > 0);
}

#[test]
fn a_body_goes_to_stable_whole() {
    let (stable, canary) = (Origin::named("stable"), Origin::answering(BROKEN));
    let weir = before(stable.address, canary.address, "shield: true");
    let mut client = weir.client();
    assert_eq!(client.ask("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").text(), "stable");
    assert_eq!(stable.only_request().body, b"hello");
}
