//! How fast a client must send its body.
//!
//! Only time in which Weir waits for the client counts: while the endpoint takes nothing, or has not asked for the body yet, the
//! client is not to blame. Of that time, each byte that came pays for a part, and the grace for the rest. So what is asked for is an
//! average over the body: a pause is forgiven to whoever was fast before it, and `stream_idle` bounds it in any case.

use std::time::Duration;

use tokio::time::Instant;

use crate::policy::BodyRate;

/// One body's account.
#[derive(Debug)]
pub(super) struct Pace {
    rule: BodyRate,
    /// Time that was waited before `since`.
    waited: Duration,
    /// Since when the client is waited for, if it is.
    since: Option<Instant>,
}

// === impl Pace ===

impl Pace {
    /// An account of a body that is asked for from now on.
    pub(super) fn new(rule: BodyRate) -> Self {
        Self { rule, waited: Duration::ZERO, since: None }
    }

    /// Whether the client is waited for `now`, with `bytes` of the body read. Gives when it is too slow if nothing more comes.
    pub(super) fn observe(&mut self, now: Instant, waiting: bool, bytes: u64) -> Option<Instant> {
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        if !waiting {
            return None;
        }
        self.since = Some(now);
        // What was paid for beyond a century makes no difference.
        let seconds = (bytes / self.rule.bytes_per_second).min(u64::from(u32::MAX));
        let rest = bytes % self.rule.bytes_per_second;
        let nanos = u128::from(rest) * 1_000_000_000 / u128::from(self.rule.bytes_per_second.get());
        let paid = Duration::new(seconds, u32::try_from(nanos).unwrap_or_default());
        // The moment stays where it is while nothing comes, also once it has passed.
        Some(now + (self.rule.grace + paid) - self.waited)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::types::clock;

    /// What happens at a time, in milliseconds: whether the client is waited for, the bytes so far, and when it would be too slow.
    type Step = (u64, bool, u64, Option<u64>);

    #[tokio::test(start_paused = true)]
    async fn bytes_and_the_grace_pay_for_the_wait() {
        let cases: &[&[Step]] = &[
            // Nothing comes.
            &[(0, true, 0, Some(5000)), (5000, true, 0, Some(5000)), (5010, true, 0, Some(5000))],
            // At the rate it never runs out; below it, it does.
            &[(0, true, 0, Some(5000)), (4000, true, 4000, Some(9000)), (8000, true, 8000, Some(13_000))],
            &[(0, true, 0, Some(5000)), (4000, true, 1500, Some(6500)), (6500, true, 1500, Some(6500))],
            // A part of a second's bytes pays for that part.
            &[(0, true, 1, Some(5001)), (1000, true, 999, Some(5999))],
            // Whoever was fast may pause.
            &[(0, true, 0, Some(5000)), (10, true, 60_000, Some(65_000))],
            // While the endpoint takes nothing, no time passes.
            &[
                (0, true, 0, Some(5000)),
                (1000, false, 500, None),
                (60_000, false, 500, None),
                (61_000, true, 500, Some(65_500)),
                (62_000, true, 500, Some(65_500)),
            ],
            // A body of any size is no overflow.
            &[(0, true, u64::MAX, Some(4_294_967_295_000 + 5000 + 615))],
        ];
        let rule =
            BodyRate { bytes_per_second: NonZeroU64::new(1000).unwrap(), grace: Duration::from_secs(5) };
        for case in cases {
            let start = clock::now();
            let mut pace = Pace::new(rule);
            for (at, waiting, bytes, expected) in *case {
                let at = start + Duration::from_millis(*at);
                let deadline = pace.observe(at, *waiting, *bytes);
                let deadline = deadline.map(|deadline| (deadline - start).as_millis());
                assert_eq!(deadline, expected.map(u128::from), "{case:?}");
            }
        }
    }
}
