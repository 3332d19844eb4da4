//! Where a backend runs.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// One address of a backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where it is.
    pub target: EndpointTarget,
    /// Its share relative to the other endpoints of the backend, 1 to 1000. Default 1.
    pub weight: u32,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointTarget {
    /// At an address.
    Address(SocketAddr),
    /// At a unix socket.
    Unix(PathBuf),
    /// At every address that a name has.
    Dns {
        /// The name, in lower case.
        host: String,
        /// The port, 1 to 65535.
        port: u16,
    },
}

// === impl EndpointTarget ===

impl EndpointTarget {
    /// The key that says so.
    pub(in crate::config) fn key(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Unix(_) => "unix",
            Self::Dns { .. } => "dns",
        }
    }
}

impl fmt::Display for EndpointTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Dns { host, port } => write!(f, "{host}:{port}"),
        }
    }
}
