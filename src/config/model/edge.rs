//! What stands around connections: who they come from, and how many there may be, where names lead; and the store.

use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;

/// The PROXY protocol of a listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyProtocol {
    /// Whose connections begin with the header, all of them; at least one.
    pub from: Vec<IpNet>,
    /// For the whole header; zero is no limit. Default 5s.
    pub timeout: Duration,
}

/// What all clients together may cost; zero means no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalLimits {
    /// Open connections of clients. Default 0.
    pub max_connections: u32,
    /// Bytes of connections' buffers. Default 8 GiB.
    pub max_buffer_memory: u64,
}

/// How much of what was is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Revisions, 10 to 1,000,000; the oldest give way. Default 1000. Needs a restart.
    pub revisions: u64,
}

/// Looking up the names of endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dns {
    /// Name servers; without any, those of the system.
    pub servers: Vec<SocketAddr>,
}
