//! How long a new weight takes to be in force, as a user sees it.
//!
//! The growing share of v2 is a growing range of buckets from zero, so every step has buckets that must change sides. A
//! user of such a bucket asks every millisecond or two on a connection of its own; the first answer of v2 is the proof.
//! What is measured is therefore at most that much too long, and never too short.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{
    backend::PROBE_PATH,
    client::Client,
    load::{is_right, reason, request, version_of},
    place::ROUTE,
    stats::LoadStats,
    version::Version,
};
use crate::{
    split::Salt,
    types::{Fraction, clock},
};

/// How long to wait for a new weight: fifty times what is promised.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two questions. Without it, the probes would outnumber the load in what `weir status` shows.
const PAUSE: Duration = Duration::from_millis(1);

/// What the probe saw.
#[derive(Debug, Default)]
pub(super) struct Probed {
    /// When the first answer of v2 was there.
    pub(super) moved_at: Option<Instant>,
    /// Whether v2 answered before it was time.
    pub(super) premature: bool,
    /// Requests sent.
    pub(super) requests: u64,
    /// Of those, failed.
    pub(super) failed: u64,
}

/// Asks as `user` until v2 answers; `armed` is told when v1 has answered, `stats` why a
/// request failed.
pub(super) async fn probe(
    target: SocketAddr,
    user: String,
    stats: Arc<LoadStats>,
    armed: oneshot::Sender<()>,
) -> Probed {
    let mut client = Client::new(target);
    let mut armed = Some(armed);
    let mut probed = Probed::default();
    let end = clock::now() + LIMIT;
    while clock::now() < end {
        probed.requests += 1;
        let answer = client.send(request(target, PROBE_PATH, &user)).await;
        let right = answer.as_ref().ok().filter(|answer| is_right(answer, PROBE_PATH));
        match right.and_then(version_of) {
            Some(Version::V1) => {
                if let Some(armed) = armed.take() {
                    // Nobody waits for it any more when the demo is being stopped.
                    let _ = armed.send(());
                }
            }
            Some(Version::V2) => {
                probed.moved_at = Some(clock::now());
                probed.premature = armed.is_some();
                break;
            }
            None => {
                probed.failed += 1;
                stats.failed_because(&|| reason(&answer));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    probed
}

/// A user that has v1 while v2 has `from` percent, and v2 when it has `to`. It is none of the load's users.
pub(super) fn probe_user(from: u32, to: u32) -> String {
    let salt = Salt::new(ROUTE);
    let fraction = |percent: u32| Fraction::from_percent(f64::from(percent)).expect("steps are percentages");
    let moves = |user: &String| {
        let bucket = salt.bucket(user.as_bytes());
        !fraction(from).contains(bucket) && fraction(to).contains(bucket)
    };
    (1..u32::MAX).map(|number| format!("probe-{number}")).find(moves).expect("to is above from")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_users_have_buckets_that_move() {
        for (from, to, buckets) in [(0, 5, 0..5_000), (5, 25, 5_000..25_000), (50, 100, 50_000..100_000)] {
            let user = probe_user(from, to);
            let bucket = Salt::new(ROUTE).bucket(user.as_bytes()).number();
            assert!(buckets.contains(&bucket), "{user} has bucket {bucket}");
        }
    }
}
