//! The only place that reads a clock.
//!
//! Whatever decides takes the time as an argument, so that hours can be simulated in milliseconds; the edges (workers,
//! the applier, probes) ask here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The monotonic time; follows tokio's paused clock in tests.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the place that the rule points to")]
pub fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The wall-clock time since 1970-01-01T00:00:00Z; zero when the machine's clock is before that.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the place that the rule points to")]
pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
