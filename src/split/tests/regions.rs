//! Where regions come from, with a database of the documentation networks (tests/fixtures/make_mmdb.py).

use std::path::Path;

use super::*;

fn database() -> GeoDatabase {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/country-test.mmdb");
    GeoDatabase::open(&path).unwrap()
}

fn sources() -> RegionSources {
    RegionSources {
        headers: vec![RegionHeader {
            name: "CF-IPCountry".into(),
            from: ["203.0.113.7/32".parse().unwrap()].into_iter().collect(),
        }],
        database: Some(std::sync::Arc::new(database())),
        networks: Networks::new([
            ("192.0.2.0/24".parse().unwrap(), name("office")),
            ("10.20.0.0/16".parse().unwrap(), name("us-east")),
        ]),
    }
}

#[test]
fn the_first_source_that_knows_decides() {
    for (ip, header, listener, expected) in [
        ("10.20.1.1", None, None, "us-east"),
        ("10.21.1.1", None, None, UNKNOWN),
        ("192.0.2.9", None, None, "DE"),
        ("198.51.100.9", None, None, "US-CA"),
        ("203.0.113.9", None, None, "FR"),
        ("203.0.113.200", None, None, "US"),
        ("2001:db8::9", None, None, "JP"),
        ("::ffff:192.0.2.9", None, None, "DE"),
        ("203.0.113.7", Some("at"), None, "at"),
        ("203.0.113.7", Some("XX"), None, "FR"),
        ("203.0.113.7", Some("zz"), None, "FR"),
        ("203.0.113.7", Some(" "), None, "FR"),
        ("203.0.113.8", Some("at"), None, "FR"),
        ("203.0.113.7", Some("at"), Some("eu-west"), "eu-west"),
    ] {
        let mut client = Client::new();
        client.regions = sources();
        client.ip = ip.parse().unwrap();
        client.listener = listener.map(name);
        client.headers.extend(header.map(|value| ("cf-ipcountry".to_owned(), value.to_owned())));
        let region = client.on(|request, context| context.regions.region(request).to_string());
        assert_eq!(region, expected, "{ip} {header:?} {listener:?}");
    }
}

#[test]
fn a_country_is_meant_with_all_its_subdivisions() {
    let database = database();
    for (ip, rule, expected) in [
        ("198.51.100.9", "US", true),
        ("198.51.100.9", "us-ca", true),
        ("198.51.100.9", "US-NY", false),
        ("198.51.100.9", "USCA", false),
        ("203.0.113.200", "US-CA", false),
        ("203.0.113.200", "Us", true),
    ] {
        let region = database.region(ip.parse().unwrap()).unwrap();
        assert_eq!(region.is(rule), expected, "{ip} {rule}");
    }
    assert_eq!(database.region("10.0.0.1".parse().unwrap()), None);
}

#[test]
fn what_is_no_database_is_refused() {
    for bytes in [&b""[..], b"not a database", include_bytes!("../../../Cargo.toml")] {
        assert!(matches!(GeoDatabase::from_bytes(bytes.to_vec()), Err(GeoDatabaseError::Unreadable(_))));
    }
    assert!(GeoDatabase::open(Path::new("/nonexistent")).is_err());
}
