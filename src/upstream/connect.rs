//! Opening a connection to an endpoint.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::TcpStream;

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
