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

/// Parts of the map, each with a lock of its own.
const PARTS: usize = 64;
/// What of an IPv6 address counts: one client usually has a /64 to itself (RFC 6177).
const V6_PREFIX: u128 = !0 << 64;

/// Open client connections, as one worker sees them: it writes its own number and reads all.
#[derive(Debug)]
pub(super) struct Connections {
    all: Arc<[Padded]>,
    worker: usize,
}

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

// === impl Connections ===

impl Connections {
    /// The views of so many workers.
    pub(super) fn of_workers(count: usize) -> Vec<Self> {
        let all: Arc<[Padded]> = (0..count).map(|_| Padded::default()).collect();
        (0..count).map(|worker| Self { all: Arc::clone(&all), worker }).collect()
    }

    /// The worker has one more.
    pub(super) fn opened(&self) {
        self.set(self.own() + 1);
    }

    /// The worker has one less.
    pub(super) fn closed(&self) {
        self.set(self.own().saturating_sub(1));
    }

    /// How many the worker has.
    pub(super) fn own(&self) -> usize {
        self.all[self.worker].0.load(Relaxed)
    }

    /// How many all workers have.
    pub(super) fn total(&self) -> usize {
        self.all.iter().map(|count| count.0.load(Relaxed)).sum()
    }

    /// Only this worker writes, so that no read-modify-write is needed.
    fn set(&self, count: usize) {
        self.all[self.worker].0.store(count, Relaxed);
    }
}

// === impl ByAddress ===

impl ByAddress {
    /// Counts a connection from `address`; `None` when there are `limit` already.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, limit: u32) -> Option<Counted> {
        let address = client_of(address);
        let mut part = self.part(address).lock().unwrap_or_else(PoisonError::into_inner);
        let count = part.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Counted { of: Arc::clone(self), address })
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
    }

    #[test]
    fn the_workers_counts_add_up() {
        let workers = Connections::of_workers(3);
        for worker in [0, 2, 2, 0, 0] {
            workers[worker].opened();
        }
        workers[0].closed();
        assert_eq!((workers[0].own(), workers[1].own(), workers[1].total()), (2, 0, 4));
    }
}
