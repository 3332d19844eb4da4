//! A small web server for tests: it notes what it is asked and answers as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What is answered.
pub(crate) enum Answer {
    /// A status, fields and a body.
    Is(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Never anything.
    Never,
}

type Script = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// Runs until it is dropped.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _connections: JoinSet<()>,
}

struct State {
    script: Script,
    asked: Mutex<Vec<Asked>>,
    news: Notify,
}

// === impl Answer ===

impl Answer {
    pub(crate) fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Is(status, Vec::new(), body.into())
    }
}

// === impl Asked ===

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

// === impl Stub ===

impl Stub {
    /// In the clear.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(None, script).await
    }

    pub(crate) async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            Arc::new(State { script: Arc::new(script), asked: Mutex::default(), news: Notify::new() });
        let mut connections = JoinSet::new();
        let shared = Arc::clone(&state);
        connections.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                open.spawn(accepted(stream, tls, state));
            }
        });
        Self { address, state, _connections: connections }
    }

    /// One that always answers the same.
    pub(crate) async fn answering(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_| Answer::of(status, body.clone())).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Waits until so many calls were made, and gives all.
    pub(crate) async fn wait_for(&self, calls: usize) -> Vec<Asked> {
        loop {
            let news = self.state.news.notified();
            let asked = self.asked();
            if asked.len() >= calls {
                return asked;
            }
            news.await;
        }
    }
}

async fn accepted(stream: TcpStream, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let Some(tls) = tls else { return serve(stream, state).await };
    // A client that does not trust it hangs up, which is for the test to see.
    if let Ok(stream) = tls.accept(stream).await {
        serve(stream, state).await;
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, state: Arc<State>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            let (head, body) = request.into_parts();
            let asked = Asked {
                method: head.method.to_string(),
                target: head.uri.to_string(),
                headers: head.headers,
                body: body.collect().await?.to_bytes(),
            };
            state.asked.lock().unwrap().push(asked.clone());
            state.news.notify_waiters();
            match (state.script)(&asked) {
                Answer::Never => std::future::pending().await,
                Answer::Is(status, fields, body) => {
                    let mut response = Response::builder().status(status);
                    for (name, value) in fields {
                        response = response.header(name, value);
                    }
                    Ok::<_, hyper::Error>(response.body(Full::new(Bytes::from(body))).unwrap())
                }
            }
        }
    });
    // That the other side is gone is nothing to a test.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
