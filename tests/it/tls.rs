//! TLS from clients: which certificate they get, what is agreed on, what changes while it runs, and who they are.

use std::{fs, os::unix::fs::symlink, path::Path};

use rustls::{
    pki_types::CertificateDer,
    version::{TLS12, TLS13},
};
use tempfile::TempDir;

use crate::support::{
    Broken, Client, End, GET, Origin, Setup, Weir, pattern,
    tls::{Authority, Issued, Says, Wants},
    weir::eventually,
};

/// A folder of certificates, and the keys of a control file that name them.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// With these certificates.
    pub(crate) fn of(pairs: &[(&str, &Issued)]) -> Self {
        let folder = Self::new();
        pairs.iter().for_each(|(name, issued)| issued.write(folder.path(), name));
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A pair's place in a control file.
    pub(crate) fn pair(&self, name: &str) -> String {
        let path = self.path().join(name);
        format!("{{ cert_file: \"{0}.crt\", key_file: \"{0}.key\" }}", path.display())
    }

    /// The usual listener in TLS with these pairs, and more keys of `tls`.
    pub(crate) fn listener(&self, pairs: &[&str], keys: &str) -> String {
        let pairs: Vec<String> = pairs.iter().map(|name| self.pair(name)).collect();
        format!("name: web, bind: \"127.0.0.1:0\", tls: {{ certificates: [{}], {keys} }}", pairs.join(", "))
    }
}

/// A Weir with one certificate for `shop.example`, and the authority behind it.
fn shop() -> (Authority, Issued, Folder) {
    let authority = Authority::new("the shop's");
    let issued = authority.issue(&["shop.example"]);
    let folder = Folder::of(&[("shop", &issued)]);
    (authority, issued, folder)
}

fn shown(weir: &Weir, wants: &Wants, name: &str) -> CertificateDer<'static> {
    Client::tls(weir.address(), wants, name).session().certificate().unwrap().clone()
}

fn handshakes(weir: &Weir, result: &str) -> u64 {
    weir.count("weir_tls_handshakes_total", &format!("result=\"{result}\""))
}

