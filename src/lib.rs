//! Weir: an edge traffic-splitting reverse proxy with progressive delivery built in.
//!
//! Two planes in one process. The data plane ([`proxy`]) carries requests and only reads; the control plane ([`control`]) is the
//! only writer. Between them stands one pointer to an immutable [`snapshot`].
//!
//! # The journey of a request
//! All of it on the thread that accepted the connection, with the snapshot that was in force when its head was complete:
//! 1. `proxy::listener` accepts, `proxy::connection` reads a head, [`http`] understands it strictly or refuses it;
//! 2. `proxy::handle` asks [`routing`] for the route and [`split`] for the backend;
//! 3. `proxy::forward` takes an endpoint and a connection from [`upstream`], and tries again where that is safe;
//! 4. `proxy::exchange` moves both bodies, each through one buffer;
//! 5. [`telemetry`] counts and logs it, in the shard of its thread.
//!
//! # The journey of a change
//! 1. A control file is noticed by `control::watch` and read by [`config`], or a call arrives at [`admin`] (whose client is [`cli`]);
//! 2. both become a command to the applier of [`control`], which takes one at a time and decides purely what it does;
//! 3. [`server`] opens what the new state needs and [`snapshot`] compiles it: what can fail fails here, before anything changes;
//! 4. the store has it on disk; then one swap publishes it, and every request that begins after that sees it;
//! 5. health checks and listeners follow by difference, and the audit has a row.

pub mod admin;
pub mod analysis;
pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod http;
pub mod net;
pub mod policy;
pub mod proxy;
pub mod rollout;
pub mod routing;
pub mod server;
pub mod snapshot;
pub mod split;
pub mod telemetry;
pub mod types;
pub mod upstream;
