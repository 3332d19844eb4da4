//! Starting: everything that can fail first, and then serving.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{broadcast, oneshot},
    task::JoinHandle,
};

use super::{
    Background, Options, Running, StartError, condition, default_data_dir,
    guard::{self, Front},
    handover::{Belongings, Door, Successor, Taken},
    inherited::Inherited,
    note,
    publisher::Stage,
    view::{Backends, SystemView},
};
use crate::{
    admin::{self, Auth},
    config::model::Storage,
    control::{
        Applier, Channel, Control, ControlFile, Event, Preparation, Reloader,
        applier::StartError as ApplierError,
        store::{Lock, MemoryStore, SqliteStore, Store, StoreError},
        watch,
    },
    proxy::DataPlane,
    rollout::{
        Driver, Rollouts, driver,
        links::Links,
        outside::{Others, notify::Notifier},
    },
    split::Keyring,
    telemetry::{ChangeResult, ChangeSource, ControlStats, Registry, Windows},
    types::clock,
};

/// Between two ticks of the windows.
const TICK: Duration = Duration::from_secs(1);

/// Everything that can fail, and has not.
struct Prepared {
    file: Arc<ControlFile>,
    /// The data directory and another handle to its lock.
    home: Option<(PathBuf, File)>,
    taken: Option<Taken>,
    measured: Measured,
    stage: Stage,
    control: Control,
    applier: Applier<Stage>,
    front: Front,
    admin: TcpListener,
    plane: DataPlane,
    driver: Driver,
    notifier: Notifier,
    rollouts: Rollouts,
    links: Links,
}

/// Starts Weir on the current runtime, which becomes the control plane's; the data plane has threads of its own.
///
/// # Errors
/// When anything that is needed cannot be had; nothing has been served then.
pub async fn start(options: &Options) -> Result<Running, StartError> {
    let mut prepared = Prepared::new(options).await?;
    if let Some(taken) = &mut prepared.taken {
        taken.ready().await?;
        // What was taken over serves, whatever the disk says: it is tried again, and status tells.
        let _ = prepared.applier.record_start();
    } else {
        prepared.applier.record_start()?;
    }
    prepared.serve().await
}

// === impl Prepared ===

impl Prepared {
    async fn new(options: &Options) -> Result<Self, StartError> {
        let file = ControlFile::load(&options.config).map_err(|error| StartError::Config(Box::new(error)))?;
        let file = Arc::new(file);
        let directory = data_dir(options, &file);
        let mut taken = match &directory {
            Some(directory) if options.takeover => Taken::ask(directory).await?,
            _ => None,
        };
        let (store, lock) = open_store(&file.config.store, directory.as_deref(), taken.as_mut())?;
        let measured = Measured::new(worker_count(file.config.workers));
        let registry = Arc::clone(&measured.registry);
        let stage = Stage::new(registry, Arc::new(keyring(&*store)?), measured.registry.workers());
        let links = Links::new(&store.signing_keys()?);
        let handed = taken.as_mut().map(|taken| std::mem::take(&mut taken.sockets)).unwrap_or_default();
        let inherited = Inherited::new(&options.sockets, handed).map_err(StartError::Inherited)?;
        let front = Front::new(&file.config.admin, taken.is_some())?;
        let admin = guard::socket(&file.config.admin, &inherited, taken.as_mut()).await?;
        stage.inherit(inherited);
        stage.look_up_new(&file.config).await;
        let (control, applier) =
            Applier::prepare(Arc::clone(&file), stage.clone(), store).map_err(|error| match error {
                ApplierError::Store(error) => StartError::Store(error),
                ApplierError::Compile(error) => StartError::State(error.to_string()),
            })?;
        let plane =
            DataPlane::start(measured.registry.workers(), &stage.reader()).map_err(StartError::Workers)?;
        let home = directory.zip(lock);
        let (others, notifier) = Others::of(&control, links.clone(), Arc::clone(&measured.control));
        let (rollouts, driver) = prepare_driver(&control, &stage, &measured, others).await;
        Ok(Self {
            file,
            home,
            taken,
            measured,
            stage,
            control,
            applier,
            front,
            admin,
            plane,
            driver,
            notifier,
            rollouts,
            links,
        })
    }

    /// Begins to accept, and everything else that goes on from here.
    async fn serve(self) -> Result<Running, StartError> {
        let Self { file, home, taken, measured, stage, control, front, plane, .. } = self;
        let (admin_socket, rollouts) = (self.admin, (self.rollouts, self.links));
        let unknown = |error| StartError::Admin(file.config.admin.bind, error);
        let admin = admin_socket.local_addr().map_err(unknown)?;
        let admin_handle = socket2::SockRef::from(&admin_socket).try_clone();
        stage.attach(plane);
        report(&stage, admin);
        let draining = Arc::<AtomicBool>::default();
        let app = app(&control, &stage, &measured, (admin, &front.auth, &draining), rollouts);
        let (watcher, events, rescan) =
            watch::watch(vec![(file.path.clone(), Some(file.digest.clone()))], watch::POLL);
        let mut tasks = vec![
            tokio::spawn(watcher.run()),
            tokio::spawn(Reloader::new(control.clone(), events).preparing(looking_up(&stage)).run()),
            tokio::spawn(self.notifier.run(std::future::pending())),
            tokio::spawn(front.attend(control.clone())),
            tokio::spawn(admin::events::follow(app.clone())),
        ];
        tasks.extend(following(&stage));
        tasks.extend(measured.counting(&control));
        let succession = home.and_then(|(directory, lock)| {
            let (control, stage) = (control.clone(), stage.clone());
            let admin = admin_handle.map(|handle| (handle.into(), admin.to_string()));
            let belongings = admin.map(|admin| Belongings { control, stage, lock, admin });
            let (door, told) = open_door(&directory, belongings)?;
            tasks.push(door);
            Some(told)
        });
        let applier = Background::begin(|stopped| self.applier.run(ended(stopped)));
        let driver = Background::begin(|stopped| self.driver.run(ended(stopped)));
        let (auth, urls) = (Arc::clone(&front.auth), front.urls(admin));
        let events = Arc::clone(&app.events);
        let serving_admin = Background::begin(|stopped| {
            front.serve(admin_socket, admin::router(app), streams_ended(stopped, events))
        });
        if let Some(taken) = taken {
            taken.serving().await;
        }
        Ok(Running {
            control,
            stage,
            admin: (admin, urls),
            auth,
            draining,
            driver,
            applier,
            serving_admin,
            tasks,
            rescan,
            succession,
            successor: None,
        })
    }
}

