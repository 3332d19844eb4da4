//! Choosing an endpoint of a backend.

mod p2c;

pub use p2c::P2c;
