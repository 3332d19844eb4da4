//! Listeners and limits: the file's form lowered to the runtime's.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    config::model,
    net::tls::ServerTls,
    split::NetworkSet,
    types::{Address, Name},
};

/// What a connection with a request counts as, in bytes: a buffer of 128 KiB, and as much for what is being sent.
const BUFFER_MEMORY: u64 = 256 << 10;

/// A listener.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Where it binds.
    pub bind: Address,
    /// The permissions of a unix socket's file, where they are not the usual ones.
    pub mode: Option<u32>,
    /// The region of everything that comes in here.
    pub region: Option<Name>,
    /// What a client may cost.
    pub settings: ListenerSettings,
    /// What handshakes are answered with; `None` is in the clear.
    pub tls: Option<Arc<ServerTls>>,
    /// Who says whose connections these are.
    pub proxy_protocol: Option<Arc<ProxyProtocol>>,
}

/// The PROXY protocol on a listener.
#[derive(Debug)]
pub struct ProxyProtocol {
    /// Peers that must say whose connection it is; no other may.
    pub from: NetworkSet,
    /// For the whole header; zero means no limit.
    pub timeout: Duration,
}

/// What all clients together may cost; zero means no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct TotalLimits {
    /// Open connections, over all listeners and workers.
    pub max_connections: usize,
    /// Connections of one worker that may hold a buffer at a time.
    pub max_buffers: usize,
}

/// What a client may cost. A duration or count of zero means no limit.
#[derive(Debug, Clone, Copy)]
pub struct ListenerSettings {
    /// Open connections, over all workers.
    pub max_connections: u32,
    /// Open connections of one client address, over all workers.
    pub max_connections_per_address: u32,
    /// Bytes of a request head.
    pub max_header_bytes: usize,
    /// Fields of a request head.
    pub max_headers: usize,
    /// From a request's first byte to the end of its head.
    pub header_timeout: Duration,
    /// A connection without a request.
    pub idle_timeout: Duration,
    /// Whether clients may speak HTTP/1.1.
    pub h1: bool,
    /// Whether clients in the clear may begin with HTTP/2.
    pub h2c: bool,
}

pub(super) fn total_limits(limits: &model::TotalLimits, workers: usize) -> TotalLimits {
    let buffers = limits.max_buffer_memory / BUFFER_MEMORY / workers.max(1) as u64;
    let max_buffers = if limits.max_buffer_memory == 0 { 0 } else { buffers.max(1) };
    TotalLimits {
        max_connections: limits.max_connections as usize,
        max_buffers: usize::try_from(max_buffers).unwrap_or(usize::MAX),
    }
}

pub(super) fn listener(listener: &model::Listener) -> (Name, Listener) {
    let limits = &listener.limits;
    let settings = ListenerSettings {
        max_connections: limits.max_connections,
        max_connections_per_address: limits.max_connections_per_address,
        max_header_bytes: limits.max_header_bytes as usize,
        max_headers: usize::from(limits.max_headers),
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        h1: listener.protocols.contains(&model::ListenerProtocol::Http11),
        h2c: listener.protocols.contains(&model::ListenerProtocol::H2c),
    };
    let region = listener.region.clone();
    let bind = listener.bind.clone();
    let proxy_protocol = listener.proxy_protocol.as_ref().map(|protocol| {
        Arc::new(ProxyProtocol { from: protocol.from.iter().copied().collect(), timeout: protocol.timeout })
    });
    let mode = listener.mode;
    (listener.name.clone(), Listener { bind, mode, region, settings, tls: None, proxy_protocol })
}

/// The listeners of a file by name; also for whoever opens the sockets.
#[must_use]
pub fn listeners(config: &model::Config) -> BTreeMap<Name, Listener> {
    config.listeners.iter().map(listener).collect()
}
