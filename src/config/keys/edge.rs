//! The keys of what stands around connections: who they come from, how many there may be, and where names lead; and of the store.

use super::{Kind, Scalar, Shape, default, optional, required};

/// The PROXY protocol of a listener.
pub(in crate::config) static PROXY_PROTOCOL: Shape = Shape {
    name: "proxy_protocol",
    doc: "The PROXY protocol, versions 1 and 2: the proxy in front says who the client is, before TLS and HTTP.",
    choice: super::Choice::Free,
    keys: &[
        required(
            "from",
            Kind::List(&Kind::Scalar(Scalar::Cidr), 1),
            "The proxies: every connection from them must begin with the header, no other connection may. `unix` is all that \
             come over a unix socket.",
        ),
        default(
            "timeout",
            Kind::Scalar(Scalar::Duration { min: 0 }),
            "5s",
            "For the whole header; `0s` means no limit.",
        ),
    ],
};

/// Limits over all listeners.
pub(in crate::config) static TOTAL_LIMITS: Shape = Shape {
    name: "total_limits",
    doc: "What all clients together may cost. `0` means no limit.",
    choice: super::Choice::Free,
    keys: &[
        default(
            "max_connections",
            Kind::Scalar(Scalar::Integer { min: 0, max: 10_000_000 }),
            "0",
            "Open connections of clients, over all listeners and workers.",
        ),
        default(
            "max_buffer_memory",
            Kind::Scalar(Scalar::Size { min: 0, max: 1 << 50 }),
            "8GiB",
            "Memory for buffers of connections, each worker an equal part of it. A connection with a request counts \
             with 256 KiB, of which the system gives only what is used. Beyond it, requests are answered with 503.",
        ),
    ],
};

/// The store.
pub(in crate::config) static STORE: Shape = Shape {
    name: "store",
    doc: "How much of what was is kept, in the data folder or, without one, in memory.",
    choice: super::Choice::Free,
    keys: &[default(
        "revisions",
        Kind::Scalar(Scalar::Integer { min: 10, max: 1_000_000 }),
        "1000",
        "Revisions that are kept, to be listed, compared and restored; the oldest give way. The audit has every change all \
         the same. On disk a revision takes some hundred bytes, and the text of a control file stands there once.",
    )],
};

/// Looking names up.
pub(in crate::config) static DNS: Shape = Shape {
    name: "dns",
    doc: "Looking up the names of endpoints.",
    choice: super::Choice::Free,
    keys: &[optional(
        "servers",
        Kind::List(&Kind::Scalar(Scalar::Address), 1),
        "Name servers, with their port: `[10.0.0.53:53]`. Without it, those of the system (/etc/resolv.conf), and /etc/hosts.",
    )],
};
