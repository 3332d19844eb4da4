//! What stands around connections.

use super::{Context, reader::Object, top::number};
use crate::config::model::{Dns, ProxyProtocol, Storage, TotalLimits};

pub(super) fn proxy_protocol(mut object: Object<'_>, cx: &mut Context) -> ProxyProtocol {
    ProxyProtocol { from: object.list(cx, "from"), timeout: object.get(cx, "timeout") }
}

pub(super) fn total_limits(mut object: Object<'_>, cx: &mut Context) -> TotalLimits {
    TotalLimits {
        max_connections: number(object.get(cx, "max_connections")),
        max_buffer_memory: object.get(cx, "max_buffer_memory"),
    }
}

pub(super) fn store(mut object: Object<'_>, cx: &mut Context) -> Storage {
    Storage { revisions: object.get(cx, "revisions") }
}

pub(super) fn dns(mut object: Object<'_>, cx: &mut Context) -> Dns {
    Dns { servers: object.list(cx, "servers") }
}
