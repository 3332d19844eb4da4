//! Opening a connection to an endpoint.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::Endpoint;
use crate::{
    net::{Plain, Stream, tls::ClientTls},
    types::Address,
};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not within the time allowed.
    #[error("no connection to {address} within {after:?}")]
    Timeout {
        /// The endpoint.
        address: Address,
        /// The time allowed.
        after: Duration,
    },
    /// Refused, unreachable, or out of sockets here.
    #[error("no connection to {address}")]
    Io {
        /// The endpoint.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS handshake failed: the endpoint is not believed, does not speak TLS, or does not believe Weir.
    #[error("no TLS with {address}")]
    Tls {
        /// The endpoint.
        address: Address,
        /// Why.
        source: io::Error,
    },
}

/// Connects to `endpoint`, with TLS if there is `tls`, all within `timeout`; zero means as long as the system tries.
///
/// # Errors
/// When the endpoint refuses, cannot be reached, is not whom it should be, or does not answer in time.
pub async fn open(
    endpoint: &Endpoint,
    tls: Option<&ClientTls>,
    timeout: Duration,
) -> Result<Stream, ConnectError> {
    let Some(tls) = tls else { return Ok(plain(endpoint, timeout).await?.into()) };
    let opening = async {
        let failed = |source| ConnectError::Tls { address: endpoint.address.clone(), source };
        let stream = plain(endpoint, Duration::ZERO).await?;
        let Some(name) = tls.name_of(&endpoint.address, endpoint.host.as_deref()) else {
            return Err(failed(io::Error::other("no name that its certificate could have")));
        };
        TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream).await.map_err(failed)
    };
    let opened = within(timeout, endpoint, opening).await?;
    Ok(Stream::Tls(Box::new(opened.into())))
}

/// Connects to `endpoint` within `timeout`; zero means as long as the system tries.
///
/// # Errors
/// When the endpoint refuses, cannot be reached, or does not answer in time.
pub async fn plain(endpoint: &Endpoint, timeout: Duration) -> Result<Plain, ConnectError> {
    let connecting = async {
        let connected = match &endpoint.address {
            Address::Tcp(address) => tcp(*address).await.map(Plain::Tcp),
            Address::Unix(path) => UnixStream::connect(path).await.map(Plain::Unix),
        };
        connected.map_err(|source| ConnectError::Io { address: endpoint.address.clone(), source })
    };
    within(timeout, endpoint, connecting).await
}

async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn within<T>(
    timeout: Duration,
    endpoint: &Endpoint,
    opening: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    if timeout.is_zero() {
        return opening.await;
    }
    match tokio::time::timeout(timeout, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(ConnectError::Timeout { address: endpoint.address.clone(), after: timeout }),
    }
}