/// Follows the files, names and conditions that what runs depends on.
fn following(stage: &Stage) -> [JoinHandle<()>; 5] {
    [
        tokio::spawn(condition::watch(stage.reader())),
        tokio::spawn(stage.clone().follow_database()),
        tokio::spawn(stage.clone().follow_token_keys()),
        tokio::spawn(stage.clone().follow_certificates()),
        tokio::spawn(stage.clone().follow_names()),
    ]
}

/// Says what should be known of the files and sockets at hand.
fn report(stage: &Stage, admin: SocketAddr) {
    stage.report_certificates();
    for socket in stage.unused_sockets(&admin.to_string()) {
        note(&format!("warning: no listener uses the socket {socket} of the service manager"));
    }
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

    /// What counts beside the workers.
    fn counting(self, control: &Control) -> [JoinHandle<()>; 2] {
        [
            tokio::spawn(tick(self.registry, self.windows)),
            tokio::spawn(count_reloads(control.events(), self.control)),
        ]
    }
}

/// The driver of rollouts, with what the journal has.
async fn prepare_driver(
    control: &Control,
    stage: &Stage,
    measured: &Measured,
    others: Others,
) -> (Rollouts, Driver) {
    let context = driver::Context {
        control: control.clone(),
        registry: Arc::clone(&measured.registry),
        surroundings: Arc::new(Backends(stage.reader())),
        outside: Arc::new(others),
    };
    Driver::prepare(context).await
}

/// What the admin API answers from.
fn app(
    control: &Control,
    stage: &Stage,
    measured: &Measured,
    (bind, auth, draining): (SocketAddr, &Arc<Auth>, &Arc<AtomicBool>),
    (rollouts, links): (Rollouts, Links),
) -> admin::AppState {
    let view = SystemView {
        control: control.clone(),
        reader: stage.reader(),
        stage: stage.clone(),
        registry: Arc::clone(&measured.registry),
        windows: Arc::clone(&measured.windows),
        stats: Arc::clone(&measured.control),
        auth: Arc::clone(auth),
        rollouts: rollouts.clone(),
        started: clock::now(),
        draining: Arc::clone(draining),
    };
    let stats = Arc::clone(&measured.control);
    let auth = Arc::clone(auth);
    let events = Arc::new(admin::Events::new(Arc::clone(&stats)));
    let control = control.clone();
    admin::AppState { control, view: Arc::new(view), stats, auth, events, rollouts, links, bind }
}

/// Waits until the sender sends or is gone; both mean stop.
async fn ended(stop: oneshot::Receiver<()>) {
    let _ = stop.await;
}

/// The same, and ends the streams of events then: the server waits for answers under way, and these have no end.
async fn streams_ended(stop: oneshot::Receiver<()>, events: Arc<admin::Events>) {
    ended(stop).await;
    events.close();
}

/// Looks up names that are new in a control file before it is applied.
fn looking_up(stage: &Stage) -> Preparation {
    let stage = stage.clone();
    Box::new(move |config| {
        let stage = stage.clone();
        Box::pin(async move { stage.look_up_new(&config).await })
    })
}

/// Waits for a process that takes over; `None` when there is no place to wait at.
fn open_door(
    directory: &Path,
    belongings: io::Result<Belongings>,
) -> Option<(JoinHandle<()>, oneshot::Receiver<Successor>)> {
    match belongings.and_then(|belongings| Ok((Door::open(directory)?, belongings))) {
        Ok((door, belongings)) => {
            let (taken, told) = oneshot::channel();
            Some((tokio::spawn(door.wait(belongings, taken)), told))
        }
        Err(error) => {
            note(&format!("warning: no other process will be able to take over: {error}"));
            None
        }
    }
}

/// Where what must survive a restart is kept; `None` when it is only in memory.
fn data_dir(options: &Options, file: &ControlFile) -> Option<PathBuf> {
    if options.ephemeral {
        return None;
    }
    let named = options.data_dir.clone().or_else(|| file.config.data_dir.clone());
    Some(named.unwrap_or_else(|| default_data_dir(&options.config)))
}

/// The store, and another handle to the lock on its directory.
fn open_store(
    settings: &Storage,
    directory: Option<&Path>,
    taken: Option<&mut Taken>,
) -> Result<(Arc<dyn Store>, Option<File>), StoreError> {
    let Some(directory) = directory else {
        return Ok((Arc::new(MemoryStore::new(settings.revisions)), None));
    };
    let lock = match taken.and_then(|taken| taken.lock.take()) {
        Some(lock) => Lock::adopt(directory, lock)?,
        None => Lock::take(directory)?,
    };
    let handle = lock.handle().ok();
    Ok((Arc::new(SqliteStore::new(directory, lock, settings.revisions)), handle))
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
