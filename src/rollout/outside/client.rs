//! The client with which the control plane asks others: one connection for each call, HTTP/1.1, over TLS where the address says so.
//!
//! Everything has a bound: the time of the whole call, the bytes that are read of the answer. Redirects are not followed, because a
//! signed body and secret fields are meant for one place; proxies of the environment are not used. What is said of a failure names host
//! and port only: the path of some addresses is itself a secret.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    body::{Body as _, Incoming},
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    sync::OnceCell,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::{
    net::tls::{ClientParts, ClientTls, TlsError},
    types::cause::chain,
};

/// Bytes that are read of an answer, unless its call wants more.
pub const ANSWER_LIMIT: usize = 64 << 10;

const USER_AGENT: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));

/// Asks others. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Made when it is first needed: the system's authorities are read from the disk.
    tls: Arc<OnceCell<ClientTls>>,
}

/// Where something is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    secure: bool,
    host: String,
    port: u16,
    /// As the `Host` field has it.
    authority: HeaderValue,
    /// Path and query.
    target: String,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    limit: usize,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body, as far as it was read.
    pub body: Bytes,
    /// Whether that is all of it.
    pub is_whole: bool,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is none.
    #[error("not an address that can be called: {0}")]
    Url(&'static str),
    /// The name is unknown, or nobody could say.
    #[error("cannot look up {host}: {error}")]
    Lookup {
        /// The name.
        host: String,
        /// What the system said.
        error: String,
    },
    /// Nobody listens there.
    #[error("cannot connect to {at}: {error}")]
    Connect {
        /// Host and port.
        at: String,
        /// What the system said.
        error: String,
    },
    /// They are not who they should be, or TLS cannot be set up here.
    #[error("no TLS with {at}: {error}")]
    Tls {
        /// Host and port.
        at: String,
        /// What is wrong.
        error: String,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("no answer from {at}: {error}")]
    Broken {
        /// Host and port.
        at: String,
        /// What is wrong.
        error: String,
    },
    /// It took too long.
    #[error("no answer from {at} within {limit:?}")]
    TimedOut {
        /// Host and port.
        at: String,
        /// How long was waited.
        limit: Duration,
    },
    /// A field has a value that no field can have.
    #[error("the value of the field `{0}` has characters that no field can have")]
    Field(String),
    /// A file with a secret cannot be used.
    #[error(transparent)]
    Secret(#[from] super::secret::SecretError),
}

// === impl Client ===

impl Client {
    /// One that trusts whom the system trusts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One with TLS of its own.
    #[must_use]
    pub fn with_tls(tls: ClientTls) -> Self {
        Self { tls: Arc::new(OnceCell::new_with(Some(tls))) }
    }

    /// Makes a call; the connection is gone when this returns or is dropped.
    ///
    /// # Errors
    /// When there is no answer within `limit`. Any status is an answer.
    pub async fn send(&self, call: Call, limit: Duration) -> Result<Reply, CallError> {
        let at = call.url.at();
        let exchange = Box::pin(self.exchange(call, limit));
        timeout(limit, exchange).await.unwrap_or(Err(CallError::TimedOut { at, limit }))
    }

    async fn exchange(&self, call: Call, limit: Duration) -> Result<Reply, CallError> {
        let stream = connect(&call.url, limit).await?;
        if !call.url.secure {
            return over(stream, call).await;
        }
        let failed = |error: String| CallError::Tls { at: call.url.at(), error };
        let tls = self.tls().await.map_err(|error| failed(chain(&error)))?;
        let name = ServerName::try_from(call.url.host.clone()).map_err(|error| failed(chain(&error)))?;
        let stream = TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream).await;
        let stream = stream.map_err(|error| failed(chain(&error)))?;
        over(stream, call).await
    }

    async fn tls(&self) -> Result<ClientTls, TlsError> {
        let load = || async {
            let made = tokio::task::spawn_blocking(|| {
                ClientTls::new(ClientParts {
                    authorities: None,
                    server_name: None,
                    verify: true,
                    certificate: None,
                    alpn: vec![b"http/1.1"],
                })
            });
            let unwound =
                |_| TlsError::Rustls(tokio_rustls::rustls::Error::General("it was given up".to_owned()));
            made.await.map_err(unwound)?
        };
        self.tls.get_or_try_init(load).await.cloned()
    }
}

/// A connection to the first address of the host that takes one. Each gets its share of the time, so that one that swallows packets
/// does not keep the others from being tried.
async fn connect(url: &Url, limit: Duration) -> Result<TcpStream, CallError> {
    let failed = |error: String| CallError::Lookup { host: url.host.clone(), error };
    let found = lookup_host((url.host.as_str(), url.port)).await;
    let addresses: Vec<_> = found.map_err(|error| failed(error.to_string()))?.collect();
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = None;
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Only delays small packets; a system that refuses it can do without.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = Some(error.to_string()),
            Err(_) => last = Some("no answer".to_owned()),
        }
    }
    match last {
        Some(error) => Err(CallError::Connect { at: url.at(), error }),
        None => Err(failed("it has no address".to_owned())),
    }
}

