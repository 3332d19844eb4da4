//! Where something listens: an address and port, or a unix socket.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// The address that clients of a unix socket count as, since they have none: `0.0.0.0`, which no other client can have. The control
/// file's word for it is `unix`.
pub const UNIX_PEER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Where something listens. Ordered, so that it can be a part of an identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket, by the path of its file.
    Unix(PathBuf),
}

// === impl Address ===

impl Address {
    /// The address and port, if it has them.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The Host of requests to it that name none: the address, and `localhost` for a unix socket, as nginx and curl have it.
    #[must_use]
    pub fn host(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Whether a peer or client with this address has none, because it came over a unix socket.
#[must_use]
pub fn is_unix_peer(address: IpAddr) -> bool {
    address == UNIX_PEER
}
