//! The composition root: builds everything, and owns the order of starting and stopping.
//!
//! Start: file → store → compile → sockets → workers → watcher and admin API. Whatever is wrong with the file, the store
//! or an address ends the start before a single request was taken. Stop: readiness fails, listeners go on for the drain
//! delay, then no new connections, requests under way finish, and at last the store and the log close.

mod events;
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

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub use crate::control::{Event, audit::rfc3339};

use self::publisher::Stage;
use crate::{
    admin::{self, AppState},
    config::Diagnostics,
    control::{
        Applier, Control, ControlFile, Reloader,
        applier::StartError as ApplierError,
        store::{FileStore, MemoryStore, Store, StoreError},
        watch,
    },
    proxy::DataPlane,
    split::Keyring,
    telemetry::{ControlStats, Registry, Windows},
    types::{Name, clock},
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
    /// Where the admin API listens.
    pub admin_address: SocketAddr,
    stage: Stage,
    draining: Arc<AtomicBool>,
    stops: Stops,
    applier: JoinHandle<()>,
    admin: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    rescan: watch::Rescan,
}

/// What ends the tasks that end in order.
struct Stops {
    applier: oneshot::Sender<()>,
    admin: oneshot::Sender<()>,
}

/// Why Weir does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The control file is wrong.
    #[error("{0}")]
    Config(Box<Diagnostics>),
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state cannot run: an address is taken, a database cannot be read.
    #[error("{0}")]
    State(String),
    /// The admin API's address cannot be had.
    #[error("the admin API cannot bind {address}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The admin API may not be bound there.
    #[error(transparent)]
    AdminExposed(#[from] admin::BindError),
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
    let store = open_store(options, &file)?;
    let keys = store.signing_keys()?;
    let keyring = Arc::new(keyring(&keys));
    let workers = worker_count(file.config.workers);
    let registry = Arc::new(Registry::new(workers));
    let windows = Arc::new(Windows::new(clock::now()));
    let control_stats = Arc::new(ControlStats::default());
    let (admin_socket, admin_address) = bind_admin(file.config.admin.bind).await?;
    let stage = Stage::new(Arc::clone(&registry), keyring, workers);
    let digest = file.digest.clone();
    let path = file.path.clone();
    let (control, applier) =
        Applier::start(file, stage.clone(), Arc::clone(&store)).map_err(|error| match error {
            ApplierError::Store(error) => StartError::Store(error),
            ApplierError::Compile(error) => StartError::State(error.to_string()),
        })?;
    let plane = DataPlane::start(workers, &stage.reader()).map_err(StartError::Workers)?;
    stage.attach(plane);
    let (stop_applier, stopped) = oneshot::channel();
    let applier = tokio::spawn(applier.run(async {
        // Dropping the sender means the same as sending.
        let _ = stopped.await;
    }));
    let draining = Arc::new(AtomicBool::new(false));
    let view = view::Overview {
        stage: stage.clone(),
        snapshots: stage.reader(),
        registry: Arc::clone(&registry),
        windows: Arc::clone(&windows),
        control: Arc::clone(&control_stats),
        draining: Arc::clone(&draining),
        started: clock::now(),
    };
    let app = AppState {
        control: control.clone(),
        view: Arc::new(view),
        stats: Arc::clone(&control_stats),
        bind: admin_address,
    };
    let (stop_admin, admin_stopped) = oneshot::channel();
    let admin = tokio::spawn(admin::serve(admin_socket, admin::router(app), async {
        let _ = admin_stopped.await;
    }));
    let (watcher, events, rescan) = watch::watch(vec![(path, Some(digest))], watch::POLL);
    let reloader = Reloader::new(control.clone(), events);
    let tasks = vec![
        tokio::spawn(watcher.run()),
        tokio::spawn(reloader.run()),
        tokio::spawn(tick(Arc::clone(&registry), Arc::clone(&windows))),
        tokio::spawn(stage.clone().follow_database()),
        tokio::spawn(events::count(control.events(), control_stats)),
    ];
    let stops = Stops { applier: stop_applier, admin: stop_admin };
    Ok(Running { control, admin_address, stage, draining, stops, applier, admin, tasks, rescan })
}

// === impl Running ===

impl Running {
    /// The addresses that the listeners have, with the ports that were chosen for port 0.
    #[must_use]
    pub fn listeners(&self) -> BTreeMap<Name, SocketAddr> {
        self.stage.listeners()
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
        let drain = self.control.state().file.config.drain.clone();
        self.draining.store(true, Relaxed);
        tokio::time::sleep(drain.delay).await;
        let cut_off = self.stage.drain(drain.timeout).await;
        let _ = self.stops.admin.send(());
        let _ = self.admin.await;
        let _ = self.stops.applier.send(());
        let _ = self.applier.await;
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

async fn bind_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    admin::check_bind(address)?;
    let failed = |source| StartError::Admin { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
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

fn keyring(keys: &[crate::control::store::SigningKey]) -> Keyring {
    let mut keys = keys.iter().map(|key| *key.secret());
    let current = keys.next().expect("a store always has a key");
    Keyring::new(current, keys.next())
}

async fn tick(registry: Arc<Registry>, windows: Arc<Windows>) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        windows.tick(&registry, clock::now());
    }
}
