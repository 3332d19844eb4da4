//! Who may ask, by address.

use std::net::IpAddr;

use crate::split::NetworkSet;

/// Client addresses that a route takes; `deny` wins over `allow`.
#[derive(Debug)]
pub struct Access {
    allow: Option<NetworkSet>,
    deny: NetworkSet,
}

// === impl Access ===

impl Access {
    /// Takes what is in `allow` (`None` is everybody) and not in `deny`.
    #[must_use]
    pub fn new(allow: Option<NetworkSet>, deny: NetworkSet) -> Self {
        Self { allow, deny }
    }

    /// Whether `address` may ask.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        !self.deny.contains(address) && self.allow.as_ref().is_none_or(|allow| allow.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> NetworkSet {
        text.split_whitespace().map(|net| net.parse::<ipnet::IpNet>().unwrap()).collect()
    }

    #[test]
    fn deny_wins_over_allow() {
        for (allow, deny, address, admitted) in [
            (None, "", "192.0.2.1", true),
            (None, "192.0.2.0/24", "192.0.2.1", false),
            (None, "192.0.2.0/24", "192.0.3.1", true),
            (Some("10.0.0.0/8 fd00::/8"), "", "10.1.2.3", true),
            (Some("10.0.0.0/8 fd00::/8"), "", "fd00::1", true),
            (Some("10.0.0.0/8 fd00::/8"), "", "192.0.2.1", false),
            (Some("10.0.0.0/8"), "10.9.0.0/16", "10.9.1.1", false),
            (Some("10.9.1.1/32"), "10.9.0.0/16", "10.9.1.1", false),
        ] {
            let access = Access::new(allow.map(networks), networks(deny));
            assert_eq!(access.admits(address.parse().unwrap()), admitted, "{allow:?} {deny:?} {address}");
        }
    }
}