/// One call over a connection of its own, which is driven here, so that it ends with the call.
async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin, call: Call) -> Result<Reply, CallError> {
    let at = call.url.at();
    let broken = |error: String| CallError::Broken { at: at.clone(), error };
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| broken(chain(&error)))?;
    let limit = call.limit;
    let request = call.into_request().map_err(|error| broken(chain(&error)))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| broken(chain(&error)))?;
        let (head, body) = response.into_parts();
        let (body, is_whole) = read(body, limit).await.map_err(|error| broken(chain(&error)))?;
        Ok(Reply { status: head.status, headers: head.headers, body, is_whole })
    };
    let driver = async {
        // What is wrong with the connection reaches the exchange, too.
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = exchange => result,
        () = driver => Err(broken("the connection was closed".to_owned())),
    }
}

/// A body up to `limit` bytes, and whether that is all.
async fn read(mut body: Incoming, limit: usize) -> Result<(Bytes, bool), hyper::Error> {
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = limit - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room || (kept.len() == limit && !body.is_end_stream()) {
            return Ok((kept.into(), false));
        }
    }
    Ok((kept.into(), true))
}

// === impl Url ===

impl Url {
    /// Understands an absolute address of http or https.
    ///
    /// # Errors
    /// When it is none, or has a user and password, which would end up where addresses are shown.
    pub fn parse(text: &str) -> Result<Self, CallError> {
        let uri: Uri = text.parse().map_err(|_| CallError::Url("it cannot be understood"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(CallError::Url("it begins with http:// or https://")),
        };
        let authority = uri.authority().ok_or(CallError::Url("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(CallError::Url("user and password do not belong into an address"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(CallError::Url("it has no host"));
        }
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && authority.port_u16().is_none() {
            return Err(CallError::Url("its port is none"));
        }
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::try_from(authority.as_str())
                .map_err(|_| CallError::Url("it cannot be understood"))?,
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        })
    }

    /// The address below this one: a path that is added to its own, and a query of names and values in its place.
    #[must_use]
    pub fn below(&self, path: &str, query: &[(&str, &str)]) -> Self {
        let own = self.target.split('?').next().unwrap_or_default().trim_end_matches('/');
        let mut target = format!("{own}{path}");
        for (place, (name, value)) in query.iter().enumerate() {
            target.push(if place == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            target.push_str(&percent_encoded(value));
        }
        Self { target, ..self.clone() }
    }

    /// Host and port.
    fn at(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A text with everything percent-encoded that is not unreserved (RFC 3986, section 2.3).
pub(super) fn percent_encoded(text: &str) -> String {
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

// === impl Call ===

impl Call {
    /// One that asks for something.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new(), limit: ANSWER_LIMIT }
    }

    /// One that brings something.
    #[must_use]
    pub fn post(url: Url, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let call = Self { method: Method::POST, body: body.into(), ..Self::get(url) };
        call.with(header::CONTENT_TYPE, HeaderValue::from_static(media_type))
    }

    /// Adds a field, or puts it in the place of the one that is there.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a field whose value is not known to be one.
    ///
    /// # Errors
    /// When its name or value is none.
    pub fn field(self, name: &str, value: &str) -> Result<Self, CallError> {
        let bad = || CallError::Field(name.to_owned());
        let field = HeaderName::try_from(name).map_err(|_| bad())?;
        let value = HeaderValue::try_from(value).map_err(|_| bad())?;
        Ok(self.with(field, value))
    }

    /// Reads up to so many bytes of the answer.
    #[must_use]
    pub fn reading(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    fn into_request(self) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request =
            Request::builder().method(self.method).uri(self.url.target).body(Full::new(self.body))?;
        *request.headers_mut() = self.headers;
        let fields = request.headers_mut();
        fields.insert(header::HOST, self.url.authority);
        fields.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
        fields.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        Ok(request)
    }
}

// === impl Reply ===

impl Reply {
    /// The status, and the first words of the body, for people.
    #[must_use]
    pub fn said(&self) -> String {
        let status = self.status.as_u16();
        let body = first_words(&self.body);
        if self.status.is_redirection() {
            return format!("{status}, a redirect, which is not followed");
        }
        if body.is_empty() { status.to_string() } else { format!("{status}: {body}") }
    }
}

/// Characters that are kept of an answer.
const KEPT: usize = 200;

/// The first characters of a body on one line.
fn first_words(body: &[u8]) -> String {
    // A character has at most four bytes.
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * KEPT)]);
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let clean: String = clean.take(KEPT).collect();
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests;
