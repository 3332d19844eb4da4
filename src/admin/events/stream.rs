//! The body of a response that is a stream of events.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame};
use serde::Serialize;
use tokio::time::{Sleep, sleep};

use super::{
    Events, Kind, event,
    queue::{Queue, Slow},
};
use crate::types::clock;

/// Silence after which a comment is sent, so that both sides and everything between them see that the other is there.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// A comment, which clients ignore.
const COMMENT: Bytes = Bytes::from_static(b": nothing new\n\n");
/// When to try again after the connection is lost, in milliseconds.
const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// Events for one client, as text.
pub struct EventStream {
    events: Arc<Events>,
    client: u64,
    queue: Arc<Queue>,
    /// The number of the newest event when it was opened.
    at: u64,
    first: VecDeque<Bytes>,
    heartbeat: Pin<Box<Sleep>>,
}

// === impl EventStream ===

impl EventStream {
    pub(super) fn new(
        events: Arc<Events>,
        (client, queue): (u64, Arc<Queue>),
        at: u64,
        first: Vec<Bytes>,
    ) -> Self {
        let first = std::iter::once(RETRY).chain(first).collect();
        Self { events, client, queue, at, first, heartbeat: Box::pin(sleep(HEARTBEAT)) }
    }

    /// Puts the whole picture before everything that is still to come. It has to be made after the stream was opened: a
    /// change between the two is then told twice, and not never.
    pub fn begin_with(&mut self, snapshot: &impl Serialize) {
        self.first.push_back(event::encode(self.at, Kind::Snapshot.as_str(), snapshot));
    }
}

impl Body for EventStream {
    type Data = Bytes;
    /// Ends the connection at once, so that it holds nothing any longer.
    type Error = Slow;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Slow>>> {
        let text = match self.first.pop_front() {
            Some(text) => Some(Ok(text)),
            None => match self.queue.poll_next(context) {
                Poll::Ready(text) => text,
                Poll::Pending if self.heartbeat.as_mut().poll(context).is_ready() => Some(Ok(COMMENT)),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.heartbeat.as_mut().reset(clock::now() + HEARTBEAT);
        Poll::Ready(text.map(|text| text.map(Frame::data)))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.events.leave(self.client);
    }
}
