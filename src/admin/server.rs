//! Takes connections of the admin API.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use super::patient::Patient;
use arc_swap::ArcSwap;
use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::auth::Peer;
use crate::{
    config::model::Admin,
    net::{
        Listener, Plain, Stream,
        tls::{Holder, ServerTls},
    },
};

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

/// The admin API must not be reachable from elsewhere without asking who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the admin API's address is {0}, which other machines can reach, and {why}; bind it to a loopback address such as \
     127.0.0.1:9900, or {remedy}",
    why = if *.1 { "everybody there could do everything" } else { "tokens would cross the network in the clear" },
    remedy = if *.1 { "name a file of tokens in admin.tokens" } else { "give it admin.tls" }
)]
pub struct BindError(pub SocketAddr, bool);

/// Whether the admin API may be served at `bind`: on loopback always, elsewhere only where it asks who one is, in TLS or in the
/// clear on purpose.
///
/// # Errors
/// When it may not.
pub fn check_bind(bind: SocketAddr, admin: &Admin) -> Result<(), BindError> {
    let safe = !admin.is_open() && (admin.insecure || admin.tls.is_some());
    if bind.ip().to_canonical().is_loopback() || safe {
        Ok(())
    } else {
        Err(BindError(bind, admin.is_open()))
    }
}

/// Where the admin API is served: a listening socket, in TLS or not.
#[derive(Debug)]
pub struct Door {
    listener: Listener,
    /// Looked at for each connection, so that a certificate can be renewed.
    tls: Option<Arc<ArcSwap<ServerTls>>>,
}

/// A connection on its way to the router.
struct Visit {
    router: Router,
    tls: Option<Arc<ServerTls>>,
    /// Whether the server has stopped.
    stopped: watch::Receiver<bool>,
}

// === impl Door ===

impl Door {
    /// In the clear.
    #[must_use]
    pub fn new(listener: Listener) -> Self {
        Self { listener, tls: None }
    }

    /// In TLS, where there is any.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<ArcSwap<ServerTls>>>) -> Self {
        Self { tls, ..self }
    }
}

/// Serves `router` at `door` until `shutdown` is done; then requests under way have five seconds.
pub async fn serve(door: Door, router: Router, shutdown: impl Future<Output = ()>) {
    let Door { listener, tls } = door;
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let (stop, stopped) = watch::channel(false);
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
        let Ok((socket, address)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let tls = tls.as_ref().map(|tls| tls.load_full());
        let visit = Visit { router: router.clone(), tls, stopped: stopped.clone() };
        connections.spawn(async move {
            let _slot = slot;
            visit.run(socket, address).await;
        });
    }
    drop(listener);
    stop.send_replace(true);
    let all_done = async { while connections.join_next().await.is_some() {} };
    // Whoever is not done by then is cut off when `connections` is dropped.
    let _ = timeout(STOP_TIMEOUT, all_done).await;
}

// === impl Visit ===

impl Visit {
    async fn run(mut self, socket: Plain, address: SocketAddr) {
        let peer = match &socket {
            Plain::Tcp(_) => Peer::at(address.ip()),
            Plain::Unix(stream) => match stream.peer_cred() {
                Ok(credentials) => Peer::of_user(credentials.uid()),
                Err(_) => return,
            },
        };
        let Some((stream, peer)) = self.shake(socket, peer).await else { return };
        let router = TowerToHyperService::new(self.router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.call(request)
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        let mut connection =
            pin!(builder.serve_connection(TokioIo::new(Patient::new(stream, WRITE_TIMEOUT)), service));
        // What a client does to its own connection is no news to anybody.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = self.stopped.wait_for(|stop| *stop) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }

    /// Shakes hands where there is TLS, and adds what that tells of the peer.
    async fn shake(&self, socket: Plain, peer: Peer) -> Option<(Stream, Peer)> {
        let Some(tls) = &self.tls else { return Some((socket.into(), peer)) };
        let shaking = TlsAcceptor::from(Arc::clone(&tls.config)).accept(socket);
        let stream = timeout(tls.handshake_timeout, shaking).await.ok()?.ok()?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let holder = shown.map(|certificate| Arc::new(Holder::of(certificate)));
        Some((Stream::Tls(Box::new(stream.into())), Peer { secure: true, holder, ..peer }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixtures;

    #[test]
    fn only_loopback_is_served_to_everybody() {
        let closed = fixtures::config(&[("shop", &[("stable", 1)])]).admin;
        let asks = Admin { tokens: Some("/tokens".into()), ..closed.clone() };
        let clear = Admin { insecure: true, ..asks.clone() };
        let careless = Admin { insecure: true, ..closed.clone() };
        for (bind, local) in [
            ("127.0.0.1:9900", true),
            ("127.9.9.9:1", true),
            ("[::1]:9900", true),
            ("[::ffff:127.0.0.1]:9900", true),
            ("0.0.0.0:9900", false),
            ("[::]:9900", false),
            ("10.0.0.1:9900", false),
        ] {
            let bind = bind.parse().unwrap();
            for admin in [&closed, &asks, &careless] {
                assert_eq!(check_bind(bind, admin).is_ok(), local, "{bind} {admin:?}");
            }
            assert!(check_bind(bind, &clear).is_ok());
        }
    }
}
