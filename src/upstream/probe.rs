//! One health probe: a new connection, a GET, and a status that is expected.
//!
//! It speaks what requests to the endpoint speak, with the same TLS, so that what it finds is what they would find.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;

use super::{Endpoint, connect, health::HealthCheck};
use crate::{net::Stream, types::cause::chain};

/// Probes once; waits for as long as it takes.
///
/// # Errors
/// Why the endpoint did not pass.
pub(super) async fn probe(endpoint: &Endpoint, spec: &HealthCheck) -> Result<(), String> {
    let opened = connect::open(endpoint, spec.tls.as_deref(), Duration::ZERO).await;
    let stream = opened.map_err(|error| chain(&error))?;
    let host = spec.host.clone().unwrap_or_else(|| endpoint.address.host());
    let status = if spec.protocol.is_h2(&stream) {
        over_h2(stream, spec, &host).await?
    } else {
        over_h1(stream, spec, &host).await?
    };
    let expected = spec.expected_status.iter().any(|(low, high)| (*low..=*high).contains(&status));
    if expected { Ok(()) } else { Err(format!("status {status}")) }
}

async fn over_h1(stream: Stream, spec: &HealthCheck, host: &str) -> Result<u16, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    let request = Request::get(&spec.path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "weir-health-check")
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

async fn over_h2(stream: Stream, spec: &HealthCheck, host: &str) -> Result<u16, String> {
    let scheme = if spec.tls.is_some() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(spec.path.as_str());
    let request = Request::get(uri.build().map_err(|error| chain(&error))?)
        .header(header::USER_AGENT, "weir-health-check")
        .body(())
        .map_err(|error| chain(&error))?;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(|error| chain(&error))?;
    let exchange = async {
        let mut sender = sender.ready().await.map_err(|error| chain(&error))?;
        let (answer, _) = sender.send_request(request, true).map_err(|error| chain(&error))?;
        let response = answer.await.map_err(|error| chain(&error))?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            let data = data.map_err(|error| chain(&error))?;
            body.flow_control().release_capacity(data.len()).map_err(|error| chain(&error))?;
        }
        Ok(status)
    };
    driven(exchange, async { drop(connection.await) }).await
}

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
