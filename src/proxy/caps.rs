//! How many connections there may be: of a listener, of all, and of one client's address.
//!
//! The first two are sums over what each worker counts for itself. The third needs a map that workers share; it exists only for
//! listeners that ask for it, and is touched when a connection begins and ends, never by a request.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::types::address::is_unix_peer;

/// Parts of the map, each with a lock of its own.
const PARTS: usize = 64;
/// What of an IPv6 address counts: one client usually has a /64 to itself (RFC 6177).
const V6_PREFIX: u128 = !0 << 64;

/// Open client connections of each worker. Each writes its own and reads all.
#[derive(Debug)]
pub(super) struct OpenConnections(Box<[Padded]>);

/// Alone on its cache lines, so that one worker's count does not slow the others'.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicUsize);

/// Open connections of a listener by client address.
#[derive(Debug)]
pub(super) struct ByAddress {
    parts: [Mutex<HashMap<IpAddr, u32>>; PARTS],
    hasher: RandomState,
}

/// One connection in [`ByAddress`].
#[derive(Debug)]
pub(super) struct Counted {
    of: Arc<ByAddress>,
    address: IpAddr,
}

// === impl OpenConnections ===

impl OpenConnections {
    pub(super) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Padded::default()).collect())
    }

    /// Says how many `worker` has.
    pub(super) fn set(&self, worker: usize, count: usize) {
        self.0[worker].0.store(count, Relaxed);
    }

    /// How many all workers have.
    pub(super) fn total(&self) -> usize {
        self.0.iter().map(|count| count.0.load(Relaxed)).sum()
    }
}

// === impl ByAddress ===

impl ByAddress {
    /// Counts a connection from `address`, unless there are `limit` already. Clients of unix sockets have no address and are not
    /// counted: the outer `None` is a refusal, the inner one stands for them.
    #[allow(clippy::option_option, reason = "refused, not counted and counted are three things")]
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, limit: u32) -> Option<Option<Counted>> {
        if is_unix_peer(address) {
            return Some(None);
        }
        let address = client_of(address);
        let mut part = self.part(address).lock().unwrap_or_else(PoisonError::into_inner);
        let count = part.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Some(Counted { of: Arc::clone(self), address }))
    }

    fn part(&self, address: IpAddr) -> &Mutex<HashMap<IpAddr, u32>> {
        let place = usize::try_from(self.hasher.hash_one(address) % PARTS as u64).unwrap_or_default();
        &self.parts[place]
    }
}

impl Default for ByAddress {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new() }
    }
}

/// What stands for a client.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & V6_PREFIX)),
        v4 => v4,
    }
}

// === impl Counted ===

impl Drop for Counted {
    fn drop(&mut self) {
        let mut part = self.of.part(self.address).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = part.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                part.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_connections_and_no_more() {
        let by_address = Arc::<ByAddress>::default();
        let admit = |text: &str| by_address.admit(text.parse().unwrap(), 2);
        let first = admit("10.0.0.1").unwrap();
        let mapped = admit("::ffff:10.0.0.1").unwrap();
        assert!(admit("10.0.0.1").is_none());
        assert!(admit("10.0.0.2").is_some(), "another client has its own");
        drop(first);
        let again = admit("10.0.0.1").unwrap();
        assert!(admit("10.0.0.1").is_none());
        let _six = [admit("2001:db8::1").unwrap(), admit("2001:db8::2").unwrap()];
        assert!(admit("2001:db8::3").is_none(), "one /64 is one client");
        assert!(admit("2001:db8:0:1::3").is_some());
        drop((mapped, again));
        let left: usize = by_address.parts.iter().map(|part| part.lock().unwrap().len()).sum();
        assert_eq!(left, 1, "nothing is kept of who is gone");
        assert!((0..9).all(|_| admit("0.0.0.0").is_some_and(|counted| counted.is_none())), "unix sockets");
    }

    #[test]
    fn the_workers_counts_add_up() {
        let open = OpenConnections::new(3);
        open.set(0, 5);
        open.set(2, 7);
        open.set(0, 4);
        assert_eq!(open.total(), 11);
    }
}
