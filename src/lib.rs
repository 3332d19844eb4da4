//! Weir: an edge traffic-splitting reverse proxy with progressive delivery built in.

pub mod admin;
pub mod config;
pub mod control;
pub mod http;
pub mod routing;
pub mod split;
pub mod telemetry;
pub mod types;
