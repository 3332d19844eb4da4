//! Rollouts: moving traffic to a new version step by step, and taking it back when the version is bad.
//!
//! - [`machine`] decides, purely: a state and an event give the next state and what is to be done.
//! - [`observe`] reads what workers noted of each request; [`cohort`] and [`sums`] put it together; [`judge`] says what the gates of
//!   the plan make of it, with a [`reason`] for everything.
//! - [`driver`] runs the machine: it brings events, changes traffic through control, keeps the journal.
//! - [`outside`] is what is asked of others, [`notice`] what people are told, and [`links`] how they agree without a token.

pub mod cohort;
pub mod driver;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod judge;
pub mod links;
pub mod machine;
pub mod notice;
pub mod observe;
pub mod outside;
pub mod reason;
pub mod sums;
pub mod users;

pub use driver::{Driver, Rollouts};
