//! What waits for one client. Bounded, because a client may be slow, and its end must cost nobody else anything.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::body::Bytes;
use tokio::time::Instant;

/// Events that may wait for a client: more than any burst of changes, and the texts are shared.
pub(super) const CAPACITY: usize = 256;
/// How long an event may wait. It waits at all only while the kernel takes no more bytes for this client.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The queue of one client, between who publishes and the response's body.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<(Instant, Bytes)>,
    ended: bool,
    abandoned: bool,
    reader: Option<Waker>,
}

/// The client does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client does not keep up with the events")]
pub struct Slow;

// === impl Queue ===

impl Queue {
    /// Adds a text.
    pub(super) fn push(&self, text: Bytes, now: Instant) -> Result<(), Slow> {
        let mut inner = self.inner();
        if inner.waiting.len() >= CAPACITY || inner.is_stuck(now) {
            return Err(Slow);
        }
        inner.waiting.push_back((now, text));
        inner.wake();
        Ok(())
    }

    /// Whether something has waited for too long.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.inner().is_stuck(now)
    }

    /// Nothing comes after what waits, and `last`.
    pub(super) fn finish(&self, last: Option<Bytes>) {
        let mut inner = self.inner();
        let now = inner.waiting.back().map(|(at, _)| *at);
        if let (Some(last), false) = (last, inner.ended) {
            let at = now.unwrap_or_else(crate::types::clock::now);
            inner.waiting.push_back((at, last));
        }
        inner.ended = true;
        inner.wake();
    }

    /// Breaks off; what waits is gone.
    pub(super) fn abandon(&self) {
        let mut inner = self.inner();
        inner.waiting.clear();
        inner.abandoned = true;
        inner.wake();
    }

    /// The next text; `None` after the last, an error when it was broken off.
    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Slow>>> {
        let mut inner = self.inner();
        match inner.waiting.pop_front() {
            Some((_, text)) => Poll::Ready(Some(Ok(text))),
            None if inner.abandoned => Poll::Ready(Some(Err(Slow))),
            None if inner.ended => Poll::Ready(None),
            None => {
                inner.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    fn is_stuck(&self, now: Instant) -> bool {
        self.waiting.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > PATIENCE)
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
