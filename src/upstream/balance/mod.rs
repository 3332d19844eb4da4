//! Choosing an endpoint of a backend.
//!
//! [`Balancer`] is what the control file's `lb_policy` becomes. A balancer is immutable and shared by all workers; what a
//! policy has to remember between requests is in the [`Memory`] of each worker. Time and randomness are arguments.

mod least_request;
mod memory;
mod p2c;
mod peak_ewma;
pub mod rendezvous;
mod round_robin;
#[cfg(test)]
mod tests;

pub use least_request::LeastRequest;
pub use memory::Memory;
pub use p2c::P2c;
pub use peak_ewma::PeakEwma;
pub use rendezvous::Rendezvous;
pub use round_robin::RoundRobin;

use tokio::time::Instant;

/// How a backend's endpoints are chosen.
#[derive(Debug, Clone)]
pub enum Balancer {
    /// Two are drawn by weight, the one with fewer requests in flight takes it.
    P2c(P2c),
    /// One after the other, each as often as its weight says.
    RoundRobin(RoundRobin),
    /// The one with the fewest requests in flight for its weight.
    LeastRequest(LeastRequest),
    /// Two are drawn by weight, the one that is expected to answer sooner takes it.
    PeakEwma(PeakEwma),
    /// The one that the key belongs to.
    Rendezvous(Rendezvous),
}

/// What a choice depends on beside the endpoints.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// Entropy.
    pub bits: u64,
    /// Who is asking, hashed; only [`Balancer::Rendezvous`] reads it.
    pub key: u64,
    /// The time.
    pub now: Instant,
}

/// The endpoints of a backend as they are for one request.
pub trait Candidates {
    /// The id of the endpoint at `place`.
    fn id(&self, place: usize) -> usize;
    /// Requests in flight at it, of this worker.
    fn load(&self, place: usize) -> u64;
    /// The part of its share that it takes now: 0 is nothing, 1 is all; between them while it starts slowly.
    fn readiness(&self, place: usize) -> f64;
}

// === impl Balancer ===

impl Balancer {
    /// The place of the endpoint that takes the request; `None` when none may.
    ///
    /// An endpoint that is not ready for its whole share is passed over as often as is missing. Rendezvous scales its
    /// weight instead, so that a key moves once, not with every request.
    pub fn pick(&self, draw: &Draw, memory: &Memory, candidates: &impl Candidates) -> Option<usize> {
        let by_chance = |place| {
            let readiness = candidates.readiness(place);
            readiness >= 1.0 || (readiness > 0.0 && chance(draw.bits, place) < readiness)
        };
        let picked = self.pick_among(draw, memory, candidates, by_chance);
        // Nobody else is there, so it is the slow ones after all.
        picked
            .or_else(|| self.pick_among(draw, memory, candidates, |place| candidates.readiness(place) > 0.0))
    }

    /// Whether choices depend on who is asking.
    #[must_use]
    pub fn needs_key(&self) -> bool {
        matches!(self, Self::Rendezvous(_))
    }

    /// Whether it wants to know how long endpoints take.
    #[must_use]
    pub fn needs_times(&self) -> bool {
        matches!(self, Self::PeakEwma(_))
    }

    fn pick_among(
        &self,
        draw: &Draw,
        memory: &Memory,
        candidates: &impl Candidates,
        may: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let load = |place| candidates.load(place);
        match self {
            Self::P2c(policy) => policy.pick(draw.bits, load, may),
            Self::LeastRequest(policy) => policy.pick(draw.bits, load, may),
            Self::RoundRobin(policy) => {
                // Ids are unique, so the first endpoint's stands for the backend.
                memory.with_cursor(candidates.id(0), draw.bits, |cursor| policy.pick(cursor, may))
            }
            Self::PeakEwma(policy) => {
                let cost = |place| memory.cost(candidates.id(place), candidates.load(place), draw.now);
                policy.pick(draw.bits, cost, may)
            }
            Self::Rendezvous(policy) => policy.pick(draw.key, |place| candidates.readiness(place)),
        }
    }
}

/// Mixes bits well (the finaliser of SplitMix64, Steele et al. 2014, "Fast splittable pseudorandom number generators").
fn mix(bits: u64) -> u64 {
    let mut z = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Well-mixed bits as a number above 0 and below 1.
#[allow(clippy::cast_precision_loss, reason = "53 bits fit a double")]
fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// A number from 0 to 1 for each endpoint, out of one draw.
fn chance(bits: u64, place: usize) -> f64 {
    unit(mix(bits ^ mix(place as u64)))
}
