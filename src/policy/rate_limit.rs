//! How often a route may be asked: the generic cell rate algorithm, by the crate governor, for each key by itself.
//!
//! GCRA keeps one number for a key: the theoretical arrival time, up to which what was admitted is paid for. A key whose time has
//! passed is as good as one that was never seen. All workers share a limiter, or a client would get as many limits as there are
//! workers.
//!
//! Memory has a bound. Keys are kept as hashes, in small sets of which each has a lock of its own; where a set is full, the key
//! that is nearest to its whole burst makes room. So a flood of new keys forgets those that have asked little, never gives a key
//! that is over its limit a fresh start before others, and costs the same for each request.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock::Clock, middleware::NoOpMiddleware, nanos::Nanos, state::StateStore,
};
use tokio::time::Instant;

use crate::{
    http::RequestView,
    types::{Rate, clock},
};

/// Keys in a set.
const WAYS: usize = 8;

/// How often each key may ask. Two rules that are equal are the same limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RateRule {
    /// What is counted by itself.
    pub key: RateKey,
    /// How often, in the long run.
    pub rate: Rate,
    /// How many at once, after a pause.
    pub burst: NonZeroU32,
    /// How many keys are remembered at least.
    pub max_keys: u32,
}

/// What is counted by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// A client's address; of IPv6 the first 64 bits, which are what one client has.
    ClientIp,
    /// The whole route.
    Route,
    /// A value of this header; requests without it count by the client's address.
    Header(Box<str>),
}

/// A rule, and who has asked how often.
pub struct Limiter {
    rule: RateRule,
    cells: RateLimiter<u64, Keys, Elapsed, NoOpMiddleware<Nanos>>,
    hasher: RandomState,
    forgotten: Arc<AtomicU64>,
}

/// A request over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// In how long the next one of this key is admitted, if none comes before it.
    pub wait: Duration,
}

/// Arrival times by key.
struct Keys {
    sets: Box<[Mutex<Vec<Cell>>]>,
    /// What a request costs, in nanoseconds.
    interval: u64,
    forgotten: Arc<AtomicU64>,
}

/// A key's hash, and the time up to which its requests are paid for, in nanoseconds of the limiter's clock.
#[derive(Debug, Clone, Copy)]
struct Cell {
    key: u64,
    until: u64,
}

/// The time since the limiter was made.
struct Elapsed(Instant);

// === impl RateKey ===

impl RateKey {
    /// The word in header fields.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ClientIp => "client_ip",
            Self::Route => "route",
            Self::Header(_) => "header",
        }
    }
}

// === impl RateRule ===

impl RateRule {
    /// How long a whole burst takes to come back, in whole seconds.
    #[must_use]
    pub fn window_seconds(&self) -> u64 {
        seconds(self.rate.interval().saturating_mul(self.burst.get()))
    }

    fn quota(&self) -> Quota {
        // A burst is held as the time that it takes to come back, in 64 bits; half of them are left for the clock.
        let interval = self.rate.interval().max(Duration::from_nanos(1));
        let most = u64::MAX / 4 / u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let most = NonZeroU32::new(u32::try_from(most).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(interval).expect("the interval is not zero");
        quota.allow_burst(self.burst.min(most))
    }
}

// === impl Limiter ===

impl Limiter {
    /// A limiter that has seen nobody.
    #[must_use]
    pub fn new(rule: RateRule) -> Self {
        let forgotten = Arc::<AtomicU64>::default();
        let keys = if rule.key == RateKey::Route { 1 } else { rule.max_keys as usize };
        let sets = keys.div_ceil(WAYS).next_power_of_two();
        let sets = (0..sets).map(|_| Mutex::default()).collect();
        let quota = rule.quota();
        let interval = Nanos::from(quota.replenish_interval()).as_u64();
        let keys = Keys { sets, interval, forgotten: Arc::clone(&forgotten) };
        let cells = RateLimiter::new(quota, keys, Elapsed(clock::now()));
        Self { rule, cells, hasher: RandomState::new(), forgotten }
    }

    /// What it goes by.
    #[must_use]
    pub fn rule(&self) -> &RateRule {
        &self.rule
    }

    /// How many keys made room for others before they had their whole burst back: with more than a few, `max_keys` is too low.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Relaxed)
    }

    /// Counts a request, or refuses it; one that is refused does not count.
    ///
    /// # Errors
    /// When its key is over the limit.
    pub fn admit(&self, request: &RequestView<'_>) -> Result<(), TooMany> {
        let key = match &self.rule.key {
            RateKey::Route => 0,
            RateKey::ClientIp => self.address(request.client_ip),
            RateKey::Header(name) => match request.headers.get(name) {
                Some(value) => self.hasher.hash_one((1_u8, value)),
                None => self.address(request.client_ip),
            },
        };
        let refused = self.cells.check_key(&key).err();
        refused.map_or(Ok(()), |until| Err(TooMany { wait: until.wait_time_from(self.cells.clock().now()) }))
    }

    fn address(&self, address: IpAddr) -> u64 {
        match address {
            IpAddr::V4(ip) => self.hasher.hash_one((4_u8, ip.to_bits())),
            IpAddr::V6(ip) => self.hasher.hash_one((6_u8, ip.to_bits() >> 64)),
        }
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("rule", &self.rule).finish_non_exhaustive()
    }
}

// === impl TooMany ===

impl TooMany {
    /// Whole seconds to wait, at least one, for `Retry-After` (RFC 9110, section 10.2.3).
    #[must_use]
    pub fn seconds(self) -> u64 {
        seconds(self.wait)
    }
}

/// Whole seconds, rounded up, at least one.
fn seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

// === impl Keys ===

impl StateStore for Keys {
    type Key = u64;

    #[allow(clippy::cast_possible_truncation, reason = "only low bits count")]
    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let set = &self.sets[*key as usize & (self.sets.len() - 1)];
        // Cells are plain numbers: whatever panicked elsewhere left them whole.
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let known = set.iter().position(|cell| cell.key == *key);
        let (answer, until) = decide(known.map(|place| set[place].until.into()))?;
        let cell = Cell { key: *key, until: until.into() };
        match known {
            Some(place) => set[place] = cell,
            None if set.len() < WAYS => set.push(cell),
            None => {
                let idlest = set.iter_mut().min_by_key(|cell| cell.until);
                if let Some(idlest) = idlest {
                    // What is new is paid for until an interval from now.
                    if idlest.until.saturating_add(self.interval) > cell.until {
                        self.forgotten.fetch_add(1, Relaxed);
                    }
                    *idlest = cell;
                }
            }
        }
        Ok(answer)
    }
}

// === impl Elapsed ===

impl Clock for Elapsed {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        clock::now().saturating_duration_since(self.0).into()
    }
}

#[cfg(test)]
mod tests;
