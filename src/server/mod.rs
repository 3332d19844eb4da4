//! The composition root: builds everything, and owns the order of starting and stopping.
//!
//! Start: file → store → compile → sockets → workers → watcher and admin API. Whatever is wrong with the file, the store
//! or an address ends the start before a single request was taken. Stop: readiness fails, listeners go on for the drain
//! delay, then no new connections, requests under way finish, and at last the store and the log close.

mod certificates;
mod condition;
mod publisher;
mod view;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{broadcast, oneshot},
    task::JoinHandle,
};

pub use crate::control::{Event, audit::rfc3339};

use self::{publisher::Stage, view::SystemView};
use crate::{
    admin,
    config::Diagnostics,
    control::{
        Applier, Channel, Control, ControlFile, Reloader,
        applier::StartError as ApplierError,
        store::{FileStore, MemoryStore, Store, StoreError},
        watch,
    },
    proxy::DataPlane,
    split::Keyring,
    telemetry::{ChangeResult, ChangeSource, ControlStats, Registry, Windows},
    types::{Address, Name, clock},
};

/// Between two ticks of the windows.
const TICK: Duration = Duration::from_secs(1);

/// What Weir is started with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The control file.
    pub config: PathBuf,
    /// Where to keep what must survive a restart, instead of what the file says.
    pub data_dir: Option<PathBuf>,
    /// Keep everything in memory.
    pub ephemeral: bool,
}

