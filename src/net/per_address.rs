//! How many connections each client address has, exactly, over all threads.
//!
//! The one thing of the data plane that threads share and write; only listeners that ask for a limit have one. Addresses are spread over
//! parts with a lock each, held for one look-up.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Parts with a lock of their own.
const PARTS: usize = 32;

/// Counts connections by address. An IPv6 client counts by its /64, of which it has all addresses (RFC 6177, RFC 8981).
#[derive(Debug)]
pub struct PerAddress {
    parts: [Mutex<HashMap<IpAddr, u32>>; PARTS],
}

/// A counted connection; it counts until it is dropped.
#[derive(Debug)]
pub struct Counted {
    counts: Arc<PerAddress>,
    key: IpAddr,
}

// === impl PerAddress ===

impl PerAddress {
    /// Counts a connection from `address`; `None` when it has `most` already.
    pub fn enter(self: &Arc<Self>, address: IpAddr, most: u32) -> Option<Counted> {
        let key = key_of(address);
        let mut part = self.part(key).lock().unwrap_or_else(PoisonError::into_inner);
        let count = part.entry(key).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted { counts: Arc::clone(self), key })
    }

    fn part(&self, key: IpAddr) -> &Mutex<HashMap<IpAddr, u32>> {
        // The last bytes differ most. Whoever picks addresses of one part makes its lock busy, and no list long: the maps are
        // keyed by a secret.
        let mix = match key {
            IpAddr::V4(ip) => ip.octets().into_iter().fold(0, |mix: u8, byte| mix.wrapping_mul(31) ^ byte),
            IpAddr::V6(ip) => ip.octets().into_iter().fold(0, |mix: u8, byte| mix.wrapping_mul(31) ^ byte),
        };
        &self.parts[usize::from(mix) % PARTS]
    }

    fn leave(&self, key: IpAddr) {
        let mut part = self.part(key).lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = part.entry(key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Default for PerAddress {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.leave(self.key);
    }
}

fn key_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_number() {
        let counts = Arc::<PerAddress>::default();
        let enter = |text: &str| counts.enter(text.parse().unwrap(), 2);
        let first = enter("192.0.2.1").unwrap();
        let _second = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(first);
        let _third = enter("192.0.2.1").unwrap();
        let _a = enter("2001:db8::1").unwrap();
        let _b = enter("2001:db8::ffff:1").unwrap();
        assert!(enter("2001:db8::2").is_none(), "the same /64");
        assert!(enter("2001:db8:0:1::2").is_some());
        let left: usize = counts.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert_eq!(left, 2, "whoever has no connection takes no memory");
    }
}
