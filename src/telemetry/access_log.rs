//! The access log: one JSON line per request, written by a thread of its own.
//!
//! A worker decides whether a line is kept ([`Sampler`]), and only then builds the entry and puts it into a bounded queue.
//! When the queue is full the line is dropped and counted: a slow disk or a stuck reader of stdout never delays a
//! request. The thread writes what it has in one piece, then naps for a few milliseconds before it waits, so a busy
//! worker rarely pays for waking it. Lines that could not be written are counted, and the first error of a row of errors
//! is reported once.
//!
//! Field names are those of the OpenTelemetry semantic conventions where they exist.

mod line;
mod writer;

use std::{
    cell::Cell,
    fs::{File, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::Release},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use self::writer::{Message, Writer};
use super::label::{ErrorKind, MethodLabel, PolicyLabel};
use crate::types::{Name, Reason, Revision};

/// Lines that may wait for the writer: a few milliseconds of the highest load, about 1 MiB of entries.
pub const QUEUE: usize = 4096;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// The standard output.
    Stdout,
    /// The end of a file, made when missing.
    File(PathBuf),
}

/// What a line says of a request.
#[derive(Debug, Clone)]
pub struct AccessEntry {
    /// When the request began, since 1970-01-01T00:00:00Z.
    pub time: Duration,
    /// The trace that the request belongs to.
    pub trace_id: Option<u128>,
    /// The method.
    pub method: MethodLabel,
    /// The path, without the query.
    pub path: String,
    /// The query; to be filled only where the operator asked for queries.
    pub query: Option<String>,
    /// The Cookie header; to be filled only where the operator asked for cookies.
    pub cookie: Option<String>,
    /// The host that was asked for.
    pub host: Option<String>,
    /// The client, behind trusted proxies.
    pub client: Option<IpAddr>,
    /// The User-Agent header.
    pub user_agent: Option<String>,
    /// The HTTP version: `1.0`, `1.1` or `2`.
    pub protocol_version: &'static str,
    /// The status sent.
    pub status: u16,
    /// Bytes of the response's body that were sent.
    pub body_size: u64,
    /// What went wrong.
    pub error: Option<ErrorKind>,
    /// The same in words, with its causes.
    pub error_message: Option<String>,
    /// The version of TLS that the client speaks.
    pub tls_version: Option<&'static str>,
    /// From the request's head read to the response's last byte written.
    pub duration: Duration,
    /// From the request's head sent upstream to the response's head read.
    pub upstream_duration: Option<Duration>,
    /// The route.
    pub route: Option<Name>,
    /// The backend.
    pub backend: Option<Name>,
    /// Why it was this backend.
    pub reason: Option<Reason>,
    /// What of the route's policy answered, when no backend did.
    pub policy: Option<PolicyLabel>,
    /// How long it was held up on purpose; a part of `duration`.
    pub fault_delay: Option<Duration>,
    /// The revision that served the request.
    pub revision: Revision,
    /// The endpoint's address.
    pub endpoint: Option<Arc<str>>,
    /// Attempts after the first.
    pub retries: u32,
}

/// Decides which requests are logged; one for each worker.
#[derive(Debug)]
pub struct Sampler {
    /// A line is kept when 64 mixed bits are below; `None` keeps all.
    threshold: Option<u64>,
    state: Cell<u64>,
}

/// What became of the lines.
#[derive(Debug, Default)]
pub struct AccessLogCounts {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// The log: workers put entries in, its thread writes them.
#[derive(Debug)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    orders: Arc<Orders>,
    counts: Arc<AccessLogCounts>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

/// What the thread is asked to do beside writing.
#[derive(Debug, Default)]
struct Orders {
    reopen: AtomicBool,
    close: AtomicBool,
}

// === impl Sampler ===

impl Sampler {
    /// Keeps a part of all requests, 0 to 1 (cut to that), besides all errors. The seed tells workers apart.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 to 2^64, and a cast saturates"
    )]
    pub fn new(rate: f64, seed: u64) -> Self {
        let threshold = (rate < 1.0).then(|| (rate.max(0.0) * u64::MAX as f64) as u64);
        Self { threshold, state: Cell::new(seed) }
    }

    /// Whether the line of a request is kept: errors always (5xx, or something went wrong), the others by rate.
    #[inline]
    pub fn keeps(&self, status: u16, error: Option<ErrorKind>) -> bool {
        let Some(threshold) = self.threshold else { return true };
        status >= 500 || error.is_some() || self.bits() < threshold
    }

    /// The next bits of splitmix64 (Steele, Lea, Flood 2014): a plain count would follow the rhythm of the traffic.
    fn bits(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

// === impl Sink ===

impl Sink {
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::File(path) => Box::new(append(path)?),
        })
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

// === impl AccessLogCounts ===

impl AccessLogCounts {
    /// Lines written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Lines dropped because the queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Lines lost to write errors.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Each result's word and count.
    pub(super) fn by_result(&self) -> [(&'static str, u64); 3] {
        [("written", self.written()), ("dropped", self.dropped()), ("failed", self.failed())]
    }
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens the sink and starts the thread. `on_error` is called from that thread with the first error of a row.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not be started.
    pub fn start(sink: Sink, on_error: impl Fn(&io::Error) + Send + 'static) -> io::Result<Self> {
        Self::with(Box::new(move || sink.open()), QUEUE, Box::new(on_error))
    }

    /// A log that opens its sink by `open`, now and when told to reopen.
    fn with(open: writer::Open, capacity: usize, on_error: writer::OnError) -> io::Result<Self> {
        let sink = open()?;
        let (queue, inbox) = sync_channel(capacity);
        let (ending, ended) = sync_channel(1);
        let (orders, counts) = (Arc::<Orders>::default(), Arc::<AccessLogCounts>::default());
        let writer = Writer::new(sink, open, on_error, Arc::clone(&orders), Arc::clone(&counts));
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            // Dropped last, after the inbox, however the thread ends.
            let _ending: SyncSender<()> = ending;
            writer.run(inbox);
        })?;
        Ok(Self { queue, orders, counts, ended: Mutex::new(ended) })
    }

    /// Puts a line into the queue, or counts it as dropped when the queue is full. Never waits.
    pub fn record(&self, entry: AccessEntry) {
        if self.queue.try_send(Message::Entry(entry)).is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// The counts, for the export.
    #[must_use]
    pub fn counts(&self) -> Arc<AccessLogCounts> {
        Arc::clone(&self.counts)
    }

    /// Opens the file anew before any later line is written; for logrotate, after it has renamed the file. When that
    /// fails the error is reported and the old file is kept.
    pub fn reopen(&self) {
        self.orders.reopen.store(true, Release);
        self.wake();
    }

    /// Writes what is in the queue and ends the thread; lines recorded after this has returned true are dropped and
    /// counted, those recorded meanwhile may be lost. Waits for at most `within`, because the
    /// reader of stdout may never read again; says whether everything was written.
    pub fn close(&self, within: Duration) -> bool {
        self.orders.close.store(true, Release);
        self.wake();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(ended.recv_timeout(within), Err(RecvTimeoutError::Disconnected))
    }

    /// A full queue needs no waking: its thread looks for orders at each entry.
    fn wake(&self) {
        match self.queue.try_send(Message::Wake) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests;
