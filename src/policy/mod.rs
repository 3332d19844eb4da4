//! Traffic policy at runtime: what a route does to requests and responses beside sending them somewhere.
//!
//! A route without policy has none of this: `snapshot::Route` holds a [`Policy`] or nothing. Everything here decides on what it
//! is given, and answers nobody; `proxy` asks, and says what came out.

mod access;
mod answer;
mod cors;
mod fault;
mod headers;
pub mod jwt;
mod rate_limit;
mod rewrite;

use std::{num::NonZeroU64, sync::Arc, time::Duration};

pub use access::Access;
pub use answer::{Answer, Asked, PathChange, Redirect, Respond};
pub use cors::{Cors, CorsRule};
pub use fault::{Fault, Injected};
pub use headers::HeaderEdits;
pub(crate) use headers::is_same;
pub use rate_limit::{Limiter, RateKey, RateRule, TooMany};
pub use rewrite::Rewrite;

/// What a route does to requests and responses.
#[derive(Debug, Default)]
pub struct Policy {
    /// Who may ask.
    pub access: Option<Access>,
    /// Which pages of other origins may use it.
    pub cors: Option<Cors>,
    /// How often it may be asked; all must agree.
    pub rate_limits: Vec<Arc<Limiter>>,
    /// Most bytes of a request's body.
    pub max_body: Option<u64>,
    /// How fast it must come.
    pub min_body_rate: Option<BodyRate>,
    /// Changes of what goes to the backend.
    pub request_headers: Option<HeaderEdits>,
    /// Changes of what goes to the client.
    pub response_headers: Option<HeaderEdits>,
    /// Another path or Host for the backend.
    pub rewrite: Option<Rewrite>,
    /// Failures made on purpose.
    pub fault: Option<Fault>,
    /// What it answers itself, in place of a backend.
    pub answer: Option<Answer>,
}

/// How fast a request's body must come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyRate {
    /// Bytes in a second, over the whole body.
    pub bytes_per_second: NonZeroU64,
    /// How long the client may take beside that.
    pub grace: Duration,
}
