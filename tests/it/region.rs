//! Where a request comes from: a listener's label, a header, a database that is replaced while it runs, networks.

use std::{fs, path::Path};

use crate::support::{Client, Origin, Setup, Weir, weir::eventually};

const RULES: &str = "name: all, rules: [ { match: { region: DE }, backend: german }, { match: { region: [US, us-east] }, \
                     backend: american }, { match: { region: ZZ }, backend: unknown } ], split: { key: none, backends: { stable: 1 } }";

fn setup(origins: &[(&str, Origin)]) -> Setup {
    let mut setup = Setup::new().route(RULES).top("trusted_proxies: [127.0.0.0/8]");
    for (name, origin) in origins {
        setup = setup.backend(name, &[origin.address]);
    }
    setup
}

fn origins() -> Vec<(&'static str, Origin)> {
    ["stable", "german", "american", "unknown"].map(|name| (name, Origin::named(name))).into()
}

fn from(weir: &Weir, fields: &str) -> String {
    weir.client().ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).text()
}

#[test]
fn the_first_source_that_knows_decides() {
    let origins = origins();
    let weir = setup(&origins)
        .top("geo: { trusted_header: { name: CF-IPCountry }, networks: [ { cidr: 10.20.0.0/16, region: us-east } ] }")
        .listener("name: web, bind: \"127.0.0.1:0\"")
        .listener("name: german, bind: \"127.0.0.1:0\", region: de")
        .start();
    assert_eq!(from(&weir, ""), "unknown");
    assert_eq!(from(&weir, "CF-IPCountry: DE\r\n"), "german");
    assert_eq!(from(&weir, "CF-IPCountry: us\r\n"), "american");
    assert_eq!(from(&weir, "CF-IPCountry: FR\r\n"), "stable");
    assert_eq!(from(&weir, "CF-IPCountry: XX\r\n"), "unknown");
    assert_eq!(from(&weir, "X-Forwarded-For: 10.20.3.4\r\n"), "american");
    assert_eq!(from(&weir, "CF-IPCountry: DE\r\nX-Forwarded-For: 10.20.3.4\r\n"), "german");
    let mut labelled = Client::to(weir.address_of("german"));
    assert_eq!(labelled.ask("GET / HTTP/1.1\r\nHost: a\r\nCF-IPCountry: US\r\n\r\n").text(), "german");
}

#[test]
fn a_header_is_believed_from_its_own_peers_only() {
    let origins = origins();
    let weir =
        setup(&origins).top("geo: { trusted_header: { name: CF-IPCountry, from: [10.0.0.0/8] } }").start();
    assert_eq!(from(&weir, "CF-IPCountry: DE\r\n"), "unknown");
}

#[test]
fn a_database_is_read_again_when_it_changes() {
    let origins = origins();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/country-test.mmdb");
    let folder = tempfile::TempDir::new().unwrap();
    let database = folder.path().join("country.mmdb");
    fs::copy(&fixture, &database).unwrap();
    let weir = setup(&origins).top(&format!("geo: {{ database: \"{}\" }}", database.display())).start();
    let german = "X-Forwarded-For: 192.0.2.7\r\n";
    assert_eq!(from(&weir, german), "german");
    assert_eq!(from(&weir, "X-Forwarded-For: 198.51.100.7\r\n"), "american");
    assert_eq!(from(&weir, "X-Forwarded-For: 203.0.113.7\r\n"), "stable");
    assert_eq!(from(&weir, "X-Forwarded-For: 8.8.8.8\r\n"), "unknown");

    // The same database with Germany renamed, put in place as a downloader does.
    let mut bytes = fs::read(&fixture).unwrap();
    let at = bytes.windows(3).position(|window| window == b"\x42DE").expect("the fixture has Germany");
    bytes[at + 1..at + 3].copy_from_slice(b"US");
    let replace = |bytes: &[u8]| {
        let draft = folder.path().join("draft");
        fs::write(&draft, bytes).unwrap();
        fs::rename(&draft, &database).unwrap();
    };
    replace(&bytes);
    eventually("the new database", || (from(&weir, german) == "american").then_some(()));

    // A damaged one changes nothing, and the next good one is taken.
    replace(b"no database");
    replace(&fs::read(&fixture).unwrap());
    eventually("the old database", || (from(&weir, german) == "german").then_some(()));
}
