//! A Weir in this process, with a control file of its own and ports that the kernel chooses.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use weir::{
    control::{Change, Channel, Command, Origin as Sender, Refusal, command::Digest, store::AuditQuery},
    server::{self, Options, Running},
    types::Address,
};

use super::{Client, Origin, PATIENCE, Setup};

/// A running Weir; it stops when it is dropped.
pub(crate) struct Weir {
    runtime: Runtime,
    running: Option<Running>,
    folder: TempDir,
}

// === impl Weir ===

impl Weir {
    /// With the usual file, in front of one origin.
    pub(crate) fn before(origin: &Origin) -> Self {
        Setup::before(origin).start()
    }

    pub(crate) fn start(setup: &Setup) -> Self {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("weir.yaml");
        fs::write(&config, setup.text()).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = Options { config, ephemeral: true, ..Options::default() };
        let running = runtime
            .block_on(server::start(&options))
            .unwrap_or_else(|error| panic!("Weir does not start: {error}\n{}", setup.text()));
        Self { runtime, running: Some(running), folder }
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("it was not stopped yet")
    }

    /// The address of a listener.
    pub(crate) fn address_of(&self, listener: &str) -> SocketAddr {
        let listeners = self.running().listeners();
        let address = listeners.get(listener).and_then(Address::tcp);
        address.unwrap_or_else(|| panic!("no listener {listener} with an address"))
    }

    /// The address of the usual listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address_of("web")
    }

    /// A new connection to the usual listener.
    pub(crate) fn client(&self) -> Client {
        Client::to(self.address())
    }

    /// The sum of all samples of a metric whose labels contain this text.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let mut admin = Client::to(self.running().admin());
        let page = admin.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").text();
        let samples = page.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
        });
        samples
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .fold(0.0, |sum, value| sum + value)
    }

    /// Attempts beside the first, of all requests up to now.
    pub(crate) fn retries(&self) -> u64 {
        self.count("weir_retries_total", "")
    }

    /// A metric that counts.
    pub(crate) fn count(&self, name: &str, labels: &str) -> u64 {
        format!("{:.0}", self.metric(name, labels)).parse().expect("a count")
    }

    /// Waits until a metric has come to `expected`: a request is counted just after its client has the response.
    pub(crate) fn counts(&self, name: &str, labels: &str, expected: u64) {
        let seen = || (self.count(name, labels) == expected).then_some(());
        eventually(&format!("{name}{{{labels}}} is {expected}, not {}", self.count(name, labels)), seen);
    }

    /// A folder for whatever a case needs.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Carries out a command through control.
    pub(crate) fn apply(&self, change: Change) -> Result<(), Refusal> {
        self.apply_because(change, None)
    }

    /// The same for a reason.
    pub(crate) fn apply_because(&self, change: Change, reason: Option<&str>) -> Result<(), Refusal> {
        let sender = Sender { reason: reason.map(str::to_owned), ..Sender::new("it", Channel::Api) };
        let command = Command::new(change, sender);
        self.runtime.block_on(self.running().control.apply(command)).map(drop)
    }

    /// The rows of the audit, newest first, as JSON.
    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        let query = AuditQuery { limit: 100, ..AuditQuery::default() };
        let rows = self.runtime.block_on(self.running().control.history().audit(query)).unwrap();
        rows.into_iter().map(|row| serde_json::to_value(row.row).unwrap()).collect()
    }

    /// Replaces the control file as an editor does, and waits until it is in force.
    pub(crate) fn rewrite(&self, setup: &Setup) {
        let text = setup.text();
        self.write_file(&text);
        let digest = Digest::of(text.as_bytes());
        let mut states = self.running().control.watch();
        let waiting = states.wait_for(|state| state.file.digest == digest);
        let waited = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, waiting).await.map(|state| state.is_ok()) });
        assert!(
            waited.is_ok_and(|there| there),
            "not taken: {:#?}\n{text}",
            self.running().control.state().last_reload
        );
    }

    /// Replaces the control file and does not wait.
    pub(crate) fn write_file(&self, text: &str) {
        let draft = self.path("weir.yaml.new");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, self.path("weir.yaml")).unwrap();
    }

    /// Stops it in the background; the thread gives how many connections were cut off.
    pub(crate) fn stop(mut self) -> std::thread::JoinHandle<usize> {
        std::thread::spawn(move || {
            let running = self.running.take().expect("it was not stopped yet");
            self.runtime.block_on(running.stop())
        })
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

/// Tries again and again until `done` gives something. For what no event tells, such as the verdict of a health check.
pub(crate) fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let began = now();
    while began.elapsed() < PATIENCE {
        if let Some(value) = done() {
            return value;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never happened: {what}")
}

/// The time, to measure what a case took.
#[allow(clippy::disallowed_methods, reason = "cases measure real time on real sockets")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
