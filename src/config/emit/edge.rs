//! What stands around connections, in canonical form.

use super::{Map, Out, duration, size, texts};
use crate::config::model::{Dns, ProxyProtocol, Storage, TotalLimits};

pub(super) fn proxy_protocol(protocol: &ProxyProtocol) -> Map {
    Map::default().put("from", texts(&protocol.from)).put("timeout", duration(protocol.timeout))
}

pub(super) fn total_limits(limits: &TotalLimits) -> Map {
    Map::default()
        .put("max_connections", limits.max_connections)
        .put("max_buffer_memory", size(limits.max_buffer_memory))
}

pub(super) fn store(store: &Storage) -> Map {
    Map::default().put("revisions", store.revisions)
}

pub(super) fn dns(dns: &Dns) -> Out {
    Map::default().some("servers", texts(&dns.servers)).into()
}
