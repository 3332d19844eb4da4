//! Words that every layer shares: names, weights, buckets, revisions, the clock and the overlay.
//!
//! Nothing here does I/O or knows a file format beyond how a word is written.

pub mod address;
pub mod bucket;
pub mod cause;
pub mod clock;
pub mod name;
pub mod overlay;
pub mod probe;
pub mod rate;
pub mod reason;
pub mod revision;
pub mod role;
pub mod stage;
pub mod state;
pub mod weight;

pub use address::Address;
pub use bucket::{BUCKETS, Bucket, Fraction};
pub use name::{Name, NameError};
pub use overlay::{Overlay, RouteOverlay};
pub use probe::Probe;
pub use rate::Rate;
pub use reason::Reason;
pub use revision::Revision;
pub use role::Role;
pub use stage::{Left, Stage};
pub use state::{BackendState, OnUnavailable, StickyMode};
pub use weight::{Weight, WeightError};
