//! Certificates by table: what is read, which is chosen, what is refused.

use std::time::Duration;

use super::*;

fn made(names: &[&str]) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let made = made.unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn certificate(names: &[&str]) -> Certificate {
    let (chain, key) = made(names);
    Certificate::from_pem(("chain.pem", chain.as_bytes()), ("key.pem", key.as_bytes())).unwrap()
}

#[test]
fn names_and_end_are_read() {
    let certificate = certificate(&["Shop.example", "*.shop.example"]);
    assert_eq!(certificate.names, ["shop.example", "*.shop.example"]);
    assert!(certificate.not_after > Duration::from_secs(1_700_000_000));
}

#[test]
fn what_is_no_pair_is_refused() {
    let ((chain, key), (_, other)) = (made(&["a"]), made(&["a"]));
    for (chain, key, expected) in [
        (
            chain.as_str(),
            other.as_str(),
            "the private key in key.pem is not that of the certificate in chain.pem",
        ),
        ("nonsense", &key, "chain.pem holds no certificate that can be read"),
        (&chain, "nonsense", "key.pem holds no private key that can be read"),
        (&chain, &chain, "key.pem holds no private key that can be read"),
    ] {
        let error =
            Certificate::from_pem(("chain.pem", chain.as_bytes()), ("key.pem", key.as_bytes())).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_client_gets_the_certificate_of_its_name() {
    let parts = ServerParts {
        certificates: vec![
            certificate(&["first.example"]),
            certificate(&["*.example"]),
            certificate(&["www.example"]),
        ],
        min_version: MinVersion::Tls12,
        alpn: vec![b"h2", b"http/1.1"],
        client_auth: None,
        handshake_timeout: Duration::ZERO,
    };
    let keys: Vec<_> = parts.certificates.iter().map(|certificate| Arc::clone(&certificate.key)).collect();
    let choice = server::Choice::new(&parts.certificates);
    let schemes = [rustls::SignatureScheme::ECDSA_NISTP256_SHA256];
    for (name, expected) in [
        (None, 0),
        (Some("first.example"), 0),
        (Some("FIRST.example"), 0),
        (Some("www.example"), 2),
        (Some("other.example"), 1),
        (Some("deep.other.example"), 0),
        (Some("example"), 0),
    ] {
        assert!(Arc::ptr_eq(&choice.find(name, &schemes).unwrap(), &keys[expected]), "{name:?}");
    }
    assert!(ServerTls::new(parts, &Tickets::new().unwrap()).is_ok());
}

#[test]
fn of_several_kinds_of_keys_the_first_that_the_client_can_check_is_taken() {
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let made = params.self_signed(&other).unwrap();
    let other = Certificate::from_pem(
        ("chain.pem", made.pem().as_bytes()),
        ("key.pem", other.serialize_pem().as_bytes()),
    );
    let certificates = [other.unwrap(), certificate(&["a.example"])];
    let choice = server::Choice::new(&certificates);
    let [ed25519, p256] = [rustls::SignatureScheme::ED25519, rustls::SignatureScheme::ECDSA_NISTP256_SHA256];
    for name in [Some("a.example"), Some("unknown.example"), None] {
        for (schemes, expected) in [
            (&[p256, ed25519][..], 0),
            (&[ed25519], 0),
            (&[p256], 1),
            (&[rustls::SignatureScheme::RSA_PSS_SHA256], 0),
        ] {
            let found = choice.find(name, schemes).unwrap();
            assert!(Arc::ptr_eq(&found, &certificates[expected].key), "{name:?} {schemes:?}");
        }
    }
}

#[test]
fn authorities_must_be_there() {
    let error = Authorities::from_pem(("ca.pem", b"nothing")).unwrap_err();
    assert_eq!(error.to_string(), "ca.pem holds no certificate");
}

#[test]
fn an_identity_cannot_break_out_of_its_header() {
    let mut params = rcgen::CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "a\";Subject=\"b\r\nX: y");
    params.subject_alt_names.push(rcgen::SanType::URI("spiffe://a/b;c".to_owned().try_into().unwrap()));
    let key = rcgen::KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    let identity = Identity::of(made.der()).unwrap();
    let (hash, rest) = identity.header.split_once(';').unwrap();
    assert_eq!(hash.len(), "Hash=".len() + 64);
    assert_eq!(rest, "Subject=\"CN=a\\\";Subject=\\\"b%0D%0AX: y\";DNS=client.example;URI=spiffe://a/b%3Bc");
}
