//! Between accept(2) and the first byte of TLS or HTTP: whether there is room, and who the client is.

use std::net::SocketAddr;

use super::{listener::Inlet, timer::Timer, worker::Worker};
use crate::{
    net::{
        Plain,
        per_address::Counted,
        proxy_protocol::{self, Carried, HeaderError},
    },
    snapshot::Listener,
    telemetry::{ListenerShard, ProxyHeader, Shed},
    types::{address::is_unix_peer, clock},
};

/// A connection that may stay.
pub(super) struct Admitted {
    /// Who the client is, as far as the connection can tell.
    pub(super) client: SocketAddr,
    /// Its place among those of its address, where they are counted.
    _counted: Option<Counted>,
}

/// Whether there is room for another connection; what is full, if not. Costs no lock and no shared write.
pub(super) fn room(worker: &Worker, inlet: &Inlet, listener: &Listener) -> Result<(), Shed> {
    let limit = u64::from(listener.settings.max_connections);
    if limit > 0 && inlet.shards.iter().map(ListenerShard::connections).sum::<u64>() >= limit {
        return Err(Shed::Listener);
    }
    let total = worker.snapshot().limits.max_connections;
    if total > 0 && worker.all_connections() >= total { Err(Shed::Total) } else { Ok(()) }
}

/// Learns who the client is; `None` when the connection must end, which is counted.
pub(super) async fn admit(
    worker: &Worker,
    inlet: &Inlet,
    socket: &mut Plain,
    peer: SocketAddr,
) -> Option<Admitted> {
    let listener = inlet.listener(worker);
    let client = client_of(worker, inlet, (&listener, socket), peer).await?;
    let counted = match &listener.per_address {
        Some((most, counts)) if !is_unix_peer(client.ip()) => match counts.enter(client.ip(), *most) {
            Some(counted) => Some(counted),
            None => {
                inlet.shed(worker, socket, Shed::Address);
                return None;
            }
        },
        _ => None,
    };
    Some(Admitted { client, _counted: counted })
}

/// The peer, or whom it says that it speaks for where it is a proxy that must.
async fn client_of(
    worker: &Worker,
    inlet: &Inlet,
    (listener, socket): (&Listener, &mut Plain),
    peer: SocketAddr,
) -> Option<SocketAddr> {
    let Some(protocol) = &listener.proxy_protocol else { return Some(peer) };
    if !protocol.from.contains(peer.ip().to_canonical()) {
        return Some(peer);
    }
    let mut timer = Timer::default();
    timer.set(clock::now(), protocol.timeout);
    let read = tokio::select! {
        biased;
        read = proxy_protocol::read(socket) => read,
        () = timer.expired() => {
            inlet.shard(worker).proxy_header(ProxyHeader::Timeout);
            return None;
        }
    };
    let (result, client) = match read {
        Ok(Carried::Source(source)) => (ProxyHeader::Client, Some(source)),
        Ok(Carried::Nobody) => (ProxyHeader::Nobody, Some(peer)),
        Err(HeaderError::Malformed) => (ProxyHeader::Malformed, None),
        Err(HeaderError::Gone(_)) => (ProxyHeader::Gone, None),
    };
    inlet.shard(worker).proxy_header(result);
    client
}
