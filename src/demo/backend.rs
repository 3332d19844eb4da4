//! The demo's two backends: ordinary HTTP servers that say which version they are.
//!
//! Every request takes a few milliseconds, drawn from a generator of the demo's seed, so that quantiles have something
//! to show. Health checks and probes are answered at once.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Request, Response, body::Bytes, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};

use super::{
    background::Background,
    version::{PerVersion, Version},
};

/// The response header that names the backend.
pub(super) const BACKEND_HEADER: &str = "x-backend";
/// Where health checks ask.
pub(super) const HEALTH_PATH: &str = "/healthz";
/// Where probes ask: answered at once, so that they measure Weir alone.
pub(super) const PROBE_PATH: &str = "/probe";
/// The least that a request takes.
const FASTEST: Duration = Duration::from_millis(2);
/// What is added on average, exponentially distributed as waiting for something shared is.
const MEAN_EXTRA: Duration = Duration::from_millis(2);
/// The most that is added: the tail is cut, so that no run waits for an outlier.
const MOST_EXTRA: Duration = Duration::from_millis(40);
/// After the kernel refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Both backends, running; they end when dropped.
pub(super) struct Backends {
    addresses: PerVersion<SocketAddr>,
    _background: Background,
}

/// What a backend answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) version: Version,
    pub(super) path: String,
}

/// What the requests of one backend take.
struct Pace(Mutex<StdRng>);

// === impl Backends ===

impl Backends {
    /// Starts both on ports that the system chooses.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub(super) async fn start(seed: u64) -> io::Result<Self> {
        let background = Background::start("demo-backends")?;
        let v1 = serve(&background, Version::V1, Pace::new(seed, Version::V1)).await?;
        let v2 = serve(&background, Version::V2, Pace::new(seed, Version::V2)).await?;
        Ok(Self { addresses: PerVersion { v1, v2 }, _background: background })
    }

    /// Where they listen.
    pub(super) fn addresses(&self) -> PerVersion<SocketAddr> {
        self.addresses
    }
}

/// Starts one backend and returns its address.
async fn serve(background: &Background, version: Version, pace: Pace) -> io::Result<SocketAddr> {
    // Bound there: a socket belongs to the runtime that made it.
    let bound = background.spawn(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).await;
    let listener = bound.map_err(io::Error::other)??;
    let address = listener.local_addr()?;
    background.spawn(accept(listener, version, Arc::new(pace)));
    Ok(address)
}

async fn accept(listener: TcpListener, version: Version, pace: Arc<Pace>) {
    loop {
        match listener.accept().await {
            // The runtime owns the task and ends it.
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, version, Arc::clone(&pace)))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream, version: Version, pace: Arc<Pace>) {
    // Without it, answers are right and late.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, version, Arc::clone(&pace)));
    // A connection that breaks off is seen, and counted, by whoever waits for the answer.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    version: Version,
    pace: Arc<Pace>,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let path = request.uri().path();
    if path != HEALTH_PATH && path != PROBE_PATH {
        tokio::time::sleep(pace.draw()).await;
    }
    let page = Page { version, path: path.to_owned() };
    let body = serde_json::to_vec(&page).expect("a page has only texts");
    Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(BACKEND_HEADER, version.as_str())
        .body(Full::from(body))
}

// === impl Pace ===

impl Pace {
    fn new(seed: u64, version: Version) -> Self {
        // Two sequences of one seed: equal distributions, other values.
        Self(Mutex::new(StdRng::seed_from_u64(seed.wrapping_mul(2).wrapping_add(version as u64))))
    }

    /// What the next request takes.
    fn draw(&self) -> Duration {
        let uniform: f64 = self.0.lock().unwrap_or_else(PoisonError::into_inner).random();
        // 1 - uniform is above zero, so its logarithm is finite.
        FASTEST + MEAN_EXTRA.mul_f64(-(1.0 - uniform).ln()).min(MOST_EXTRA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::client::Client;

    #[test]
    fn paces_follow_the_seed() {
        let draws = |seed, version| {
            let pace = Pace::new(seed, version);
            (0..500).map(|_| pace.draw()).collect::<Vec<_>>()
        };
        let v1 = draws(1, Version::V1);
        assert_eq!(v1, draws(1, Version::V1));
        assert_ne!(v1, draws(1, Version::V2));
        assert_ne!(v1, draws(2, Version::V1));
        assert!(v1.iter().all(|draw| (FASTEST..=FASTEST + MOST_EXTRA).contains(draw)));
        let mean = v1.iter().sum::<Duration>() / 500;
        assert!(mean > Duration::from_millis(3) && mean < Duration::from_millis(5), "{mean:?}");
    }

    #[tokio::test]
    async fn backends_say_which_they_are() {
        let backends = Backends::start(1).await.unwrap();
        for version in Version::ALL {
            let address = *backends.addresses().get(version);
            let mut client = Client::new(address);
            for path in ["/", "/a\"b", HEALTH_PATH, PROBE_PATH] {
                let request = Request::get(path.replace('"', "%22")).header("host", "demo");
                let answer = client.send(request.body(Full::default()).unwrap()).await.unwrap();
                assert_eq!(answer.head.status, 200);
                assert_eq!(answer.head.headers[BACKEND_HEADER], version.as_str());
                let page: Page = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(page, Page { version, path: path.replace('"', "%22") });
            }
        }
    }
}
