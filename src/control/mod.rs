//! Control: the only writer of what runs.
//!
//! Whoever wants a change (the control file, the API, a rollout) sends a [`Command`] to the one task that owns the state
//! ([`applier`]). That task validates, compiles, persists, publishes, audits and broadcasts, in this order, one change at a
//! time; so two changes never interleave, and an accepted change is on disk before anybody hears of it.
//!
//! - [`command`]: what can be asked, by whom; [`refusal`]: why it was not done
//! - `change`: what a command does to the state, as a pure function
//! - [`state`]: the state as everybody else sees it, and what of the overlay is in force
//! - [`store`]: the data directory: revisions, overlay, audit, signing keys; [`history`]: looking at what was
//! - [`journal`]: what is kept of rollouts, which themselves are decided elsewhere
//! - [`watch`]: files and their changes; [`reload`]: from a changed control file to a command

pub mod applier;
pub mod audit;
mod change;
pub mod command;
pub mod diff;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod history;
pub mod journal;
pub mod refusal;
pub mod reload;
pub mod state;
pub mod store;
pub mod watch;

pub use applier::{
    Accepted, Applier, CompileError, Control, Denial, Event, Note, PauseError, Paused, Publisher,
};
pub use change::{OVERRIDE_KEY, of_split};
pub use command::{
    Change, Channel, Command, ControlFile, Once, Origin, Restoration, StageChange, StageTarget, WeightChange,
};
pub use journal::Journal;
pub use refusal::Refusal;
pub use reload::{Preparation, ReloadFailure, Reloader};
pub use state::State;
