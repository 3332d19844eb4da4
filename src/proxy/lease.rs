//! A connection to send a request over, or a place on one.

use std::time::Duration;

use tokio::time::Instant;

use super::{attempt::Leased, error::ProxyError, worker::Worker};
use crate::{
    net::tls::ClientTls,
    snapshot::Backend,
    upstream::{
        Endpoint, Protocol, UpstreamConnection,
        breaker::{Admitted, Permit},
        connect,
    },
};

/// What a connection is wanted for.
#[derive(Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) worker: &'a Worker,
    pub(super) endpoint: &'a Endpoint,
    pub(super) backend: &'a Backend,
    /// When it is wanted; pooled connections age by it.
    pub(super) now: Instant,
    /// How long connecting may take; zero is as long as the system tries.
    pub(super) timeout: Duration,
    /// Whether it must be a new one.
    pub(super) fresh: bool,
    /// Whether what is sent over it may become a tunnel.
    pub(super) upgrades: bool,
}

// === impl Opening ===

impl Opening<'_> {
    /// Whether a tunnel is asked for and there is a choice: then it goes the way on which every endpoint has them.
    fn is_narrow(&self) -> bool {
        self.upgrades && self.backend.protocol == Protocol::Auto
    }

    fn protocol(&self) -> Protocol {
        if self.is_narrow() { Protocol::Http11 } else { self.backend.protocol }
    }
}

/// A connection that waits, or a new one.
pub(super) async fn lease(wanted: &Opening<'_>) -> Result<Leased, ProxyError> {
    match at_hand(wanted) {
        Some(leased) => Ok(leased),
        // In a box: opening takes much more memory than all the rest of a request, and is rare.
        None => Box::pin(open(wanted)).await,
    }
}

/// A connection that waits, or a place on one that is open.
fn at_hand(wanted: &Opening<'_>) -> Option<Leased> {
    let Opening { worker, endpoint, backend, now, fresh, .. } = *wanted;
    let protocol = wanted.protocol();
    if fresh {
        return None;
    }
    if protocol.may_be_h2()
        && let Some(lease) = worker.sessions.take(endpoint.id, backend.keeping())
    {
        return Some(Leased::Stream(lease));
    }
    if !protocol.may_be_h1() {
        return None;
    }
    worker.pools.take(endpoint.id, now, backend.keeping()).map(Leased::Connection)
}

async fn open(wanted: &Opening<'_>) -> Result<Leased, ProxyError> {
    let Opening { worker, endpoint, backend, timeout, .. } = *wanted;
    let (sessions, protocol) = (&worker.sessions, wanted.protocol());
    let _pending = wait_in_line(backend)?;
    let _opening = if protocol == Protocol::Http11 {
        None
    } else {
        let opening = sessions.opening(endpoint.id).await;
        if let Some(lease) = sessions.take(endpoint.id, backend.keeping()) {
            return Ok(Leased::Stream(lease));
        }
        opening
    };
    let permit = permit(worker, backend)?;
    let narrowed = backend.tls.as_deref().filter(|_| wanted.is_narrow()).map(ClientTls::for_http11);
    let stream = connect::open(endpoint, narrowed.as_ref().or(backend.tls.as_deref()), timeout).await?;
    if protocol.is_h2(&stream) {
        let opened = sessions.open(endpoint.id, (stream, backend.tls.clone(), permit)).await;
        return Ok(Leased::Stream(opened.map_err(ProxyError::Session)?));
    }
    let tls = backend.tls.clone();
    Ok(Leased::Connection(UpstreamConnection { stream, reused: false, permit, tls }))
}

/// A place among the requests that may wait for a connection to the backend.
fn wait_in_line(backend: &Backend) -> Result<Option<Admitted<'_>>, ProxyError> {
    let Some(breaker) = &backend.breaker else { return Ok(None) };
    breaker.pending().map_err(ProxyError::Overload)
}

/// The right to open another connection to the backend, if need be in place of one that is idle.
fn permit(worker: &Worker, backend: &Backend) -> Result<Option<Permit>, ProxyError> {
    let Some(breaker) = &backend.breaker else { return Ok(None) };
    let ids = || backend.endpoints.iter().map(|endpoint| endpoint.id);
    let give_up = || worker.pools.give_up(ids()) || worker.sessions.give_up(ids());
    breaker.connection(worker.index, give_up).map_err(ProxyError::Overload)
}