#[test]
fn a_request_in_tls_is_one_of_https() {
    let (authority, _, folder) = shop();
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin)
        .listener(&folder.listener(&["shop"], ""))
        .split("backends: { stable: 1 }")
        .top(&format!("access_log: {{ path: \"{}\" }}", folder.path().join("log").display()))
        .start();
    let mut client = Client::tls(weir.address(), &authority.client(), "shop.example");
    let answer = client.ask("GET https://shop.example/a HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert!(answer.get("set-cookie").unwrap().contains("; Secure"), "{answer:?}");
    let answer = client.ask("GET /b HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert_eq!(client.end(), End::Closed, "the end is said in TLS");
    let seen = origin.requests();
    assert_eq!(seen.iter().map(|request| request.target().to_owned()).collect::<Vec<_>>(), ["/a", "/b"]);
    assert_eq!(seen[0].get("x-forwarded-proto"), Some("https"));
    weir.counts("weir_tls_handshakes_total", &format!("result=\"{}\"", "full"), 1);
    let log = eventually("the log", || {
        fs::read_to_string(folder.path().join("log")).ok().filter(|log| !log.is_empty())
    });
    assert!(log.contains(r#""tls.protocol.version":"1.3""#), "{log}");
}

#[test]
fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
    let authority = Authority::new("a");
    let pairs = [
        ("first", authority.issue(&["first.example"])),
        ("wild", authority.issue(&["*.shop.example"])),
        ("exact", authority.issue(&["www.shop.example", "shop.example"])),
    ];
    let folder = Folder::of(&pairs.each_ref().map(|(name, issued)| (*name, issued)));
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).listener(&folder.listener(&["first", "wild", "exact"], "")).start();
    for (name, expected) in [
        ("first.example", 0),
        ("www.shop.example", 2),
        ("WWW.shop.EXAMPLE", 2),
        ("shop.example", 2),
        ("other.shop.example", 1),
        ("deep.other.shop.example", 0),
        ("unknown.example", 0),
        ("127.0.0.1", 0),
    ] {
        for wants in [Wants::versions(&[&TLS12]), Wants::versions(&[&TLS13])] {
            assert_eq!(shown(&weir, &wants, name), pairs[expected].1.der(), "{name}");
        }
    }
}

#[test]
fn versions_and_protocols_are_those_that_both_speak() {
    let (authority, _, folder) = shop();
    let origin = Origin::named("ok");
    let setup = Setup::before(&origin);
    let weir = setup.clone().listener(&folder.listener(&["shop"], "")).start();
    for (offers, expected) in [
        (&["http/1.1"][..], Some("http/1.1")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let client = Client::tls(weir.address(), &authority.client().alpn(offers), "shop.example");
        assert_eq!(client.session().alpn().as_deref(), expected, "{offers:?}");
    }
    let none = authority.client().alpn(&["spdy/3"]);
    assert!(Client::try_tls(weir.address(), &none, "shop.example").is_err());
    let mut old = Client::tls(weir.address(), &Wants::versions(&[&TLS12]), "shop.example");
    assert_eq!(old.ask(GET).status, 200);
    weir.counts("weir_tls_handshakes_total", &format!("result=\"{}\"", "incompatible"), 1);
    let weir = setup.listener(&folder.listener(&["shop"], "min_version: \"1.3\"")).start();
    assert!(Client::try_tls(weir.address(), &Wants::versions(&[&TLS12]), "shop.example").is_err());
    assert_eq!(Client::tls(weir.address(), &Wants::versions(&[&TLS13]), "shop.example").ask(GET).status, 200);
    weir.counts("weir_tls_handshakes_total", &format!("result=\"{}\"", "incompatible"), 1);
}

#[test]
fn sessions_are_resumed_across_reloads_and_new_certificates() {
    let (authority, _, folder) = shop();
    let origin = Origin::named("ok");
    let setup = Setup::before(&origin).listener(&folder.listener(&["shop"], "")).workers(2);
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let wants = Wants::versions(versions);
        let weir = setup.start();
        let resumes = || {
            let mut client = Client::tls(weir.address(), &wants, "shop.example");
            // The ticket of TLS 1.3 comes with the first bytes of an answer.
            assert_eq!(client.ask(GET).status, 200);
            client.session().is_resumed()
        };
        assert!(!resumes());
        assert!(resumes());
        weir.rewrite(&setup.clone().top("trusted_proxies: [10.0.0.0/8]"));
        assert!(resumes(), "the control file has changed");
        let renewed = authority.issue(&["shop.example"]);
        renewed.write(folder.path(), "shop");
        eventually("the new certificate", || {
            (shown(&weir, &Wants::anything(), "shop.example") == renewed.der()).then_some(())
        });
        assert!(resumes(), "the certificate has changed");
        assert!(handshakes(&weir, "resumed") >= 3);
    }
}

#[test]
fn a_renewed_certificate_is_for_new_connections() {
    let (authority, first, folder) = shop();
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).listener(&folder.listener(&["shop"], "")).start();
    let mut early = Client::tls(weir.address(), &authority.client(), "shop.example");
    assert_eq!(early.ask(GET).status, 200);
    assert_eq!(early.session().certificate(), Some(&first.der()));
    let renewed = authority.issue(&["shop.example"]);
    // The key comes later: until then the two files are no pair, and the old pair is shown.
    fs::write(folder.path().join("new"), &renewed.chain).unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("shop.crt")).unwrap();
    eventually("a look", || {
        (weir.metric("weir_certificates_last_reload_successful", "") < 0.5).then_some(())
    });
    assert_eq!(shown(&weir, &authority.client(), "shop.example"), first.der());
    fs::write(folder.path().join("new"), &renewed.key).unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("shop.key")).unwrap();
    eventually("the new certificate", || {
        (shown(&weir, &authority.client(), "shop.example") == renewed.der()).then_some(())
    });
    eventually("that all is well", || {
        (weir.metric("weir_certificates_last_reload_successful", "") > 0.5).then_some(())
    });
    assert_eq!(early.ask(GET).status, 200, "a connection that was there goes on");
}

