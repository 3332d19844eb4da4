//! A client of the admin API: one connection for each request, which is all that a command needs.
//!
//! A token comes from a file or the environment and never from an argument, because every user of a machine can read the
//! arguments of all processes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
    header::HeaderValue,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::AbortHandle,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{Exit, Failure, remote::HEADING};
use crate::{
    admin::api::problem::Problem,
    net::tls::{Authorities, Certificate, ClientParts, ClientTls},
    types::Revision,
};

/// For a whole request. A change waits for the disk, which may take up to five seconds.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const LIMIT: usize = 64 << 20;

/// The largest file of a token, in bytes.
const TOKEN_LIMIT: usize = 8 << 10;
/// The environment's name for a token.
const TOKEN: &str = "WEIR_TOKEN";

/// Talks to one server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    server: Server,
    /// Who asks, by their own account.
    actor: Option<String>,
    /// The `Authorization` field; `Debug` does not show it.
    token: Option<HeaderValue>,
    timeout: Duration,
}

/// Where a server is.
#[derive(Debug, Clone)]
enum Server {
    /// In the clear, at this host and port.
    Tcp(String),
    /// In TLS, at this host and port.
    Tls(String, Option<ClientTls>),
    /// On this machine.
    Unix(PathBuf),
}

/// How a client and its server prove who they are. WEIR_TOKEN may hold the token itself.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = HEADING)]
pub(super) struct Credentials {
    /// A file with the token to send; without it, the token in WEIR_TOKEN, if any
    #[arg(long, env = "WEIR_TOKEN_FILE", value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// Certificates of the authorities that vouch for an https:// server; those of the system by default
    #[arg(long, env = "WEIR_CA_FILE", value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// A certificate that says who you are, for an https:// server that asks for one
    #[arg(long, env = "WEIR_CERT_FILE", value_name = "FILE", global = true)]
    cert_file: Option<PathBuf>,
    /// Its key
    #[arg(long, env = "WEIR_KEY_FILE", value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
}

/// A request, before it is sent.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    /// Its media type, and what is sent.
    body: Option<(&'static str, Vec<u8>)>,
    expected: Option<Revision>,
}

// === impl Client ===

impl Client {
    /// A client of `server`, e.g. `http://127.0.0.1:9900` or `unix:/run/weir/admin.sock`.
    pub(super) fn new(server: &str) -> Result<Self, Failure> {
        let actor = ["WEIR_ACTOR", "USER", "LOGNAME"].iter().find_map(|name| env::var(name).ok());
        let actor = actor.filter(|actor| actor.bytes().all(|byte| (b' '..0x7f).contains(&byte)));
        Ok(Self { server: Server::parse(server)?, actor, token: None, timeout: TIMEOUT })
    }

