//! Users: a steady stream of requests over keep-alive connections, from a fixed seed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Ledger, Version};
use crate::types::clock;

/// Requests per second over all connections.
const RATE: u32 = 200;
/// Connections; each belongs to its own users.
const CONNECTIONS: u32 = 16;
/// Users.
const USERS: u32 = 800;
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends requests to the proxy from when it is known.
pub(super) async fn generate(mut proxy: watch::Receiver<Option<SocketAddr>>, ledger: Arc<Ledger>, seed: u64) {
    let proxy = match proxy.wait_for(Option::is_some).await.map(|proxy| *proxy) {
        Ok(Some(proxy)) => proxy,
        _ => return,
    };
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let client = User { proxy, number, random: StdRng::seed_from_u64(seed ^ u64::from(number) << 32) };
        connections.spawn(client.run(Arc::clone(&ledger)));
    }
    connections.join_all().await;
}

/// One connection, and the users behind it.
struct User {
    proxy: SocketAddr,
    number: u32,
    random: StdRng,
}

type Sender = SendRequest<Empty<Bytes>>;

// === impl User ===

impl User {
    async fn run(mut self, ledger: Arc<Ledger>) {
        let between = Duration::from_secs(1) * CONNECTIONS / RATE;
        // The connections take turns.
        tokio::time::sleep(between * self.number / CONNECTIONS).await;
        let mut turn = interval(between);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sender = None;
        loop {
            turn.tick().await;
            let user = self.random.random_range(0..USERS / CONNECTIONS) * CONNECTIONS + self.number;
            let step = ledger.step();
            let start = clock::now();
            let answer = match timeout(PATIENCE, self.ask(&mut sender, user)).await {
                Ok(answer) => answer.map(|version| (version, clock::now() - start)),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            if answer.is_err() {
                sender = None;
            }
            ledger.record(step, user, answer);
        }
    }

    async fn ask(&mut self, sender: &mut Option<Sender>, user: u32) -> Result<Version, String> {
        let sender = match sender {
            Some(sender) => sender,
            None => {
                sender.insert(connect(self.proxy).await.map_err(|error| format!("no connection: {error}"))?)
            }
        };
        let request = Request::get(format!("/products/{}", self.random.random_range(0..1000)))
            .header(header::HOST, "demo.localhost")
            .header("x-user-id", format!("user-{user}"))
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let failed = |error: hyper::Error| format!("the request failed: {error}");
        sender.ready().await.map_err(failed)?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let version = response.headers().get("x-backend").and_then(|value| value.to_str().ok());
        let version = version.and_then(Version::named);
        let body =
            response.into_body().collect().await.map_err(|error| format!("the body broke off: {error}"))?;
        if status != StatusCode::OK {
            return Err(format!("status {status}"));
        }
        match version {
            Some(version) if !body.to_bytes().is_empty() => Ok(version),
            _ => Err("an answer of neither version".to_owned()),
        }
    }
}

async fn connect(proxy: SocketAddr) -> Result<Sender, String> {
    let stream = TcpStream::connect(proxy).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with its sender.
    tokio::spawn(connection);
    Ok(sender)
}