#[test]
fn a_secret_that_is_swapped_as_kubernetes_does_is_seen() {
    let authority = Authority::new("a");
    let folder = Folder::new();
    let (first, second) = (authority.issue(&["shop.example"]), authority.issue(&["shop.example"]));
    for (version, issued) in [("..1", &first), ("..2", &second)] {
        fs::create_dir(folder.path().join(version)).unwrap();
        issued.write(&folder.path().join(version), "tls");
    }
    symlink("..1", folder.path().join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(file), folder.path().join(file)).unwrap();
    }
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).listener(&folder.listener(&["tls"], "")).start();
    assert_eq!(shown(&weir, &authority.client(), "shop.example"), first.der());
    symlink("..2", folder.path().join("..data_tmp")).unwrap();
    fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    eventually("the new certificate", || {
        (shown(&weir, &authority.client(), "shop.example") == second.der()).then_some(())
    });
}

#[test]
fn a_bad_file_is_kept_out_and_holds_up_no_other() {
    let authority = Authority::new("a");
    let (bad, good) = (authority.issue(&["bad.example"]), authority.issue(&["good.example"]));
    let folder = Folder::of(&[("bad", &bad), ("good", &good)]);
    let origin = Origin::named("ok");
    let setup = Setup::before(&origin).listener(&folder.listener(&["bad", "good"], ""));
    let weir = setup.start();
    fs::write(folder.path().join("bad.crt"), "no certificate").unwrap();
    eventually("a look", || {
        (weir.metric("weir_certificates_last_reload_successful", "") < 0.5).then_some(())
    });
    let renewed = authority.issue(&["good.example"]);
    renewed.write(folder.path(), "good");
    eventually("the good one", || {
        (shown(&weir, &authority.client(), "good.example") == renewed.der()).then_some(())
    });
    assert_eq!(shown(&weir, &authority.client(), "bad.example"), bad.der());
    let ready = Client::to(weir.running().admin()).ask("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(ready.status == 200 && ready.text().contains("bad.crt holds no certificate"), "{}", ready.text());
    // A change of the control file does not stumble over what is known.
    weir.rewrite(&setup.clone().top("trusted_proxies: [10.0.0.0/8]"));
    assert_eq!(shown(&weir, &authority.client(), "bad.example"), bad.der());
    // One that names a new bad file is refused, and says why.
    fs::write(folder.path().join("worse.crt"), "").unwrap();
    fs::write(folder.path().join("worse.key"), "").unwrap();
    bad.write(folder.path(), "bad");
    weir.write_file(&setup.listener(&folder.listener(&["worse"], "").replace("web", "other")).text());
    let told = eventually("the refusal", || weir.running().control.state().last_reload.error.clone());
    assert!(told.contains("worse.crt holds no certificate that can be read"), "{told}");
}

#[test]
fn an_expired_certificate_is_shown_and_warned_of() {
    let authority = Authority::new("a");
    let old = authority.issue_that(&["shop.example"], Says { expired: true, ..Says::default() });
    let folder = Folder::of(&[("shop", &old)]);
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).listener(&folder.listener(&["shop"], "")).start();
    assert_eq!(shown(&weir, &Wants::anything(), "shop.example"), old.der());
    assert!(Client::try_tls(weir.address(), &authority.client(), "shop.example").is_err());
    eventually("the client's refusal", || (handshakes(&weir, "alert") == 1).then_some(()));
    let ready = Client::to(weir.running().admin()).ask("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(ready.text().contains("shop.crt ended at 2002-01-01T00:00:00"), "{}", ready.text());
    let ends = weir.count("weir_certificate_expiry_timestamp_seconds", "shop.crt");
    assert_eq!(ends, 1_009_843_200);
}

/// A listener that asks clients for certificates of the authority that is given back.
fn asking(mode: &str) -> (Authority, Folder, String) {
    let clients = Authority::new("clients'");
    let folder = Folder::of(&[("shop", &Authority::new("a").issue(&["shop.example"]))]);
    fs::write(folder.path().join("clients.crt"), clients.pem()).unwrap();
    let ca = folder.path().join("clients.crt");
    let keys = format!("client_auth: {{ mode: {mode}, ca_file: \"{}\" }}", ca.display());
    let listener = folder.listener(&["shop"], &keys);
    (clients, folder, listener)
}

const FORGED: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Client-Cert: Hash=0\r\nX_Forwarded_Client_Cert: Hash=0\r\n\
                      Connection: X-Forwarded-Client-Cert\r\n\r\n";

#[test]
fn who_a_client_is_goes_to_the_backend_and_nobody_can_say_it_himself() {
    let (clients, _folder, listener) = asking("optional");
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).top("trusted_proxies: [127.0.0.0/8]").listener(&listener).start();
    let says = Says { common_name: "billing", uris: &["spiffe://prod/billing"], expired: false };
    let known = clients.issue_that(&["billing.internal"], says);
    let nobody = Wants::anything();
    for (wants, expected) in [
        (
            Wants::anything().showing(&known),
            Some(";Subject=\"CN=billing\";DNS=billing.internal;URI=spiffe://prod/billing"),
        ),
        (nobody.clone(), None),
        // The same sessions again, resumed.
        (nobody, None),
    ] {
        let mut client = Client::tls(weir.address(), &wants, "shop.example");
        assert_eq!(client.ask(FORGED).status, 200);
        let request = origin.requests().pop().unwrap();
        let told = request.get("x-forwarded-client-cert").map(|told| told["Hash=".len() + 64..].to_owned());
        assert_eq!(told.as_deref(), expected);
        assert!(!request.has("x_forwarded_client_cert"));
    }
    // Whoever shows what nobody vouches for is turned away, even where nothing must be shown.
    let stranger = Wants::anything().showing(&Authority::new("a stranger's").issue(&["billing.internal"]));
    let mut client = Client::tls(weir.address(), &stranger, "shop.example");
    assert!(!client.try_send(FORGED) || client.try_response().is_err());
    weir.counts("weir_tls_handshakes_total", &format!("result=\"{}\"", "client_certificate"), 1);
}

