//! Where regions come from, as it is declared.

use std::path::PathBuf;

use ipnet::IpNet;

use crate::types::Name;

/// Sources of a request's region, tried in this order after the listener's own label.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Geo {
    /// Headers that name the region when the peer is in `from`.
    pub trusted_headers: Vec<TrustedHeader>,
    /// A MaxMind database (country or city), read by client address.
    pub database: Option<PathBuf>,
    /// Regions by network; the longest prefix wins.
    pub networks: Vec<GeoNetwork>,
}

/// A header that names the region.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedHeader {
    /// Its name, e.g. `CF-IPCountry`.
    pub name: String,
    /// Peers it is believed from; empty means `trusted_proxies`.
    pub from: Vec<IpNet>,
}

/// A network and its region.
#[derive(Debug, Clone, PartialEq)]
pub struct GeoNetwork {
    /// The addresses.
    pub cidr: IpNet,
    /// Their region.
    pub region: Name,
}
