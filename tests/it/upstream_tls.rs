//! TLS to endpoints: whom Weir believes, what it shows, why it fails, and what changes while it runs.

use std::fs;

use rustls::version::TLS12;
use serde_json::Value;

use crate::{
    support::{
        Broken, End, GET, Origin, Peer, Setup, Weir,
        dns::{NameServer, Zone},
        ok, pattern,
        tls::{Authority, Issued, Says},
        weir::eventually,
    },
    tls::Folder,
};

const CHECK: &str = "health_check: { path: /healthz, interval: 20ms, timeout: 5s, healthy_threshold: 1, unhealthy_threshold: 1 }";

/// Answers everything with "ok".
fn answer(peer: &mut Peer) {
    while peer.request().is_some() && peer.send(ok("ok")) {}
}

/// A folder with an authority's certificate in it, and the authority.
fn believed() -> (Authority, Folder) {
    let authority = Authority::new("the endpoints'");
    let folder = Folder::new();
    fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    (authority, folder)
}

/// The backend `stable` at this origin with these keys of `tls` beside the authority.
fn before(origin: &Origin, folder: &Folder, keys: &str) -> Setup {
    let ca = folder.path().join("ca.crt");
    let tls = format!("tls: {{ ca_file: \"{}\", {keys} }}", ca.display());
    Setup::new().backend_with("stable", &[origin.address], &tls)
}

fn logged(setup: Setup, folder: &Folder) -> Setup {
    setup.top(&format!("access_log: {{ path: \"{}\" }}", folder.path().join("log").display()))
}

/// Why the only request failed.
fn told(folder: &Folder) -> (String, String) {
    let line = eventually("the log", || {
        let text = fs::read_to_string(folder.path().join("log")).ok()?;
        serde_json::from_str::<Value>(text.lines().next()?).ok()
    });
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    (text("error.type"), text("error.message"))
}

