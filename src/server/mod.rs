//! The composition root: builds everything, and owns the order of starting and stopping.
//!
//! Start: file → store → compile → sockets → workers → watcher and admin API. Whatever is wrong with the file, the store
//! or an address ends the start before a single request was taken. Stop: readiness fails, listeners go on for the drain
//! delay, then no new connections, requests under way finish, and at last the store and the log close. A new process can take over
//! from one that runs (`handover`).

mod certificates;
mod condition;
mod guard;
mod handover;
mod inherited;
mod publisher;
pub mod service_manager;
mod start;
mod token_keys;
mod view;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::{sync::oneshot, task::JoinHandle};

pub use self::{
    handover::TakeoverError,
    inherited::{Activated, ActivationError},
    start::start,
};
pub use crate::control::{Event, audit::rfc3339};

use self::{handover::Successor, publisher::Stage};
use crate::{
    admin::{self, Auth},
    config::Diagnostics,
    control::{Control, store::StoreError, watch},
    telemetry::Trial,
    types::{Address, Name, clock},
};

/// What Weir is started with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The control file.
    pub config: PathBuf,
    /// Where to keep what must survive a restart, instead of what the file says.
    pub data_dir: Option<PathBuf>,
    /// Keep everything in memory.
    pub ephemeral: bool,
    /// Take over from the process that runs with the same data directory, if there is one.
    pub takeover: bool,
    /// Sockets that a service manager has passed.
    pub sockets: Activated,
}

/// A running Weir.
pub struct Running {
    /// Carries out commands and knows the state.
    pub control: Control,
    stage: Stage,
    /// Its address, and how it is called.
    admin: (SocketAddr, Vec<String>),
    auth: Arc<Auth>,
    draining: Arc<AtomicBool>,
    driver: Background,
    applier: Background,
    serving_admin: Background,
    tasks: Vec<JoinHandle<()>>,
    rescan: watch::Rescan,
    /// Tells when another process has taken over.
    succession: Option<oneshot::Receiver<Successor>>,
    successor: Option<Successor>,
}

/// Why Weir does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The control file is wrong.
    #[error("{0}")]
    Config(Box<Diagnostics>),
    /// The admin API must not be bound there.
    #[error(transparent)]
    AdminAddress(#[from] admin::BindError),
    /// The admin API cannot know who asks.
    #[error(transparent)]
    Auth(#[from] admin::AuthError),
    /// The admin API cannot speak TLS.
    #[error("admin.tls: {0}")]
    AdminTls(String),
    /// The admin API cannot have its unix socket.
    #[error("the admin API cannot bind unix:{}", .0.display())]
    AdminSocket(PathBuf, #[source] std::io::Error),
    /// The admin API cannot be bound there.
    #[error("the admin API cannot bind {0}")]
    Admin(SocketAddr, #[source] std::io::Error),
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state cannot run: an address is taken, a database cannot be read.
    #[error("{0}")]
    State(String),
    /// The process that runs keeps what it has.
    #[error("cannot take over")]
    Takeover(#[from] TakeoverError),
    /// Sockets that were passed on cannot be used.
    #[error("cannot use the sockets that were passed on")]
    Inherited(#[source] io::Error),
    /// A worker cannot be started.
    #[error("cannot start a worker thread")]
    Workers(#[source] std::io::Error),
}

/// A task that ends when it is told to.
struct Background {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

// === impl Background ===

impl Background {
    /// Begins `run`, which is given what tells it to end.
    fn begin<F: Future<Output = ()> + Send + 'static>(run: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop: Some(stop), task: tokio::spawn(run(stopped)) }
    }

    /// Tells it to end.
    fn stop(&mut self) {
        self.stop = None;
    }

    /// Tells it to end, and waits until it has.
    async fn end(mut self) {
        self.stop();
        let _ = self.task.await;
    }
}

// === impl Running ===

impl Running {
    /// The addresses that the listeners have, with the ports that were chosen for port 0.
    #[must_use]
    pub fn listeners(&self) -> BTreeMap<Name, Address> {
        self.stage.listeners()
    }

    /// The address of the admin API, with the port that was chosen for port 0.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin.0
    }

    /// How the admin API is called by clients on this machine, the address last.
    #[must_use]
    pub fn admin_urls(&self) -> &[String] {
        &self.admin.1
    }

    /// What people should know about who may use the admin API.
    #[must_use]
    pub fn admin_notes(&self) -> Vec<String> {
        let mut notes = self.auth.warnings();
        if self.auth.is_open() {
            let text = "the admin API takes everything from everybody on this machine; `admin.tokens` would change that";
            notes.push(text.to_owned());
        }
        notes
    }

    /// What is measured of the stage in force on a route, while a rollout has it.
    #[must_use]
    pub fn trial(&self, route: &Name) -> Option<Arc<Trial>> {
        self.stage.trial(route)
    }

    /// Reads the control file again, whether or not it has changed.
    pub fn reload(&self) {
        self.rescan.now();
    }

    /// Opens the access log's file anew, after it was moved away.
    pub fn reopen_log(&self) {
        self.stage.reopen_log();
    }

    /// Waits until another process has taken over; gives its number, 0 if that is not known. Then [`leave`](Self::leave) is due.
    pub async fn taken_over(&mut self) -> u32 {
        if let Some(succession) = &mut self.succession {
            let successor = succession.await.ok();
            self.succession = None;
            self.successor = successor;
        }
        match &self.successor {
            Some(successor) => successor.pid,
            None => std::future::pending().await,
        }
    }

    /// Stops in order; returns how many connections were cut off because they took longer than the drain timeout.
    pub async fn stop(self) -> usize {
        self.draining.store(true, Relaxed);
        tokio::time::sleep(self.control.state().file.config.drain.delay).await;
        self.end(false).await
    }

    /// Leaves everything to the process that has taken over: requests under way finish here, all others begin there. Returns how many
    /// connections were cut off because they took longer than the drain timeout.
    pub async fn leave(self) -> usize {
        self.end(true).await
    }

    async fn end(self, handed_over: bool) -> usize {
        let timeout = self.control.state().file.config.drain.timeout;
        let mut serving_admin = self.serving_admin;
        // The other process answers from here on.
        if handed_over {
            serving_admin.stop();
        }
        let cut_off = self.stage.drain(timeout, handed_over).await;
        self.driver.end().await;
        // What was handed over is the other process's to write to. Else the pause comes when its turn does, after the last refusals.
        if !handed_over && self.auth.record_last_denials(&self.control).await {
            let _ = self.control.pause().await;
        }
        self.applier.end().await;
        serving_admin.end().await;
        for task in self.tasks {
            task.abort();
        }
        self.stage.close_log();
        cut_off
    }
}

/// The data directory when neither the command line nor the file names one: beside the control file, and named after it,
/// so that two files never share one.
#[must_use]
pub fn default_data_dir(config: &Path) -> PathBuf {
    config.with_extension("data")
}

/// Says something to operators: a line on standard error, with the time.
fn note(text: &str) {
    eprintln!("{} weir: {text}", rfc3339(clock::unix_now()));
}
