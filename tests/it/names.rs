//! Endpoints by name.

use std::net::SocketAddr;

use crate::support::{
    Client, GET, Origin, Setup, Weir,
    dns::{NameServer, Zone},
    ok,
    weir::eventually,
};

/// Origins at the same port of several loopback addresses, which answer with their address.
fn at(ips: &[&'static str]) -> (u16, Vec<Origin>) {
    let serve = |address: SocketAddr| {
        Origin::on(address, move |peer| {
            while peer.request().is_some() {
                peer.send(ok(&peer_text(address)));
            }
        })
    };
    let first = Origin::named("");
    let port = first.address.port();
    drop(first);
    (port, ips.iter().map(|ip| serve(SocketAddr::new(ip.parse().unwrap(), port))).collect())
}

fn peer_text(address: SocketAddr) -> String {
    address.ip().to_string()
}

fn by_name(server: &NameServer, name: &str, port: u16) -> Setup {
    Setup::new()
        .top(&format!("dns: {{ servers: [ \"{}\" ] }}", server.address))
        .backend_at("stable", &[&format!("dns: \"{name}:{port}\"")])
}

fn answer(weir: &Weir) -> String {
    let response = weir.client().ask(GET);
    if response.status == 200 { response.text() } else { response.status.to_string() }
}

fn status(weir: &Weir) -> String {
    Client::to(weir.running().admin()).ask("GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n").text()
}

#[test]
fn traffic_follows_the_addresses_of_a_name() {
    let (port, _origins) = at(&["127.0.0.2", "127.0.0.3"]);
    let server = NameServer::saying(Zone::of("app.test", &["127.0.0.2"], 1));
    let weir = by_name(&server, "App.Test", port).start();
    for _ in 0..5 {
        assert_eq!(answer(&weir), "127.0.0.2", "resolved before the first request");
    }
    server.say(Zone::of("app.test", &["127.0.0.3", "127.0.0.2"], 1));
    eventually("the second address", || (answer(&weir) == "127.0.0.3").then_some(()));
    assert!((0..50).any(|_| answer(&weir) == "127.0.0.2"), "both are used");
    server.say(Zone::of("app.test", &["127.0.0.3"], 1));
    eventually("the first one's end", || (weir.count("weir_dns_addresses", "app.test") == 1).then_some(()));
    for _ in 0..20 {
        assert_eq!(answer(&weir), "127.0.0.3");
    }
    assert_eq!(weir.count("weir_endpoint_healthy", ""), 1, "what is gone is not shown");
}

#[test]
fn the_last_good_answer_stays_while_lookups_fail() {
    let (port, _origins) = at(&["127.0.0.2", "127.0.0.3"]);
    let server = NameServer::saying(Zone::of("app.test", &["127.0.0.2"], 1));
    let weir = by_name(&server, "app.test", port).start();
    for bad in [Zone::Failure, Zone::Names([].into())] {
        assert_eq!(answer(&weir), "127.0.0.2");
        server.say(bad);
        eventually("a failed lookup", || {
            (weir.count("weir_dns_last_lookup_successful", "app.test") == 0).then_some(())
        });
        assert_eq!(answer(&weir), "127.0.0.2");
        assert!(status(&weir).contains("app.test cannot be resolved"), "{}", status(&weir));
        server.say(Zone::of("app.test", &["127.0.0.2"], 1));
        eventually("recovery", || {
            (weir.count("weir_dns_last_lookup_successful", "app.test") == 1).then_some(())
        });
        assert!(!status(&weir).contains("cannot be resolved"));
    }
    assert!(weir.count("weir_dns_lookups_total", "failed") >= 2);
    server.say(Zone::of("app.test", &["127.0.0.3"], 1));
    eventually("another address", || (answer(&weir) == "127.0.0.3").then_some(()));
}

#[test]
fn a_name_without_an_address_does_not_keep_weir_from_starting() {
    let (port, _origins) = at(&["127.0.0.2"]);
    let server = NameServer::saying(Zone::Failure);
    let weir = by_name(&server, "app.test", port).start();
    assert_eq!(answer(&weir), "503");
    assert!(status(&weir).contains("it has no address yet"));
    server.say(Zone::of("app.test", &["127.0.0.2"], 60));
    eventually("an answer", || (answer(&weir) == "127.0.0.2").then_some(()));
}

#[test]
fn a_reload_waits_for_new_names_so_that_no_request_fails() {
    let (port, _origins) = at(&["127.0.0.2", "127.0.0.3"]);
    let both = Zone::Names(
        [
            ("old.test", (vec!["127.0.0.2".parse().unwrap()], 60)),
            ("new.test", (vec!["127.0.0.3".parse().unwrap()], 60)),
        ]
        .into(),
    );
    let server = NameServer::saying(both);
    let setup = by_name(&server, "old.test", port);
    let weir = setup.start();
    let mut client = weir.client();
    assert_eq!(client.ask(GET).text(), "127.0.0.2");
    for name in ["new.test", "old.test", "new.test"] {
        weir.write_file(&by_name(&server, name, port).text());
        let wanted = if name == "new.test" { "127.0.0.3" } else { "127.0.0.2" };
        eventually("the other name", || {
            let response = client.ask(GET);
            assert_eq!(response.status, 200);
            (response.text() == wanted).then_some(())
        });
    }
    assert_eq!(weir.count("weir_dns_addresses", "old.test"), 0, "a name that is gone is not looked up");
    let before = server.asked();
    assert!(before > 0);
}

#[test]
fn the_name_is_the_host_where_a_request_has_none_and_of_probes() {
    let (port, origins) = at(&["127.0.0.2"]);
    let server = NameServer::saying(Zone::of("app.test", &["127.0.0.2"], 60));
    let weir = Setup::new()
        .top(&format!("dns: {{ servers: [ \"{}\" ] }}", server.address))
        .backend_of("stable", &[&format!("dns: \"app.test:{port}\"")], "health_check: { path: /healthz }")
        .start();
    eventually("a probe", || {
        let probe = origins[0].requests().into_iter().find(|request| request.target() == "/healthz")?;
        assert_eq!(probe.get("host"), Some(format!("app.test:{port}").as_str()));
        Some(())
    });
    weir.client().ask("GET /old HTTP/1.0\r\n\r\n");
    let old = origins[0].requests().into_iter().find(|request| request.target() == "/old").unwrap();
    assert_eq!(old.get("host"), Some(format!("app.test:{port}").as_str()));
}
