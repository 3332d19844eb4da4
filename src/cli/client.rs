//! A client of the admin API: one connection for each request, which is all that a command needs.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::TcpStream, task::AbortHandle};

use super::{Exit, Failure};
use crate::{admin::api::problem::Problem, types::Revision};

/// For a whole request. A change waits for the disk, which may take up to five seconds.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const LIMIT: usize = 64 << 20;

/// Talks to one server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// Host and port, as in the Host field.
    authority: String,
    actor: String,
    timeout: Duration,
}

/// A request, before it is sent.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    body: Option<Vec<u8>>,
    expected: Option<Revision>,
}

// === impl Client ===

impl Client {
    /// A client of `server`, e.g. `http://127.0.0.1:9900`.
    pub(super) fn new(server: &str) -> Result<Self, Failure> {
        let usage = |text: &str| Failure::text(Exit::Usage, format!("--server {server}: {text}"));
        let authority = match server.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(usage("only http:// is supported")),
            None => server,
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.is_empty() || authority.contains(['/', '@', ' ', '?']) {
            return Err(usage("give scheme, host and port, such as http://127.0.0.1:9900"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let actor = ["WEIR_ACTOR", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
        let actor = actor.filter(|actor| actor.bytes().all(|byte| (b' '..0x7f).contains(&byte)));
        Ok(Self { authority, actor: actor.unwrap_or_else(|| "unknown".to_owned()), timeout: TIMEOUT })
    }

    /// Gives up after `timeout`.
    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Reads `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.send(Call::new(Method::GET, path)).await
    }

    /// Sends `call` and reads the JSON answer.
    pub(super) async fn send<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        let (status, body) = self.exchange(call).await?;
        if status.is_success() {
            let answer = serde_json::from_slice(&body);
            return Ok(answer.with_context(|| format!("{} gave an answer of another form", self.authority))?);
        }
        Err(self.refused(status, &body))
    }

    /// What an answer says that is no success.
    pub(super) fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => Failure::problem(problem),
            Err(_) => anyhow!("{} answered {status}, and is hardly a weir", self.authority).into(),
        }
    }

    /// Sends `call` and gives what comes back, whatever it is.
    pub(super) async fn exchange(&self, call: Call) -> Result<(StatusCode, Bytes), Failure> {
        let exchange = tokio::time::timeout(self.timeout, self.try_exchange(call));
        match exchange.await {
            Ok(answer) => {
                let answer = answer.with_context(|| format!("cannot reach http://{}", self.authority));
                answer.map_err(|error| Failure::new(Exit::Unreachable, error))
            }
            Err(_) => {
                let seconds = self.timeout.as_secs();
                Err(Failure::text(
                    Exit::Timeout,
                    format!("no answer from http://{} within {seconds} s", self.authority),
                ))
            }
        }
    }

    async fn try_exchange(&self, call: Call) -> anyhow::Result<(StatusCode, Bytes)> {
        let (response, connection) = self.open(call).await?;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), LIMIT).collect().await;
        let body = body.map_err(|error| anyhow!(error))?.to_bytes();
        connection.abort();
        Ok((status, body))
    }

    /// Sends `call` and gives the head of the answer, and the task that drives its connection.
    async fn open(&self, call: Call) -> anyhow::Result<(Response<Incoming>, AbortHandle)> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, concat!("weir-cli/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json")
            .header("x-weir-actor", &self.actor);
        if let Some(revision) = call.expected {
            request = request.header(header::IF_MATCH, format!("\"{revision}\""));
        }
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(call.body.unwrap_or_default())))?;
        let response = sender.send_request(request).await?;
        Ok((response, connection.abort_handle()))
    }
}

// === impl Call ===

impl Call {
    /// A request without a body. `path` is what follows the authority.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, expected: None }
    }

    /// Adds a JSON body.
    pub(super) fn json(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(body).ok();
        self
    }

    /// Insists on a revision.
    pub(super) fn expecting(mut self, revision: Option<Revision>) -> Self {
        self.expected = revision;
        self
    }

    /// Only asks what would happen.
    pub(super) fn dry_run(mut self, dry_run: bool) -> Self {
        if dry_run {
            self.path.push_str("?dry_run=true");
        }
        self
    }
}

/// Runs a client on a runtime of this thread.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start a runtime")?.block_on(future)
}

/// A part of a path, percent-encoded where it has to be (RFC 3986, section 3.3).
pub(super) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