#[test]
fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let (clients, _folder, listener) = asking("required");
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin).listener(&listener).start();
    let wants = Wants::anything().showing(&clients.issue(&["a"]));
    for resumed in [false, true] {
        let mut client = Client::tls(weir.address(), &wants, "shop.example");
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").status, 200);
        assert_eq!(client.session().is_resumed(), resumed);
        assert!(origin.requests().pop().unwrap().has("x-forwarded-client-cert"), "resumed: {resumed}");
    }
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let bare = Wants::versions(versions);
        let refused = match Client::try_tls(weir.address(), &bare, "shop.example") {
            Ok(mut client) => !client.try_send(GET) || client.try_response().is_err(),
            Err(_) => true,
        };
        assert!(refused, "{versions:?}");
    }
    weir.counts("weir_tls_handshakes_total", &format!("result=\"{}\"", "client_certificate"), 2);
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_ticket_is_good_only_where_the_same_is_asked_of_clients() {
    let (_clients, folder, listener) = asking("optional");
    let origin = Origin::named("ok");
    let setup = Setup::before(&origin);
    let weir = setup.clone().listener(&listener).start();
    let bare = Wants::anything();
    let mut client = Client::tls(weir.address(), &bare, "shop.example");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").status, 200);
    // Other authorities: whom the old ones vouched for is to be checked again.
    let others = Authority::new("others'");
    fs::write(folder.path().join("clients.crt"), others.pem()).unwrap();
    let shows = Wants::anything().showing(&others.issue(&["a"]));
    eventually("the other authorities", || {
        let mut client = Client::tls(weir.address(), &shows, "shop.example");
        client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        client.try_response().ok()
    });
    let mut client = Client::tls(weir.address(), &bare, "shop.example");
    assert!(!client.session().is_resumed());
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").status, 200);
    // And where a certificate is required from now on, a session without one is none.
    weir.rewrite(&setup.listener(&listener.replace("optional", "required")));
    let mut client = Client::tls(weir.address(), &bare, "shop.example");
    assert!(!client.session().is_resumed());
    assert!(!client.try_send(GET) || client.try_response().is_err());
}