#[test]
fn an_endpoint_is_asked_by_name_and_its_connection_is_used_again() {
    let (authority, folder) = believed();
    let origin = Origin::tls(&authority.issue(&["pay.internal"]).server(), |peer| {
        let name = peer.session().server_name().unwrap_or("none").to_owned();
        let resumed = peer.session().is_resumed();
        while let Some(request) = peer.request() {
            let close = request.target() == "/close";
            let connection = if close { "Connection: close\r\n" } else { "" };
            let body = format!("{name} {resumed}");
            peer.send(format!("HTTP/1.1 200 OK\r\n{connection}Content-Length: {}\r\n\r\n{body}", body.len()));
            if close {
                peer.finish();
                return;
            }
        }
    });
    let weir = before(&origin, &folder, "server_name: pay.internal").start();
    let mut client = weir.client();
    for (target, expected) in [
        ("/", "pay.internal false"),
        ("/", "pay.internal false"),
        ("/close", "pay.internal false"),
        ("/", "pay.internal true"),
    ] {
        let answer = client.ask(format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n"));
        assert_eq!((answer.status, answer.text().as_str()), (200, expected));
    }
    assert_eq!(origin.seen().connections.len(), 2);
    let request = origin.requests().remove(0);
    assert_eq!((request.get("host"), request.get("x-forwarded-proto")), (Some("shop.example"), Some("http")));
}

#[test]
fn without_a_name_the_certificate_is_for_the_address() {
    let (authority, folder) = believed();
    let origin = Origin::tls(&authority.issue(&["127.0.0.1"]).server(), answer);
    let weir = before(&origin, &folder, "").start();
    assert_eq!(weir.client().ask(GET).text(), "ok");
}

#[test]
fn a_failure_names_its_reason() {
    let (authority, folder) = believed();
    let strangers = Authority::new("a stranger's");
    let expired = Says { expired: true, ..Says::default() };
    let pay = "server_name: pay.internal";
    let tls13 = &rustls::version::TLS13;
    let cases: Vec<(Origin, &str, &str)> = vec![
        (Origin::tls(&strangers.issue(&["pay.internal"]).server(), answer), pay, "UnknownIssuer"),
        (
            Origin::tls(&authority.issue_that(&["pay.internal"], expired).server(), answer),
            pay,
            "certificate expired",
        ),
        (
            Origin::tls(&authority.issue(&["other.internal"]).server(), answer),
            pay,
            "not valid for name \"pay.internal\"",
        ),
        (
            Origin::tls(&authority.issue(&["pay.internal"]).server(), answer),
            "",
            "not valid for name \"127.0.0.1\"",
        ),
        (
            Origin::tls(&authority.server_that_asks(&authority.issue(&["pay.internal"])), answer),
            pay,
            "CertificateRequired",
        ),
        (
            Origin::scripted(|peer| {
                peer.send("HTTP/1.1 400 No\r\n\r\n");
            }),
            pay,
            "corrupt message",
        ),
        (
            Origin::scripted(|peer| {
                peer.bytes(1);
            }),
            pay,
            "eof",
        ),
        (Origin::tls(&authority.issue(&["pay.internal"]).server_with(&[tls13]), answer), pay, ""),
    ];
    for (origin, keys, expected) in &cases {
        let logs = Folder::new();
        let weir = logged(before(origin, &folder, keys), &logs).start();
        let answer = weir.client().ask(GET);
        if expected.is_empty() {
            assert_eq!(answer.status, 200);
            continue;
        }
        let (kind, message) = told(&logs);
        assert_eq!(answer.status, 502, "{expected}");
        assert!(!answer.text().contains("certificate"), "clients are told nothing: {}", answer.text());
        assert!(message.contains(expected), "{message:?} says nothing of {expected:?}");
        assert_eq!(kind, "tls", "{message}");
        weir.counts("weir_upstream_errors_total", "kind=\"tls\"", 1);
    }
}

#[test]
fn whoever_verifies_nothing_believes_everybody() {
    let strangers = Authority::new("a stranger's");
    for config in [strangers.issue(&["who"]).server(), strangers.issue(&["who"]).server_with(&[&TLS12])] {
        let origin = Origin::tls(&config, answer);
        let weir = Setup::new().backend_with("stable", &[origin.address], "tls: { verify: false }").start();
        assert_eq!(weir.client().ask(GET).text(), "ok");
    }
}

#[test]
fn weir_shows_its_certificate_and_a_renewed_one_from_then_on() {
    let (authority, folder) = believed();
    let (first, renewed) = (authority.issue(&["weir"]), authority.issue(&["weir"]));
    first.write(folder.path(), "weir");
    let origin = Origin::tls(&authority.server_that_asks(&authority.issue(&["pay.internal"])), |peer| {
        let shown = peer.session().certificate().cloned();
        while peer.request().is_some() {
            let digest = shown
                .iter()
                .flat_map(|der| der.iter())
                .fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
            peer.send(ok(&digest.to_string()));
        }
    });
    let digest = |issued: &Issued| {
        issued.der().iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte)).to_string()
    };
    let keys = format!("server_name: pay.internal, certificate: {}", folder.pair("weir"));
    let weir = before(&origin, &folder, &keys).start();
    let mut client = weir.client();
    assert_eq!(client.ask(GET).text(), digest(&first));
    renewed.write(folder.path(), "weir");
    // No connection that was opened with the old one carries another request.
    eventually("the renewed one", || (client.ask(GET).text() == digest(&renewed)).then_some(()));
}

#[test]
fn authorities_that_are_replaced_count_from_then_on() {
    let (authority, folder) = believed();
    let origin = Origin::tls(&authority.issue(&["pay.internal"]).server(), answer);
    let weir = before(&origin, &folder, "server_name: pay.internal").start();
    let mut client = weir.client();
    assert_eq!(client.ask(GET).status, 200);
    fs::write(folder.path().join("ca.crt"), Authority::new("others'").pem()).unwrap();
    eventually("that nobody is believed", || (client.ask(GET).status == 502).then_some(()));
    fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    eventually("that all is well again", || (client.ask(GET).status == 200).then_some(()));
}

