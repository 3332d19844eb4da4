//! The load generator: sends what the schedule says over a dozen connections, and checks every answer.
//!
//! Each user keeps to one connection, so that its requests are in order and the [`Ledger`] can judge them. The schedule
//! never waits for an answer; what a connection cannot send yet waits in its queue, and a full queue is a failure.

use std::{error::Error as _, io, net::SocketAddr, sync::Arc};

use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes, header};
use tokio::sync::mpsc;

use super::{
    backend::{BACKEND_HEADER, Page},
    background::Background,
    client::{Answer, Client, ClientError},
    ledger::Ledger,
    schedule::{Arrival, Schedule},
    stats::{LoadStats, Outcome},
    version::Version,
};
use crate::types::clock;

/// The request header that says who the user is.
pub(super) const USER_HEADER: &str = "X-User-Id";
/// Connections, each kept alive.
const CONNECTIONS: u32 = 12;
/// Requests that may wait for a connection: at the schedule's rate, a stall of 15 s fills it.
const QUEUE: usize = 256;

/// Running load; ends when dropped.
pub(super) struct Load {
    stats: Arc<LoadStats>,
    background: Background,
}

/// One connection and the users that keep to it.
struct Lane {
    target: SocketAddr,
    client: Client,
    ledger: Ledger,
    stats: Arc<LoadStats>,
}

// === impl Load ===

impl Load {
    /// Starts sending to `target`; returns when every connection had its first answer.
    ///
    /// # Errors
    /// When there is no thread.
    pub(super) async fn start(target: SocketAddr, seed: u64, stats: LoadStats) -> io::Result<Self> {
        let background = Background::start("demo-load")?;
        let stats = Arc::new(stats);
        let (opened, mut all_opened) = mpsc::channel::<()>(1);
        let mut lanes = Vec::new();
        for _ in 0..CONNECTIONS {
            let (queue, orders) = mpsc::channel(QUEUE);
            let lane = Lane {
                target,
                client: Client::new(target),
                ledger: Ledger::default(),
                stats: Arc::clone(&stats),
            };
            background.spawn(lane.run(orders, opened.clone()));
            lanes.push(queue);
        }
        drop(opened);
        background.spawn(dispatch(Schedule::new(seed), lanes, Arc::clone(&stats)));
        // Nothing is ever sent; the channel closes when the last lane drops its end.
        let _ = all_opened.recv().await;
        Ok(Self { stats, background })
    }

    /// What it saw.
    pub(super) fn stats(&self) -> &Arc<LoadStats> {
        &self.stats
    }

    /// The thread that the load runs on.
    pub(super) fn background(&self) -> &Background {
        &self.background
    }
}

async fn dispatch(schedule: Schedule, lanes: Vec<mpsc::Sender<Arrival>>, stats: Arc<LoadStats>) {
    let start = clock::now();
    for arrival in schedule {
        tokio::time::sleep_until(start + arrival.at).await;
        let lane = &lanes[arrival.user as usize % lanes.len()];
        if lane.try_send(arrival).is_err() {
            let took = clock::now() - (start + arrival.at);
            stats.count(Outcome { phase: stats.begin(), version: None, ok: false, took });
            stats.failed_because(&|| format!("{QUEUE} requests wait for one connection"));
        }
    }
}

// === impl Lane ===

impl Lane {
    /// Sends what is queued, one after the other; drops `opened` after the first answer.
    async fn run(mut self, mut orders: mpsc::Receiver<Arrival>, opened: mpsc::Sender<()>) {
        let mut opened = Some(opened);
        while let Some(arrival) = orders.recv().await {
            let phase = self.stats.begin();
            let page = format!("/items/{}", arrival.page);
            let request = request(self.target, &page, &arrival.user.to_string());
            let sent = clock::now();
            let answer = self.client.send(request).await;
            let took = clock::now() - sent;
            let version = answer.as_ref().ok().and_then(version_of);
            let ok = answer.as_ref().is_ok_and(|answer| is_right(answer, &page));
            if !ok {
                self.stats.failed_because(&|| reason(&answer));
            }
            self.stats.count(Outcome { phase, version, ok, took });
            if let Some(version) = version {
                self.stats.sighted(self.ledger.enter(arrival.user, version));
            }
            drop(opened.take());
        }
    }
}

/// A request of `user` for `path`.
pub(super) fn request(target: SocketAddr, path: &str, user: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header(header::HOST, target.to_string())
        .header(USER_HEADER, user)
        .body(Full::default())
        .expect("paths and users are plain words")
}

/// Which version answered.
pub(super) fn version_of(answer: &Answer) -> Option<Version> {
    Version::parse(answer.head.headers.get(BACKEND_HEADER)?.as_bytes())
}

/// Whether `answer` is what the backend that it names says to `path`, whole and unchanged.
pub(super) fn is_right(answer: &Answer, path: &str) -> bool {
    let page = serde_json::from_slice::<Page>(&answer.body);
    answer.head.status == StatusCode::OK
        && page.is_ok_and(|page| page.path == path && Some(page.version) == version_of(answer))
}

/// Why an answer is not right.
pub(super) fn reason(answer: &Result<Answer, ClientError>) -> String {
    match answer {
        Ok(answer) if answer.head.status != StatusCode::OK => format!("status {}", answer.head.status),
        Ok(_) => "the body is not what the backend sent".to_owned(),
        Err(error) => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use hyper::Response;

    use super::*;

    #[test]
    fn only_the_whole_answer_of_the_named_backend_is_right() {
        for (status, backend, body, right) in [
            (200, "v1", r#"{"version":"v1","path":"/items/1"}"#, true),
            (200, "v2", r#"{"version":"v1","path":"/items/1"}"#, false),
            (200, "v3", r#"{"version":"v1","path":"/items/1"}"#, false),
            (502, "v1", r#"{"version":"v1","path":"/items/1"}"#, false),
            (200, "v1", r#"{"version":"v1","path":"/items/2"}"#, false),
            (200, "v1", r#"{"version":"v1","path":"/ite"#, false),
            (200, "v1", "", false),
        ] {
            let response = Response::builder().status(status).header(BACKEND_HEADER, backend);
            let (head, body) = response.body(Bytes::from_static(body.as_bytes())).unwrap().into_parts();
            assert_eq!(is_right(&Answer { head, body: body.clone() }, "/items/1"), right, "{body:?}");
        }
    }
}
