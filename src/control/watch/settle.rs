//! When a file that has changed is worth a look.

use std::time::Duration;

use tokio::time::Instant;

/// From a finished change to the look: long enough for the several notifications of one save, short enough that a new weight
/// is in force well within 100 ms.
pub const DEBOUNCE: Duration = Duration::from_millis(10);
/// How long a writer that keeps the file open must be quiet.
pub const QUIET: Duration = Duration::from_millis(300);
/// The longest wait, so that a file that never comes to rest is looked at too.
const LONGEST: Duration = Duration::from_secs(2);

/// What a notification says about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// It is being written.
    Writing,
    /// Its writer has closed it.
    Finished,
    /// Another file, or none, has taken its place.
    Replaced,
}

/// Notifications since the last look, and when the next is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Settle {
    first: Option<Instant>,
    due: Option<Instant>,
}

// === impl Settle ===

impl Settle {
    /// Takes a notification at `now`.
    pub(super) fn observe(&mut self, hint: Hint, now: Instant) {
        let first = *self.first.get_or_insert(now);
        let wait = match hint {
            Hint::Writing => QUIET,
            Hint::Finished | Hint::Replaced => DEBOUNCE,
        };
        self.due = Some((now + wait).min(first + LONGEST));
    }

    /// When to look; `None` when nothing was notified.
    pub(super) fn due(self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::clock;

    #[test]
    fn a_look_waits_for_the_end_of_a_write() {
        use Hint::{Finished, Replaced, Writing};
        for (notifications, expected) in [
            (&[][..], None),
            (&[(Replaced, 0)], Some(10)),
            (&[(Finished, 0), (Finished, 15)], Some(25)),
            (&[(Writing, 0)], Some(300)),
            (&[(Writing, 0), (Writing, 200)], Some(500)),
            (&[(Writing, 0), (Finished, 5)], Some(15)),
            (&[(Finished, 0), (Writing, 10)], Some(310)),
            (&[(Writing, 0), (Writing, 1900)], Some(2000)),
        ] {
            let start = clock::now();
            let mut settle = Settle::default();
            for (hint, at) in notifications {
                settle.observe(*hint, start + Duration::from_millis(*at));
            }
            let due = settle.due().map(|due| u64::try_from((due - start).as_millis()).unwrap());
            assert_eq!(due, expected, "{notifications:?}");
        }
    }
}
