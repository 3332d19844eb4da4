//! gRPC through Weir: what it answers itself is a gRPC status.

use std::net::{SocketAddr, TcpListener};

use crate::support::{Setup, streams::ask};

/// Asks with this content type over HTTP/2 in the clear; gives the response and its body.
fn call(address: SocketAddr, content_type: &str) -> (http::Response<()>, Vec<u8>) {
    let request = http::Request::post("http://a/shop.Cart/Add").header("content-type", content_type);
    ask(address, request.body(()).unwrap(), &[b"\0\0\0\0\0"])
}

#[test]
fn a_failure_is_a_grpc_status() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = "name: web, bind: \"127.0.0.1:0\", protocols: [h2c]";
    let weir = Setup::new().listener(listener).backend_with("stable", &[nobody], "protocol: h2c").start();

    for content_type in ["application/grpc", "application/grpc+proto"] {
        let (head, body) = call(weir.address(), content_type);
        assert_eq!(head.status(), 200, "{head:?}");
        assert_eq!(head.headers()["content-type"], "application/grpc");
        assert_eq!(head.headers()["grpc-status"], "14", "UNAVAILABLE");
        assert!(!head.headers()["grpc-message"].is_empty());
        assert!(body.is_empty());
    }

    let (head, body) = call(weir.address(), "application/json");
    assert!(head.status().is_server_error(), "{head:?}");
    assert!(!head.headers().contains_key("grpc-status") && !body.is_empty());
}

#[test]
fn no_route_is_unimplemented() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = "name: web, bind: \"127.0.0.1:0\", protocols: [h2c]";
    let route =
        "name: other, match: { hosts: [other.example] }, split: { backends: [{ name: stable, weight: 1 }] }";
    let weir = Setup::new().listener(listener).backend("stable", &[nobody]).route(route).start();
    let (head, _) = call(weir.address(), "application/grpc");
    assert_eq!((head.status().as_u16(), &head.headers()["grpc-status"].as_bytes()), (200, &&b"12"[..]));
}
