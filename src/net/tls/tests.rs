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
    let choice = server::choice_of(parts.certificates.clone());
    for (name, expected) in [
        (None, 0),
        (Some("first.example"), 0),
        (Some("FIRST.example"), 0),
        (Some("www.example"), 2),
        (Some("other.example"), 1),
        (Some("deep.other.example"), 0),
        (Some("example"), 0),
    ] {
        assert!(Arc::ptr_eq(&choice(name).unwrap(), &keys[expected]), "{name:?}");
    }
    assert!(ServerTls::new(parts, &Tickets::new().unwrap()).is_ok());
}

#[test]
fn authorities_must_be_there() {
    let auth = ClientAuth { authorities: ("ca.pem", b"nothing"), required: true };
    let parts = ServerParts {
        certificates: vec![certificate(&["a"])],
        min_version: MinVersion::Tls13,
        alpn: vec![],
        client_auth: Some(auth),
        handshake_timeout: Duration::ZERO,
    };
    let error = ServerTls::new(parts, &Tickets::new().unwrap()).unwrap_err();
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
