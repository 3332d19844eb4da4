//! A deadline that costs nothing to move.
//!
//! A connection has one timer for all its timeouts. Moving the deadline later, which every request and every chunk does,
//! only writes a field: the runtime's timer fires at the old time, sees that it is too early, and is armed again. Only a
//! deadline that moves before the armed time touches the runtime.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// One connection's deadline.
#[derive(Debug, Default)]
pub(super) struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

// === impl Timer ===

impl Timer {
    /// The deadline is at this time; `None` is never.
    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// The deadline is `after` from `now`; zero is never.
    pub(super) fn set(&mut self, now: Instant, after: Duration) {
        self.deadline = (!after.is_zero()).then(|| now + after);
    }

    /// Ready when the deadline has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Waits for the deadline.
    pub(super) async fn expired(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::clock;

    #[tokio::test(start_paused = true)]
    async fn it_fires_at_the_last_deadline_set() {
        let start = clock::now();
        let mut timer = Timer::default();
        timer.set(start, Duration::from_secs(75));
        assert!(futures_poll(&mut timer).await.is_pending());
        timer.set(start, Duration::from_secs(15));
        timer.set(start, Duration::from_secs(20));
        timer.expired().await;
        assert_eq!(clock::now() - start, Duration::from_secs(20));
        timer.set(clock::now(), Duration::ZERO);
        assert!(futures_poll(&mut timer).await.is_pending());
    }

    async fn futures_poll(timer: &mut Timer) -> Poll<()> {
        std::future::poll_fn(|cx| Poll::Ready(timer.poll(cx))).await
    }
}
