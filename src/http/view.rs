//! What routing and splitting may see of a request.

use std::net::IpAddr;

use super::Headers;
use crate::types::Name;

/// A request's head and origin, borrowed. `explain` and tests build one from parts.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// The method, with its case (RFC 9110, section 9.1).
    pub method: &'a str,
    /// The host without port, in lower case; empty when the request has none. An IPv6 literal keeps its brackets.
    pub host: &'a str,
    /// The path as received, from `/` up to `?`; never decoded or normalized.
    pub path: &'a [u8],
    /// What follows the first `?`, as received.
    pub query: Option<&'a [u8]>,
    /// The header fields, as received.
    pub headers: Headers<'a>,
    /// The client's address: the peer, or the first untrusted hop of X-Forwarded-For behind trusted proxies.
    pub client_ip: IpAddr,
    /// The address of the connection's other end.
    pub peer_ip: IpAddr,
    /// Whether the client speaks TLS, to Weir or to a trusted peer that says so.
    pub secure: bool,
    /// The region that the listener is labelled with.
    pub listener_region: Option<&'a Name>,
}
