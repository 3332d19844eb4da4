//! A thread with a runtime of its own, for the parts of the demo that stand for other machines.
//!
//! Backends and load share neither runtime nor thread with Weir, so that what the demo measures is Weir, and not how
//! its own tasks wait for each other. Dropping a [`Background`] ends its tasks and joins the thread: none outlives the
//! demo, however it ends.

use std::{
    io,
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task,
};

/// A running thread; ends when dropped.
pub(super) struct Background {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

// === impl Background ===

impl Background {
    /// Starts a thread called `name` (15 bytes at most are shown by the system).
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Dropping the sender means the same as sending. The runtime is dropped here, and all tasks with it.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs `task` on the thread.
    pub(super) fn spawn<F>(&self, task: F) -> task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(task)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of one of its tasks was reported when it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicBool};

    use super::*;

    #[tokio::test]
    async fn tasks_run_elsewhere_and_end_with_it() {
        let here = thread::current().id();
        let background = Background::start("background").unwrap();
        let there = background.spawn(async { thread::current().id() }).await.unwrap();
        assert_ne!(here, there);
        let alive = Arc::new(AtomicBool::new(true));
        let held = Arc::clone(&alive);
        background.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(background);
        assert_eq!(Arc::strong_count(&alive), 1, "the task and what it held are gone");
    }
}
