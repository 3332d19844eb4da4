//! Takes connections of the admin API.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use super::patient::Patient;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::timeout};

/// Connections at a time; more wait in the kernel's queue. Scrapers and operators need a handful.
const CONNECTIONS: usize = 256;
/// From the first byte of a request to the end of its head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// For requests under way when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// For a client that takes nothing of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// After the kernel refused a connection (most often: no file descriptor is left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The admin API must not be reachable from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "admin.bind is {0}, which other machines can reach, and the admin API has no authentication yet; \
     bind it to a loopback address such as 127.0.0.1:9900"
)]
pub struct BindError(pub SocketAddr);

/// Whether the admin API may be bound to `bind`: loopback only, as long as there is no authentication.
///
/// # Errors
/// When it is not a loopback address.
pub fn check_bind(bind: SocketAddr) -> Result<(), BindError> {
    if bind.ip().to_canonical().is_loopback() { Ok(()) } else { Err(BindError(bind)) }
}

/// Serves `router` on `listener` until `shutdown` is done; then requests under way have five seconds.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accept = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let mut stopped = stopped.clone();
        connections.spawn(async move {
            let _slot = slot;
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            let mut connection =
                pin!(builder.serve_connection(TokioIo::new(Patient::new(stream, WRITE_TIMEOUT)), service));
            // What a client does to its own connection is no news to anybody.
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stopped.wait_for(|stop| *stop) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        });
    }
    drop(listener);
    stop.send_replace(true);
    let all_done = async { while connections.join_next().await.is_some() {} };
    // Whoever is not done by then is cut off when `connections` is dropped.
    let _ = timeout(STOP_TIMEOUT, all_done).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_served() {
        for (bind, allowed) in [
            ("127.0.0.1:9900", true),
            ("127.9.9.9:1", true),
            ("[::1]:9900", true),
            ("[::ffff:127.0.0.1]:9900", true),
            ("0.0.0.0:9900", false),
            ("[::]:9900", false),
            ("10.0.0.1:9900", false),
        ] {
            assert_eq!(check_bind(bind.parse().unwrap()).is_ok(), allowed, "{bind}");
        }
    }
}
