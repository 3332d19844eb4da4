//! Addresses by table, and calls over real sockets.

use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    net::tls::{Authorities, Certificate, MinVersion, ServerParts, ServerTls, Tickets},
    rollout::outside::stub::{Answer, Stub},
};

/// For what answers at once; only a test that hangs waits for it.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn only_addresses_of_the_web_are_called() {
    for (text, at, target) in [
        ("http://checks/kpi?a=b", "checks:80", "/kpi?a=b"),
        ("https://hooks.example.com", "hooks.example.com:443", "/"),
        ("http://[::1]:9090/prom/", "[::1]:9090", "/prom/"),
    ] {
        let url = Url::parse(text).unwrap();
        assert_eq!((url.at().as_str(), url.target.as_str()), (at, target), "{text}");
    }
    for text in [
        "/kpi",
        "ftp://checks/kpi",
        "http://",
        "http://user:pass@checks/",
        "http://checks:port/",
        "http://a b/",
        "",
    ] {
        assert!(matches!(Url::parse(text), Err(CallError::Url(_))), "{text}");
    }
}

#[test]
fn queries_are_encoded_below_the_path_of_the_server() {
    let url = Url::parse("http://prometheus:9090/prom/?old=1").unwrap();
    let below = url.below("/api/v1/query", &[("query", "sum(rate(a{b=\"c\"}[1m])) + 1"), ("timeout", "5s")]);
    assert_eq!(
        below.target,
        "/prom/api/v1/query?query=sum%28rate%28a%7Bb%3D%22c%22%7D%5B1m%5D%29%29%20%2B%201&timeout=5s"
    );
}

#[test]
fn an_answer_is_kept_as_a_short_line() {
    let long = "x".repeat(300);
    for (body, expected) in [
        ("", "403"),
        ("Forbidden\n", "403: Forbidden"),
        ("two\r\nlines", "403: two  lines"),
        (long.as_str(), &format!("403: {}", &long[..200])),
    ] {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let reply = Reply { status: StatusCode::FORBIDDEN, headers: HeaderMap::new(), body, is_whole: true };
        assert_eq!(reply.said(), expected);
    }
}

fn made(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn trusting(pem: &str) -> Client {
    let authorities = Authorities::from_pem(("ca.pem", pem.as_bytes())).unwrap();
    let parts = ClientParts {
        authorities: Some(&authorities),
        server_name: None,
        verify: true,
        certificate: None,
        alpn: vec![b"http/1.1"],
    };
    Client::with_tls(ClientTls::new(parts).unwrap())
}

async fn secure(name: &str) -> (Stub, String) {
    let (chain, key) = made(name);
    let certificate =
        Certificate::from_pem(("chain.pem", chain.as_bytes()), ("key.pem", key.as_bytes())).unwrap();
    let parts = ServerParts {
        certificates: vec![certificate],
        min_version: MinVersion::Tls12,
        alpn: vec![b"http/1.1"],
        client_auth: None,
        handshake_timeout: Duration::ZERO,
    };
    let tls = ServerTls::new(parts, &Tickets::new().unwrap()).unwrap();
    let stub = Stub::start_with(Some(TlsAcceptor::from(tls.config)), |_| Answer::of(200, "hello")).await;
    (stub, chain)
}

#[tokio::test]
async fn tls_is_only_with_whom_the_address_names() {
    let (stub, chain) = secure("localhost").await;
    let port = stub.address.port();
    let call = |host: &str| Call::get(Url::parse(&format!("https://{host}:{port}/")).unwrap());
    let reply = trusting(&chain).send(call("localhost"), LIMIT).await.unwrap();
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"hello"[..]));
    for (client, host) in [(trusting(&chain), "127.0.0.1"), (trusting(&made("localhost").0), "localhost")] {
        let error = client.send(call(host), LIMIT).await.unwrap_err();
        assert!(matches!(error, CallError::Tls { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("no TLS with {host}:{port}: ")), "{error}");
    }
    assert_eq!(stub.asked().len(), 1);
}

#[tokio::test]
async fn no_more_of_an_answer_is_read_than_was_wanted() {
    let stub = Stub::answering(200, &"x".repeat(1000)).await;
    for (limit, length, is_whole) in
        [(999, 999, false), (1000, 1000, true), (1001, 1000, true), (0, 0, false)]
    {
        let call = Call::get(Url::parse(&stub.url("/")).unwrap()).reading(limit);
        let reply = Client::new().send(call, LIMIT).await.unwrap();
        assert_eq!((reply.body.len(), reply.is_whole), (length, is_whole), "{limit}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_said_with_host_and_port_alone() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        for says in ["", "hello\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            tokio::io::AsyncReadExt::read(&mut stream, &mut head).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, says.as_bytes()).await.unwrap();
        }
    });
    for _ in 0..3 {
        let call = Call::get(Url::parse(&format!("http://{at}/services/secret")).unwrap());
        let error = Client::new().send(call, LIMIT).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("no answer from {at}: ")), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    server.await.unwrap();
    let gone =
        Client::new().send(Call::get(Url::parse("http://nowhere.invalid/secret").unwrap()), LIMIT).await;
    let gone = gone.unwrap_err().to_string();
    assert!(gone.starts_with("cannot look up nowhere.invalid: ") && !gone.contains("secret"), "{gone}");
}