#[test]
fn nothing_goes_in_the_clear_once_tls_is_asked_for() {
    let (authority, folder) = believed();
    let plain = Origin::scripted(answer);
    let address = plain.address;
    let clear = Setup::new().backend("stable", &[address]).timeouts("connect: 200ms");
    let weir = clear.start();
    let mut client = weir.client();
    assert_eq!(client.ask(GET).status, 200);
    weir.rewrite(&before(&plain, &folder, "server_name: pay.internal").timeouts("connect: 200ms"));
    let seen = plain.requests().len();
    assert_eq!(
        client.ask(GET).status,
        504,
        "the endpoint speaks no TLS, and its open connection is not used"
    );
    assert_eq!(plain.requests().len(), seen);
    weir.rewrite(&clear);
    assert_eq!(client.ask(GET).status, 200);
    drop(authority);
}

#[test]
fn health_checks_go_through_tls() {
    let (authority, folder) = believed();
    let origin = Origin::tls(&authority.issue(&["pay.internal"]).server(), answer);
    let setup = |name: &str| {
        let ca = folder.path().join("ca.crt");
        let keys = format!("tls: {{ ca_file: \"{}\", server_name: {name} }}, {CHECK}", ca.display());
        Setup::new().backend_with("stable", &[origin.address], &keys)
    };
    let weir = setup("pay.internal").start();
    origin.wait("two probes", |seen| {
        seen.requests().filter(|request| request.target() == "/healthz").count() > 1
    });
    weir.counts("weir_endpoint_healthy", "", 1);
    weir.rewrite(&setup("other.internal"));
    eventually("the verdict", || (weir.metric("weir_endpoint_healthy", "") < 0.5).then_some(()));
    let page = crate::support::Client::to(weir.running().admin())
        .ask("GET /v1/backends HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .text();
    assert!(page.contains("not valid for name"), "{page}");
}

#[test]
fn bodies_go_both_ways_whole_and_a_cut_is_visible() {
    let (authority, folder) = believed();
    let body = pattern(3_000_000);
    let all = body.clone();
    let origin = Origin::tls(&authority.issue(&["pay.internal"]).server(), move |peer| {
        while let Some(request) = peer.request() {
            match request.target() {
                "/echo" => {
                    peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
                    peer.send(&request.body);
                }
                target => {
                    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                    peer.send(&all);
                    if target == "/whole" {
                        peer.finish();
                    }
                    return;
                }
            }
        }
    });
    let weir: Weir = before(&origin, &folder, "server_name: pay.internal").start();
    let mut client = weir.client();
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    for _ in 0..2 {
        let answer = client.ask([head.as_bytes(), &body].concat());
        assert!(answer.status == 200 && answer.body == body);
    }
    assert!(client.ask("GET /whole HTTP/1.1\r\nHost: a\r\n\r\n").body == body);
    // The connection ended, but nobody said in TLS that it was the end: somebody between may have cut it.
    client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(client.try_response(), Err(Broken::Ended(End::Closed | End::Reset, _))));
}

#[test]
fn an_endpoint_by_name_is_asked_for_that_name() {
    let (authority, folder) = believed();
    let zone = Zone::of("pay.test", &["127.0.0.1"], 60);
    let server = NameServer::saying(zone);
    for (certificate, expected) in [("pay.test", 200), ("other.test", 502)] {
        let origin = Origin::tls(&authority.issue(&[certificate]).server(), |peer| {
            assert_eq!(peer.session().server_name(), Some("pay.test"));
            answer(peer);
        });
        let endpoint = format!("dns: \"pay.test:{}\"", origin.address.port());
        let tls = format!("tls: {{ ca_file: \"{}\" }}", folder.path().join("ca.crt").display());
        let weir = Setup::new()
            .top(&format!("dns: {{ servers: [ \"{}\" ] }}", server.address))
            .backend_of("stable", &[&endpoint], &tls)
            .start();
        assert_eq!(weir.client().ask(GET).status, expected);
    }
}
