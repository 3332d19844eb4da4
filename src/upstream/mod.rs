//! Upstream: endpoints and what is known of them, how one is chosen, connections to them, and health, active and passive.
//!
//! An endpoint's state is keyed by its identity (backend, address) and outlives reloads; connections belong to the worker
//! that made them and never move.

pub mod balance;
pub mod connect;
pub mod endpoint;
pub mod health;
pub mod outlier;
pub mod pool;
mod protocol;
pub mod session;

pub use endpoint::{Directory, Endpoint, Verdict};
pub use outlier::OutlierDetection;
pub use pool::{Pools, UpstreamConnection};
pub use protocol::Protocol;
pub use session::{Lease, Sessions};
