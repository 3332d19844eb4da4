//! What stands around connections, in canonical form.

use super::{Map, duration, texts};
use crate::config::model::{ProxyProtocol, TotalLimits};

pub(super) fn proxy_protocol(protocol: &ProxyProtocol) -> Map {
    Map::default().put("from", texts(&protocol.from)).put("timeout", duration(protocol.timeout))
}

pub(super) fn total_limits(limits: &TotalLimits) -> Map {
    Map::default()
        .put("max_connections", limits.max_connections)
        .put("max_buffer_memory", size(limits.max_buffer_memory))
}

/// The largest unit that holds it exactly.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}
