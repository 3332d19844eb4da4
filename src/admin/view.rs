//! What the API shows of the running system, beyond the state that control owns.

use std::time::Duration;

use super::api::types::{Condition, Endpoint, ExplainRequest, Explanation, Listener, Traffic};
use crate::types::Name;

/// The running system, as the API shows it. Calls are quick and do not block.
pub trait View: Send + Sync + 'static {
    /// What `backend` did on `route` in the last seconds.
    fn traffic(&self, route: &Name, backend: &Name) -> Traffic;

    /// The endpoints of `backend` and their health, in file order; empty when there is no such backend.
    fn endpoints(&self, backend: &Name) -> Vec<Endpoint>;

    /// How `backend` is as a whole; all well when there is no such backend.
    fn condition(&self, backend: &Name) -> Condition;

    /// The sockets that take requests.
    fn listeners(&self) -> Vec<Listener>;

    /// Which backend `request` would get on `route`, and why. Has no effects.
    ///
    /// # Errors
    /// When `request` cannot be a request, or the route is gone by now.
    fn explain(&self, route: &Name, request: &ExplainRequest) -> Result<Explanation, String>;

    /// The value of a header that gives its sender `backend` on `route` until `expires`, in seconds since 1970.
    fn sign_override(&self, of: (&Name, &Name), expires: u32) -> String;

    /// Every metric in the Prometheus text format.
    ///
    /// # Errors
    /// When they cannot be gathered.
    fn metrics(&self) -> Result<String, String>;

    /// Why this instance should get no new traffic: starting, draining; empty when it should.
    fn not_ready(&self) -> Vec<String>;

    /// What an operator should know though traffic is carried, such as certificates that end soon.
    fn warnings(&self) -> Vec<String>;

    /// Whether Weir is shutting down and takes no more changes.
    fn is_stopping(&self) -> bool;

    /// The time since start.
    fn uptime(&self) -> Duration;
}
