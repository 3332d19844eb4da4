//! The data plane: connections in, requests forwarded, outcomes counted.
//!
//! Read in the order of a request: `listener` → `connection` → `handle` → routing and split → `forward` → `exchange` →
//! `relay`. [`DataPlane`] starts the workers and is all that the composition root sees.

mod attempt;
mod bridge;
mod buffer;
mod caps;
mod client_address;
mod connection;
mod deadlines;
mod downstream;
mod error;
mod exchange;
mod fields;
mod forward;
mod h2;
mod handle;
mod handshake;
mod headers;
mod identity;
mod lease;
mod listener;
mod log;
mod mirror;
mod pace;
mod pick;
mod plane;
mod policy;
mod recent;
mod relay;
mod respond;
mod retry;
mod source;
mod timer;
mod trace;
mod trailing;
mod trial;
mod tries;
mod websocket;
mod worker;

pub use plane::{DataPlane, OpenListener, Queue};
