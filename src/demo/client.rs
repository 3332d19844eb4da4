//! A small HTTP/1.1 client: one connection to one address, kept alive, one request at a time.
//!
//! The demo's load, its probes and its calls of the admin API all use it. A connection that was closed between two
//! requests is opened anew; an error during a request is an error: nothing is retried, because the demo proves that
//! nothing has to be.

use std::{io, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, http::response};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

/// For a whole exchange. Far above what anything here takes, so that only a real fault meets it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body that is read, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// A client of one server.
pub(super) struct Client {
    address: SocketAddr,
    connection: Option<Connection>,
}

/// An open connection and the task that drives it.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: response::Parts,
    pub(super) body: Bytes,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The exchange broke off.
    #[error("the exchange broke off")]
    Exchange(#[source] hyper::Error),
    /// The body broke off, or is longer than 1 MiB.
    #[error("the body could not be read: {0}")]
    Body(String),
    /// It took longer than 10 s.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

// === impl Client ===

impl Client {
    /// A client of `address`; connects with the first request.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends `request`, which needs a Host, and reads the whole response.
    ///
    /// # Errors
    /// See [`ClientError`]. The next request gets a new connection then.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let result = timeout(TIMEOUT, self.exchange(request)).await.unwrap_or(Err(ClientError::Timeout));
        if result.is_err() {
            self.connection = None;
        }
        result
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let connection = self.ready().await?;
        let response = connection.sender.send_request(request).await.map_err(ClientError::Exchange)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await;
        let body = body.map_err(|error| ClientError::Body(error.to_string()))?.to_bytes();
        Ok(Answer { head, body })
    }

    async fn ready(&mut self) -> Result<&mut Connection, ClientError> {
        let usable = match &mut self.connection {
            Some(connection) => connection.sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.connection = None;
        }
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(connect(self.address).await?)),
        }
    }
}

async fn connect(address: SocketAddr) -> Result<Connection, ClientError> {
    let stream = TcpStream::connect(address).await.map_err(ClientError::Connect)?;
    stream.set_nodelay(true).map_err(ClientError::Connect)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Exchange)?;
    let driver = tokio::spawn(async move {
        // The request that was under way gets the same error.
        let _ = connection.await;
    });
    Ok(Connection { sender, driver })
}

// === impl Connection ===

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
