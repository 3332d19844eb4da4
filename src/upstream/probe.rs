//! One health probe: a new connection, a question over it, and the answer that is expected.
//!
//! It speaks what requests to the endpoint speak, with the same TLS, so that what it finds is what they would find.

mod grpc;

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;

use super::{Endpoint, connect, health::HealthCheck};
use crate::{
    net::Stream,
    types::{Probe, cause::chain},
};

const USER_AGENT: &str = "weir-health-check";

/// Probes once; waits for as long as it takes.
///
/// # Errors
/// Why the endpoint did not pass.
pub(super) async fn probe(endpoint: &Endpoint, spec: &HealthCheck) -> Result<(), String> {
    let opened = connect::open(endpoint, spec.tls.as_deref(), Duration::ZERO).await;
    let stream = opened.map_err(|error| chain(&error))?;
    let named = |host: &Option<String>| host.clone().unwrap_or_else(|| endpoint.authority());
    let scheme = if spec.tls.is_some() { "https" } else { "http" };
    let is_h2 = spec.protocol.is_h2(&stream);
    match &spec.probe {
        Probe::Http { path, host, expected_status } => {
            let host = named(host);
            let status = if is_h2 {
                over_h2(stream, uri(scheme, &host, path)?).await?
            } else {
                over_h1(stream, path, &host).await?
            };
            let expected = expected_status.iter().any(|(low, high)| (*low..=*high).contains(&status));
            if expected { Ok(()) } else { Err(format!("status {status}")) }
        }
        Probe::Grpc { service, host } if is_h2 => {
            let uri = uri(scheme, &named(host), grpc::PATH)?;
            let (status, trailers, answer) =
                exchange(stream, grpc::request(uri)?, grpc::question(service)).await?;
            grpc::verdict(status, &trailers, &answer)
        }
        Probe::Grpc { .. } => Err("the endpoint did not choose HTTP/2, which gRPC needs".to_owned()),
        Probe::Tcp => Ok(()),
    }
}

fn uri(scheme: &str, host: &str, path: &str) -> Result<Uri, String> {
    let built = Uri::builder().scheme(scheme).authority(host).path_and_query(path).build();
    built.map_err(|error| chain(&error))
}

async fn over_h1(stream: Stream, path: &str, host: &str) -> Result<u16, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| chain(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| chain(&error))?;
        let status = response.status().as_u16();
        // The body is read to its end, so that a backend that dies in the middle of it does not pass.
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| chain(&error))?;
        }
        Ok(status)
    };
    driven(exchange, async { drop(connection.await) }).await
}

async fn over_h2(stream: Stream, uri: Uri) -> Result<u16, String> {
    let request = Request::get(uri).header(header::USER_AGENT, USER_AGENT).body(());
    let request = request.map_err(|error| chain(&error))?;
    exchange(stream, request, Bytes::new()).await.map(|(status, _, _)| status)
}

/// A request with `body` over a new HTTP/2 connection: the response's status, its trailers (or, of a response that is
/// nothing but a head, that) and its body, of which no more than [`MAX_ANSWER`] bytes are kept.
async fn exchange(
    stream: Stream,
    request: Request<()>,
    body: Bytes,
) -> Result<(u16, header::HeaderMap, Vec<u8>), String> {
    let (sender, connection) = h2::client::handshake(stream).await.map_err(|error| chain(&error))?;
    let exchange = async {
        let mut sender = sender.ready().await.map_err(|error| chain(&error))?;
        let (answer, mut upload) =
            sender.send_request(request, body.is_empty()).map_err(|error| chain(&error))?;
        if !body.is_empty() {
            upload.send_data(body, true).map_err(|error| chain(&error))?;
        }
        let response = answer.await.map_err(|error| chain(&error))?;
        let status = response.status().as_u16();
        let (head, mut body) = response.into_parts();
        let mut kept = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(|error| chain(&error))?;
            body.flow_control().release_capacity(data.len()).map_err(|error| chain(&error))?;
            kept.extend(data.iter().take(MAX_ANSWER - kept.len()));
        }
        let trailers = body.trailers().await.map_err(|error| chain(&error))?;
        Ok((status, trailers.unwrap_or(head.headers), kept))
    };
    driven(exchange, async { drop(connection.await) }).await
}

/// Bytes that are kept of an answer; one of the gRPC health service has seven.
const MAX_ANSWER: usize = 1024;

/// The exchange's result, while the connection is driven. The connection's own errors reach the exchange, so its end is
/// nothing to wait for.
async fn driven<T>(
    exchange: impl Future<Output = Result<T, String>>,
    connection: impl Future<Output = ()>,
) -> Result<T, String> {
    let driver = async {
        connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = exchange => result,
        () = driver => Err("connection closed".to_owned()),
    }
}
