//! Tasks that serve streams, one after the other.
//!
//! What a stream needs while it is served is some kilobytes of state, a timer and buffers. To make them for each stream and to
//! throw them away behind it costs more than many a request, so a task that has served a stream waits for the next, of whichever
//! connection of its worker. Those that were not needed for a while end.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::{server::Job, stream::StreamClient};
use crate::{http::RequestHead, proxy::timer::Timer};

/// Most tasks of a worker that wait for a stream; more than that end when they have served theirs.
const MOST: usize = 256;
/// A buffer that has grown beyond this is not kept.
const KEPT_BYTES: usize = 4096;

/// A worker's tasks that wait for a stream.
#[derive(Default)]
pub(in crate::proxy) struct Lanes {
    waiting: RefCell<Vec<Rc<Lane>>>,
    /// The fewest that have waited at once since the last sweep: they are not needed.
    fewest: Cell<usize>,
}

/// One task.
#[derive(Default)]
pub(super) struct Lane {
    job: Cell<Option<Job>>,
    /// Whether it is to end.
    ending: Cell<bool>,
    waker: Cell<Option<Waker>>,
    spares: Cell<Spares>,
}

/// What is used again from stream to stream.
#[derive(Default)]
pub(super) struct Spares {
    pub(super) head: RequestHead,
    /// Empty.
    pub(super) bytes: Vec<u8>,
    /// Without a deadline, but armed perhaps: then the next stream's is set without asking the runtime.
    pub(super) timer: Timer,
}

// === impl Lanes ===

impl Lanes {
    /// Has the stream served that `job` makes ready.
    pub(super) fn serve(&self, job: impl FnOnce(Spares) -> Job) {
        let waiting = self.waiting.borrow_mut().pop();
        self.fewest.set(self.fewest.get().min(self.waiting.borrow().len()));
        if let Some(lane) = waiting {
            lane.job.set(Some(job(lane.spares.take())));
            lane.wake();
        } else {
            let lane = Rc::<Lane>::default();
            lane.job.set(Some(job(Spares::default())));
            tokio::task::spawn_local(lane.run());
        }
    }

    /// Ends tasks that were not needed since the last sweep: half of them, so that what comes in waves finds some.
    pub(in crate::proxy) fn sweep(&self) {
        let mut waiting = self.waiting.borrow_mut();
        let needless = self.fewest.get().min(waiting.len()).div_ceil(2);
        for lane in waiting.drain(..needless) {
            lane.ending.set(true);
            lane.wake();
        }
        self.fewest.set(waiting.len());
    }

    /// Whether the task may wait for another stream.
    fn take_back(&self, lane: &Rc<Lane>) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let room = waiting.len() < MOST;
        if room {
            waiting.push(Rc::clone(lane));
        }
        room
    }
}

// === impl Lane ===

impl Lane {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The next stream, or `None` when the task is to end.
    fn poll_job(&self, cx: &mut Context<'_>) -> Poll<Option<Job>> {
        let job = self.job.take();
        if job.is_some() || self.ending.get() {
            return Poll::Ready(job);
        }
        let known = self.waker.take().filter(|known| known.will_wake(cx.waker()));
        self.waker.set(Some(known.unwrap_or_else(|| cx.waker().clone())));
        Poll::Pending
    }

    async fn run(self: Rc<Self>) {
        while let Some(mut job) = poll_fn(|cx| self.poll_job(cx)).await {
            job.serve().await;
            let (worker, spares) = job.end();
            self.spares.set(spares);
            if !worker.lanes.take_back(&self) {
                break;
            }
        }
    }
}

// === impl Spares ===

impl Spares {
    /// What a stream leaves behind.
    pub(super) fn of(head: RequestHead, client: StreamClient) -> Self {
        let StreamClient { mut bytes, mut timer, .. } = client;
        timer.set_deadline(None);
        if bytes.capacity() > KEPT_BYTES {
            bytes = Vec::new();
        }
        bytes.clear();
        Self { head, bytes, timer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(count: usize) -> Lanes {
        let lanes = Lanes::default();
        for _ in 0..count {
            lanes.take_back(&Rc::default());
        }
        lanes
    }

    #[test]
    fn no_more_wait_than_may() {
        let lanes = waiting(MOST);
        assert!(!lanes.take_back(&Rc::default()));
        assert_eq!(lanes.waiting.borrow().len(), MOST);
    }

    #[test]
    fn what_is_not_needed_ends_by_and_by() {
        let lanes = waiting(9);
        let mut left = Vec::new();
        for _ in 0..7 {
            lanes.sweep();
            left.push(lanes.waiting.borrow().len());
        }
        // Before the first sweep nobody knows how many were needed.
        assert_eq!(left, [9, 4, 2, 1, 0, 0, 0]);
    }

    #[test]
    fn a_task_that_ends_is_told_so() {
        let lanes = waiting(1);
        let lane = Rc::clone(&lanes.waiting.borrow()[0]);
        lanes.sweep();
        lanes.sweep();
        assert!(matches!(lane.poll_job(&mut Context::from_waker(Waker::noop())), Poll::Ready(None)));
    }
}