/// A running Weir.
pub struct Running {
    /// Carries out commands and knows the state.
    pub control: Control,
    stage: Stage,
    admin: SocketAddr,
    draining: Arc<AtomicBool>,
    stop_applier: oneshot::Sender<()>,
    applier: JoinHandle<()>,
    stop_admin: oneshot::Sender<()>,
    serving_admin: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    rescan: watch::Rescan,
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
    /// The admin API cannot be bound there.
    #[error("the admin API cannot bind {0}")]
    Admin(SocketAddr, #[source] std::io::Error),
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state cannot run: an address is taken, a database cannot be read.
    #[error("{0}")]
    State(String),
    /// A worker cannot be started.
    #[error("cannot start a worker thread")]
    Workers(#[source] std::io::Error),
}

/// Starts Weir on the current runtime, which becomes the control plane's; the data plane has threads of its own.
///
/// # Errors
/// When anything that is needed cannot be had; nothing has been served then.
pub async fn start(options: &Options) -> Result<Running, StartError> {
    let file = ControlFile::load(&options.config).map_err(|error| StartError::Config(Box::new(error)))?;
    let file = Arc::new(file);
    let bind = file.config.admin.bind;
    admin::check_bind(bind)?;
    let store = open_store(options, &file)?;
    let measured = Measured::new(worker_count(file.config.workers));
    let stage =
        Stage::new(Arc::clone(&measured.registry), Arc::new(keyring(&*store)?), measured.registry.workers());
    let (control, applier) =
        Applier::start(Arc::clone(&file), stage.clone(), store).map_err(|error| match error {
            ApplierError::Store(error) => StartError::Store(error),
            ApplierError::Compile(error) => StartError::State(error.to_string()),
        })?;
    let admin_socket = TcpListener::bind(bind).await.map_err(|error| StartError::Admin(bind, error))?;
    let admin = admin_socket.local_addr().map_err(|error| StartError::Admin(bind, error))?;
    let plane =
        DataPlane::start(measured.registry.workers(), &stage.reader()).map_err(StartError::Workers)?;
    stage.attach(plane);
    stage.report_certificates();
    let (stop_applier, applier_stopped) = oneshot::channel();
    let (stop_admin, admin_stopped) = oneshot::channel();
    let draining = Arc::<AtomicBool>::default();
    let app = app(&control, &stage, &measured, (admin, &draining));
    let (watcher, events, rescan) =
        watch::watch(vec![(file.path.clone(), Some(file.digest.clone()))], watch::POLL);
    let tasks = vec![
        tokio::spawn(watcher.run()),
        tokio::spawn(Reloader::new(control.clone(), events).run()),
        tokio::spawn(tick(Arc::clone(&measured.registry), Arc::clone(&measured.windows))),
        tokio::spawn(stage.clone().follow_database()),
        tokio::spawn(stage.clone().follow_certificates()),
        tokio::spawn(condition::watch(stage.reader())),
        tokio::spawn(count_reloads(control.events(), measured.control)),
    ];
    Ok(Running {
        control,
        stage,
        admin,
        draining,
        stop_applier,
        applier: tokio::spawn(applier.run(ended(applier_stopped))),
        stop_admin,
        serving_admin: tokio::spawn(admin::serve(admin_socket, admin::router(app), ended(admin_stopped))),
        tasks,
        rescan,
    })
}

/// Everything that counts.
struct Measured {
    registry: Arc<Registry>,
    windows: Arc<Windows>,
    control: Arc<ControlStats>,
}

// === impl Measured ===

impl Measured {
    fn new(workers: usize) -> Self {
        Self {
            registry: Arc::new(Registry::new(workers)),
            windows: Arc::new(Windows::new(clock::now())),
            control: Arc::default(),
        }
    }
}

/// What the admin API answers from.
fn app(
    control: &Control,
    stage: &Stage,
    measured: &Measured,
    (bind, draining): (SocketAddr, &Arc<AtomicBool>),
) -> admin::AppState {
    let view = SystemView {
        control: control.clone(),
        reader: stage.reader(),
        stage: stage.clone(),
        registry: Arc::clone(&measured.registry),
        windows: Arc::clone(&measured.windows),
        stats: Arc::clone(&measured.control),
        started: clock::now(),
        draining: Arc::clone(draining),
    };
    let stats = Arc::clone(&measured.control);
    admin::AppState { control: control.clone(), view: Arc::new(view), stats, bind }
}

/// Waits until the sender sends or is gone; both mean stop.
async fn ended(stop: oneshot::Receiver<()>) {
    let _ = stop.await;
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
        self.admin
    }

    /// Reads the control file again, whether or not it has changed.
    pub fn reload(&self) {
        self.rescan.now();
    }

    /// Opens the access log's file anew, after it was moved away.
    pub fn reopen_log(&self) {
        self.stage.reopen_log();
    }

    /// Stops in order; returns how many connections were cut off because they took longer than the drain timeout.
    pub async fn stop(self) -> usize {
        self.draining.store(true, Relaxed);
        let drain = self.control.state().file.config.drain.clone();
        tokio::time::sleep(drain.delay).await;
        let cut_off = self.stage.drain(drain.timeout).await;
        let _ = self.stop_applier.send(());
        let _ = self.applier.await;
        let _ = self.stop_admin.send(());
        let _ = self.serving_admin.await;
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

fn open_store(options: &Options, file: &ControlFile) -> Result<Arc<dyn Store>, StoreError> {
    if options.ephemeral {
        return Ok(Arc::new(MemoryStore::default()));
    }
    let directory = options
        .data_dir
        .clone()
        .or_else(|| file.config.data_dir.clone())
        .unwrap_or_else(|| default_data_dir(&options.config));
    Ok(Arc::new(FileStore::open(&directory)?))
}

fn worker_count(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}

fn keyring(store: &dyn Store) -> Result<Keyring, StoreError> {
    let keys = store.signing_keys()?;
    let mut keys = keys.iter().map(|key| *key.secret());
    let current = keys.next().expect("a store always has a key");
    Ok(Keyring::new(current, keys.next()))
}

async fn tick(registry: Arc<Registry>, windows: Arc<Windows>) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        windows.tick(&registry, clock::now());
    }
}

/// Counts what becomes of the control file; the admin API counts its own changes.
async fn count_reloads(mut events: broadcast::Receiver<Event>, stats: Arc<ControlStats>) {
    loop {
        match events.recv().await {
            Ok(Event::Applied { state, .. }) if state.origin.channel == Channel::File => {
                stats.change(ChangeSource::File, ChangeResult::Applied);
            }
            Ok(Event::ReloadUnchanged { .. }) => stats.change(ChangeSource::File, ChangeResult::Unchanged),
            Ok(Event::ReloadRefused(_)) => stats.change(ChangeSource::File, ChangeResult::Refused),
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_good_again_ends_the_refusal() {
        let stats = Arc::<ControlStats>::default();
        let (send, events) = broadcast::channel(8);
        stats.change(ChangeSource::File, ChangeResult::Refused);
        assert!(!stats.last_reload_successful());
        send.send(Event::ReloadUnchanged { recovered: true }).unwrap();
        drop(send);
        count_reloads(events, Arc::clone(&stats)).await;
        assert!(stats.last_reload_successful());
        assert_eq!(stats.changes(ChangeSource::File, ChangeResult::Unchanged), 1);
    }
}
