//! Telemetry.

mod counter;
pub mod histogram;
