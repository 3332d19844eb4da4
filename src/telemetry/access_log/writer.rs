//! The thread of the access log.

use std::{
    io::{self, ErrorKind, Write},
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Acquire, Relaxed},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use super::{AccessEntry, AccessLogCounts, Orders, line};

/// Bytes gathered before they are written while more entries wait.
const BATCH: usize = 64 * 1024;

/// How long the thread looks away after it has written everything. A thread that waits in the queue must be woken by
/// the worker that sends, which costs it a system call; at one nap per batch that is at most 200 a second.
const NAP: Duration = Duration::from_millis(5);

/// Opens the sink.
pub(super) type Open = Box<dyn Fn() -> io::Result<Box<dyn Write + Send>> + Send>;
/// Is told the first error of a row.
pub(super) type OnError = Box<dyn Fn(&io::Error) + Send>;

/// What is in the queue.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all messages are entries; a box would cost each an allocation"
)]
#[derive(Debug)]
pub(super) enum Message {
    /// A line.
    Entry(AccessEntry),
    /// Nothing but a reason to look at the orders.
    Wake,
}

pub(super) struct Writer {
    sink: Box<dyn Write + Send>,
    open: Open,
    on_error: OnError,
    orders: Arc<Orders>,
    counts: Arc<AccessLogCounts>,
    buffer: Vec<u8>,
    /// The last write ended inside a line, so the next begins with a line feed.
    torn: bool,
    /// The last write failed, so the next error is not news.
    failing: bool,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        sink: Box<dyn Write + Send>,
        open: Open,
        on_error: OnError,
        orders: Arc<Orders>,
        counts: Arc<AccessLogCounts>,
    ) -> Self {
        Self { sink, open, on_error, orders, counts, buffer: Vec::new(), torn: false, failing: false }
    }

    /// Writes until told to close, or until nobody can send any more. Takes the inbox, so that it is gone when this
    /// returns and whatever is sent later is counted as dropped.
    pub(super) fn run(mut self, inbox: Receiver<Message>) {
        let mut busy = false;
        loop {
            let first = if busy { nap_then_take(&inbox) } else { inbox.recv().map_err(|_| Take::Ended) };
            match first {
                Ok(message) => {
                    self.take(message);
                    while let Ok(message) = inbox.try_recv() {
                        self.take(message);
                    }
                    self.write();
                    busy = true;
                }
                Err(Take::Nothing) => busy = false,
                Err(Take::Ended) => return,
            }
            // What was sent before the order to close was taken above: the order came with a message behind it, or the
            // queue was full and has been emptied since.
            if self.orders.close.load(Acquire) {
                while let Ok(message) = inbox.try_recv() {
                    self.take(message);
                }
                return self.write();
            }
        }
    }

    fn take(&mut self, message: Message) {
        if self.orders.reopen.swap(false, AcqRel) {
            self.reopen();
        }
        let Message::Entry(entry) = message else { return };
        let before = self.buffer.len();
        if line::append(&mut self.buffer, &entry).is_err() {
            self.buffer.truncate(before);
            self.counts.failed.fetch_add(1, Relaxed);
        }
        if self.buffer.len() >= BATCH {
            self.write();
        }
    }

    fn reopen(&mut self) {
        self.write();
        match (self.open)() {
            Ok(sink) => {
                self.sink = sink;
                self.torn = false;
            }
            Err(error) => (self.on_error)(&error),
        }
    }

    /// Writes the buffer and empties it, whatever comes of it: what a full disk refuses is lost and counted, not kept.
    fn write(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.torn {
            self.buffer.insert(0, b'\n');
        }
        let (done, error) = write_some(self.sink.as_mut(), &self.buffer);
        let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let repaired = u64::from(self.torn && done > 0);
        self.counts.written.fetch_add(lines(&self.buffer[..done]) - repaired, Relaxed);
        let unrepaired = u64::from(self.torn && done == 0);
        self.counts.failed.fetch_add(lines(&self.buffer[done..]) - unrepaired, Relaxed);
        if done > 0 {
            self.torn = self.buffer[done - 1] != b'\n';
        }
        self.buffer.clear();
        if let Some(error) = &error
            && !self.failing
        {
            (self.on_error)(error);
        }
        self.failing = error.is_some();
    }
}

/// Why there is no message.
enum Take {
    Nothing,
    Ended,
}

/// Lets entries gather, then takes the first if there is one.
fn nap_then_take(inbox: &Receiver<Message>) -> Result<Message, Take> {
    std::thread::sleep(NAP);
    inbox.recv_timeout(Duration::ZERO).map_err(|error| match error {
        RecvTimeoutError::Timeout => Take::Nothing,
        RecvTimeoutError::Disconnected => Take::Ended,
    })
}

/// Writes as much as goes: how many bytes went, and what stopped the rest.
fn write_some(sink: &mut dyn Write, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut done = 0;
    while done < bytes.len() {
        match sink.write(&bytes[done..]) {
            Ok(0) => return (done, Some(ErrorKind::WriteZero.into())),
            Ok(written) => done += written,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (done, Some(error)),
        }
    }
    (done, sink.flush().err())
}
