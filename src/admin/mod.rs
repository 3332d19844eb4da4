//! The admin API: what operators, scripts and the command line see and change.
//!
//! [`router`] answers requests, [`serve`] takes connections. Reading comes from two sources: [`Control`] has the state, and
//! a [`View`] has what only the running system knows (traffic, health, explanations). Writing is a command to `Control`,
//! always. `guard` stands before every handler: which host is asked, from which page, who asks ([`auth`]), what they may do,
//! and what is counted.

pub mod api;
pub mod auth;
pub mod events;
mod guard;
mod patient;
mod server;
#[cfg(test)]
mod tests;
mod view;

use std::{net::SocketAddr, sync::Arc};

pub use api::router;
pub use auth::{Auth, AuthError};
pub use events::Events;
pub use server::{BindError, Door, check_bind, serve};
pub use view::View;

use crate::{
    control::Control,
    rollout::{Rollouts, links::Links},
    telemetry::ControlStats,
};

/// What every handler has; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The state, and the way to change it.
    pub control: Control,
    /// What only the running system knows.
    pub view: Arc<dyn View>,
    /// Where calls are counted.
    pub stats: Arc<ControlStats>,
    /// Who may ask for what.
    pub auth: Arc<Auth>,
    /// Rollouts, and the way to start and steer them.
    pub rollouts: Rollouts,
    /// Checks the links that agree to a step of a rollout, or reject it.
    pub links: Links,
    /// What clients are told of as it happens; [`events::follow`] has to run.
    pub events: Arc<Events>,
    /// The address that is served; its host is one that may be asked.
    pub bind: SocketAddr,
}