    /// Proves who it is, and has the server prove who that is.
    pub(super) fn with_credentials(mut self, credentials: &Credentials) -> Result<Self, Failure> {
        let token = match &credentials.token_file {
            Some(file) => Some(read_token(file)?),
            None => env::var(TOKEN).ok().filter(|token| !token.is_empty()),
        };
        let field = |token: String| {
            let mut field = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| Failure::text(Exit::Usage, "the token has characters that no token has"))?;
            field.set_sensitive(true);
            Ok::<_, Failure>(field)
        };
        self.token = token.map(field).transpose()?;
        if let Server::Tls(_, tls) = &mut self.server {
            *tls = Some(credentials.tls()?);
        }
        Ok(self)
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
            return Ok(answer.with_context(|| format!("{} gave an answer of another form", self.server))?);
        }
        Err(self.refused(status, &body))
    }

    /// What an answer says that is no success.
    pub(super) fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => Failure::problem(problem),
            Err(_) => anyhow!("{} answered {status}, and is hardly a weir", self.server).into(),
        }
    }

    /// Sends `call` and gives what comes back, whatever it is.
    pub(super) async fn exchange(&self, call: Call) -> Result<(StatusCode, Bytes), Failure> {
        let exchange = tokio::time::timeout(self.timeout, self.try_exchange(call));
        match exchange.await {
            Ok(answer) => {
                let answer = answer.with_context(|| format!("cannot reach {}", self.server));
                answer.map_err(|error| Failure::new(Exit::Unreachable, error))
            }
            Err(_) => {
                let seconds = self.timeout.as_secs();
                let text = format!("no answer from {} within {seconds} s", self.server);
                Err(Failure::text(Exit::Timeout, text))
            }
        }
    }

    /// Sends `call` and gives the body of the answer while it comes, for as long as it does.
    pub(super) async fn stream(&self, call: Call) -> Result<Incoming, Failure> {
        let opened = tokio::time::timeout(self.timeout, self.open(call)).await;
        let (response, _) = opened.unwrap_or_else(|_| Err(anyhow!("no answer"))).map_err(|error| {
            Failure::new(Exit::Unreachable, error.context(format!("cannot reach {}", self.server)))
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = http_body_util::Limited::new(response.into_body(), LIMIT).collect().await;
        let body = body.map_err(|error| anyhow!(error))?.to_bytes();
        Err(self.refused(status, &body))
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
        match &self.server {
            Server::Tcp(authority) => self.over(TcpStream::connect(authority).await?, call).await,
            Server::Unix(path) => self.over(UnixStream::connect(path).await?, call).await,
            Server::Tls(authority, tls) => {
                let tls = match tls {
                    Some(tls) => tls.clone(),
                    None => Credentials::default().tls().map_err(|failure| failure.error)?,
                };
                let name = ServerName::try_from(host_of(authority).to_owned())?;
                let stream = TcpStream::connect(authority).await?;
                self.over(TlsConnector::from(tls.config).connect(name, stream).await?, call).await
            }
        }
    }

    /// One request over a connection of its own.
    async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        call: Call,
    ) -> anyhow::Result<(Response<Incoming>, AbortHandle)> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(header::HOST, self.server.host())
            .header(header::USER_AGENT, concat!("weir-cli/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json");
        if let Some(actor) = &self.actor {
            request = request.header("x-weir-actor", actor);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        if let Some(revision) = call.expected {
            request = request.header(header::IF_MATCH, format!("\"{revision}\""));
        }
        if let Some((media_type, _)) = call.body {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let body = call.body.map(|(_, body)| body).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await?;
        Ok((response, connection.abort_handle()))
    }
}

// === impl Server ===

impl Server {
    fn parse(server: &str) -> Result<Self, Failure> {
        let usage = |text: &str| Failure::text(Exit::Usage, format!("--server {server}: {text}"));
        if let Some(path) = server.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(usage("give the whole path of the socket, such as unix:/run/weir/admin.sock"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let (secure, authority) = match server.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(usage("it begins with http://, https:// or unix:")),
            None => (false, server),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.is_empty() || authority.contains(['/', '@', ' ', '?']) {
            return Err(usage("give scheme, host and port, such as http://127.0.0.1:9900"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let usual = if secure { 443 } else { 80 };
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:{usual}") };
        Ok(if secure { Self::Tls(authority, None) } else { Self::Tcp(authority) })
    }

    /// The Host field.
    fn host(&self) -> &str {
        match self {
            Self::Tcp(authority) | Self::Tls(authority, _) => authority,
            Self::Unix(_) => "localhost",
        }
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            Self::Tls(authority, _) => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The host without its port, and an IPv6 address without brackets.
fn host_of(authority: &str) -> &str {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The token in a file.
fn read_token(file: &Path) -> Result<String, Failure> {
    let failed = |text: &str| Failure::text(Exit::Usage, format!("--token-file {}: {text}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| failed(&error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) || token.len() > TOKEN_LIMIT {
        return Err(failed(
            "it holds no single token; this is what `weir token create` prints, not the file that Weir reads",
        ));
    }
    Ok(token.to_owned())
}

// === impl Credentials ===

impl Credentials {
    /// TLS that believes the authorities that were named, or those of the system, and shows the certificate that was named.
    fn tls(&self) -> Result<ClientTls, Failure> {
        let usage = |error| Failure::new(Exit::Usage, error);
        let authorities = self.ca_file.as_deref().map(authorities).transpose().map_err(usage)?;
        let certificate = match (&self.cert_file, &self.key_file) {
            (Some(chain), Some(key)) => Some(certificate(chain, key).map_err(usage)?),
            (None, None) => None,
            (Some(_), None) => return Err(usage(anyhow!("--cert-file needs --key-file, its key"))),
            (None, Some(_)) => return Err(usage(anyhow!("--key-file needs --cert-file, its certificate"))),
        };
        let parts = ClientParts {
            authorities: authorities.as_ref(),
            server_name: None,
            verify: true,
            certificate,
            alpn: vec![b"http/1.1"],
        };
        Ok(ClientTls::new(parts).context("TLS cannot be set up")?)
    }
}

fn authorities(file: &Path) -> anyhow::Result<Authorities> {
    let name = file.display().to_string();
    let pem = fs::read(file).with_context(|| format!("--ca-file {name}"))?;
    Authorities::from_pem((&name, &pem)).with_context(|| format!("--ca-file {name}"))
}

fn certificate(chain: &Path, key: &Path) -> anyhow::Result<Certificate> {
    let [chain_name, key_name] = [chain, key].map(|file| file.display().to_string());
    let chain = fs::read(chain).with_context(|| format!("--cert-file {chain_name}"))?;
    let key = fs::read(key).with_context(|| format!("--key-file {key_name}"))?;
    let made = Certificate::from_pem((&chain_name, &chain), (&key_name, &key));
    made.with_context(|| format!("--cert-file {chain_name}"))
}

// === impl Call ===

impl Call {
    /// A request without a body. `path` is what follows the authority.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, expected: None }
    }

    /// Adds a JSON body.
    pub(super) fn json(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(body).ok().map(|body| ("application/json", body));
        self
    }

    /// Adds a body in YAML.
    pub(super) fn yaml(mut self, body: &str) -> Self {
        self.body = Some(("application/yaml", body.as_bytes().to_vec()));
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
            self.path.push(if self.path.contains('?') { '&' } else { '?' });
            self.path.push_str("dry_run=true");
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
