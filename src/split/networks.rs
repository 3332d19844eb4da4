//! Networks with a value each, looked up by the longest prefix.
//!
//! One hash probe per distinct prefix length of the address's family, from the longest: at most 33 for IPv4, however
//! long the list is. IPv4-mapped IPv6 addresses count as IPv4.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

use ipnet::IpNet;

/// Values by network.
#[derive(Debug, Clone)]
pub struct Networks<T> {
    v4: Family<T>,
    v6: Family<T>,
}

/// By prefix length, the longest first, the networks with their host bits cleared. IPv4 is in the upper 32 bits.
type Family<T> = Vec<(u8, HashMap<u128, T>)>;

/// A set of networks.
pub type NetworkSet = Networks<()>;

// === impl Networks ===

impl<T> Networks<T> {
    /// A table of these networks; of the same network twice, the first counts.
    #[must_use]
    pub fn new(entries: impl IntoIterator<Item = (IpNet, T)>) -> Self {
        let mut table = Self { v4: Vec::new(), v6: Vec::new() };
        for (network, value) in entries {
            let (family, bits) = table.family_mut(network.addr());
            let length = network.prefix_len();
            let at = match family.binary_search_by_key(&Reverse(length), |(length, _)| Reverse(*length)) {
                Ok(at) => at,
                Err(at) => {
                    family.insert(at, (length, HashMap::new()));
                    at
                }
            };
            family[at].1.entry(masked(bits, length)).or_insert(value);
        }
        table
    }

    /// The value of the smallest network that holds the address.
    #[must_use]
    pub fn get(&self, address: IpAddr) -> Option<&T> {
        let (family, bits) = match address.to_canonical() {
            IpAddr::V4(v4) => (&self.v4, u128::from(v4.to_bits()) << 96),
            IpAddr::V6(v6) => (&self.v6, v6.to_bits()),
        };
        family.iter().find_map(|(length, networks)| networks.get(&masked(bits, *length)))
    }

    /// Whether any network holds the address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.get(address).is_some()
    }

    /// Whether there are no networks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// How many networks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.iter().chain(&self.v6).map(|(_, networks)| networks.len()).sum()
    }

    fn family_mut(&mut self, address: IpAddr) -> (&mut Family<T>, u128) {
        match address {
            IpAddr::V4(v4) => (&mut self.v4, u128::from(v4.to_bits()) << 96),
            IpAddr::V6(v6) => (&mut self.v6, v6.to_bits()),
        }
    }
}

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Self { v4: Vec::new(), v6: Vec::new() }
    }
}

impl FromIterator<IpNet> for NetworkSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self::new(networks.into_iter().map(|network| (network, ())))
    }
}

/// The first `length` bits.
fn masked(bits: u128, length: u8) -> u128 {
    bits & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let entries =
            ["0.0.0.0/0", "10.0.0.0/8", "10.20.0.0/16", "10.20.0.7/32", "2001:db8::/32", "10.9.9.9/8"];
        let table = Networks::new(entries.map(|network| (network.parse().unwrap(), network)));
        for (address, expected) in [
            ("10.20.0.7", Some("10.20.0.7/32")),
            ("10.20.0.8", Some("10.20.0.0/16")),
            ("::ffff:10.20.0.8", Some("10.20.0.0/16")),
            ("10.9.9.9", Some("10.0.0.0/8")),
            ("192.0.2.1", Some("0.0.0.0/0")),
            ("2001:db8::1", Some("2001:db8::/32")),
            ("2001:db9::1", None),
        ] {
            assert_eq!(table.get(address.parse().unwrap()).copied(), expected, "{address}");
        }
        assert_eq!(table.len(), 5);
    }
}
