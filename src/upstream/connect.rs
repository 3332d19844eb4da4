//! Opening a connection to an endpoint.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::net::{Plain, Stream, tls::ClientTls};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not within the time allowed.
    #[error("no connection to {address} within {after:?}")]
    Timeout {
        /// The endpoint.
        address: SocketAddr,
        /// The time allowed.
        after: Duration,
    },
    /// Refused, unreachable, or out of sockets here.
    #[error("no connection to {address}")]
    Io {
        /// The endpoint.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS handshake failed: the endpoint is not believed, does not speak TLS, or does not believe Weir.
    #[error("no TLS with {address}")]
    Tls {
        /// The endpoint.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Connects to `address`, with TLS if there is `tls`, all within `timeout`; zero means as long as the system tries.
///
/// # Errors
/// When the endpoint refuses, cannot be reached, is not whom it should be, or does not answer in time.
pub async fn open(
    address: SocketAddr,
    tls: Option<&ClientTls>,
    timeout: Duration,
) -> Result<Stream, ConnectError> {
    let Some(tls) = tls else { return Ok(tcp(address, timeout).await?.into()) };
    let opening = async {
        let stream = tcp(address, Duration::ZERO).await?;
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let secured = connector.connect(tls.name_of(address.ip()), Plain::Tcp(stream)).await;
        secured.map_err(|source| ConnectError::Tls { address, source })
    };
    let opened = if timeout.is_zero() {
        opening.await
    } else {
        let opened = tokio::time::timeout(timeout, opening).await;
        opened.unwrap_or(Err(ConnectError::Timeout { address, after: timeout }))
    };
    Ok(Stream::Tls(Box::new(opened?.into())))
}

/// Connects to `address` within `timeout`; zero means as long as the system tries.
///
/// # Errors
/// When the endpoint refuses, cannot be reached, or does not answer in time.
pub async fn tcp(address: SocketAddr, timeout: Duration) -> Result<TcpStream, ConnectError> {
    let connecting = TcpStream::connect(address);
    let connected = if timeout.is_zero() {
        connecting.await
    } else {
        match tokio::time::timeout(timeout, connecting).await {
            Ok(connected) => connected,
            Err(_) => return Err(ConnectError::Timeout { address, after: timeout }),
        }
    };
    let stream = connected.map_err(|source| ConnectError::Io { address, source })?;
    stream.set_nodelay(true).map_err(|source| ConnectError::Io { address, source })?;
    Ok(stream)
}
