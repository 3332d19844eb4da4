//! What stands around connections, in canonical form.

use super::{Map, Out, duration, size, texts};
use crate::config::model::{Dns, ProxyProtocol, TotalLimits};

pub(super) fn proxy_protocol(protocol: &ProxyProtocol) -> Map {
    Map::default().put("from", texts(&protocol.from)).put("timeout", duration(protocol.timeout))
}

pub(super) fn total_limits(limits: &TotalLimits) -> Map {
    Map::default()
        .put("max_connections", limits.max_connections)
        .put("max_buffer_memory", size(limits.max_buffer_memory))
}

pub(super) fn dns(dns: &Dns) -> Out {
    Map::default().some("servers", texts(&dns.servers)).into()
}
