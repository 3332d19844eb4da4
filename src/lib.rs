//! Weir: an edge traffic-splitting reverse proxy with progressive delivery built in.

pub mod admin;
pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod http;
pub mod proxy;
pub mod routing;
pub mod server;
pub mod snapshot;
pub mod split;
pub mod telemetry;
pub mod types;
pub mod upstream;