#[test]
fn a_connection_for_one_host_asks_for_another_only_where_nobody_is_checked() {
    let (_clients, folder, listener) = asking("optional");
    let origin = Origin::named("ok");
    let plain = folder.listener(&["shop"], "").replace("name: web", "name: plain");
    let weir = Setup::before(&origin).listener(&listener).listener(&plain).start();
    for (listener, name, host, expected) in [
        ("web", "shop.example", "shop.example", 200),
        ("web", "shop.example", "SHOP.example:8443", 200),
        ("web", "shop.example", "admin.example", 421),
        ("web", "127.0.0.1", "admin.example", 200),
        ("plain", "shop.example", "admin.example", 200),
    ] {
        let mut client = Client::tls(weir.address_of(listener), &Wants::anything(), name);
        let answer = client.ask(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, expected, "{name} {host}");
    }
    weir.counts("weir_requests_refused_total", "reason=\"host\"", 1);
}

#[test]
fn a_client_in_the_clear_is_told_what_is_wrong() {
    let (authority, _, folder) = shop();
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin)
        .listener(&folder.listener(&["shop"], ""))
        .listener("name: plain, bind: \"127.0.0.1:0\"")
        .start();
    for body in [0, 200_000] {
        let mut client = weir.client();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {body}\r\n\r\n");
        client.try_send([head.as_bytes(), &pattern(body)].concat());
        let answer = client.response();
        assert_eq!((answer.status, answer.get("connection")), (400, Some("close")));
        assert!(answer.text().contains("TLS"), "{}", answer.text());
        client.half_close();
        assert_eq!(client.end(), End::Closed);
    }
    eventually("both counted", || (handshakes(&weir, "plaintext") == 2).then_some(()));
    let mut client = weir.client();
    assert_eq!(client.send([0, 1, 2]).everything().0, "");
    eventually("counted", || (handshakes(&weir, "malformed") == 1).then_some(()));
    // And the other way round: TLS where none is spoken.
    let error = Client::try_tls(weir.address_of("plain"), &authority.client(), "shop.example").err();
    assert!(error.is_some());
    assert!(origin.requests().is_empty());
}

#[test]
fn a_handshake_has_a_time() {
    let (_, _, folder) = shop();
    let origin = Origin::named("ok");
    let weir =
        Setup::before(&origin).listener(&folder.listener(&["shop"], "handshake_timeout: 50ms")).start();
    let mut silent = weir.client();
    // The beginning of a record, and no more.
    let mut slow = weir.client();
    slow.send([22, 3, 1, 2, 0, 1]);
    for client in [&mut silent, &mut slow] {
        client.everything();
    }
    eventually("both counted", || (handshakes(&weir, "timeout") == 2).then_some(()));
    drop(weir.client());
    eventually("who left", || (handshakes(&weir, "gone") == 1).then_some(()));
}

#[test]
fn bodies_go_both_ways_whole_and_a_cut_is_visible() {
    let (authority, _, folder) = shop();
    let body = pattern(3_000_000);
    let answer = body.clone();
    let origin = Origin::scripted(move |peer| {
        while let Some(request) = peer.request() {
            match request.target() {
                "/echo" => {
                    peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
                    peer.send(&request.body);
                }
                "/short" => {
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
                    return;
                }
                _ => {
                    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                    peer.send(&answer);
                    return;
                }
            }
        }
    });
    let weir = Setup::before(&origin).listener(&folder.listener(&["shop"], "")).start();
    let connect = || Client::tls(weir.address(), &authority.client(), "shop.example");
    let mut client = connect();
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    for _ in 0..2 {
        let answer = client.ask([head.as_bytes(), &body].concat());
        assert!(answer.status == 200 && answer.body == body);
    }
    // HTTP/1.0 gets a body that ends with the connection: in TLS the end must be said.
    let mut client = connect();
    let answer = client.ask("GET /all HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(answer.body == body);
    let mut client = connect();
    client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(client.try_response(), Err(Broken::Ended(..))));
    // A client that says that it will send no more still gets its answer.
    let mut client = connect();
    client.send("GET /all HTTP/1.1\r\nHost: a\r\n\r\n").half_close();
    assert!(client.response().body == body);
    assert_eq!(client.end(), End::Closed);
    // One that just stops within its body is gone, and the origin sees no whole request.
    let mut client = connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    client.close();
    eventually("the abort", || {
        (weir.count("weir_upstream_errors_total", "aborted_by_client") == 1).then_some(())
    });
}
