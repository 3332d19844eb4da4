//! Makes a state run: compiles it, opens what it needs, and swaps it in.
//!
//! What can fail (binding a socket, reading a database, opening a log) happens while compiling, so that a change that
//! cannot run is refused before anything has changed.

mod following;
mod names;
mod sockets;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch as channel;

pub(super) use self::following::follow;
use self::{
    names::Names,
    sockets::{Listening, Wanted},
};
use super::{certificates::Material, inherited::Inherited, note, token_keys::TokenKeys};
use crate::{
    config::{Config, model::LogTarget},
    control::{Publisher, applier::CompileError, command::Digest},
    net::{Bound, ListeningSocket},
    proxy::{DataPlane, OpenListener, Queue},
    snapshot::{Compiler, Reader, Resources, Snapshot, Writer, cell},
    split::{GeoDatabase, Keyring},
    telemetry::{AccessLog, AccessLogCounts, Registry, Sink, Trial},
    types::{Name, Overlay, Revision, cause::chain},
    upstream::{Endpoint, Verdict, health::HealthMonitor},
};

/// How long the log may take to write what it has at the end.
const LOG_CLOSE: Duration = Duration::from_secs(2);

/// Everything that a published state touches; shared by the applier and by whoever sees a database change.
#[derive(Clone)]
pub(super) struct Stage(Arc<Mutex<Inner>>);

struct Inner {
    workers: usize,
    registry: Arc<Registry>,
    compiler: Compiler,
    cell: Option<(Writer, Reader)>,
    plane: Option<DataPlane>,
    /// Sockets that wait for the data plane to start.
    waiting: Vec<OpenListener>,
    health: HealthMonitor,
    inherited: Inherited,
    names: Names,
    listeners: BTreeMap<Name, Listening>,
    database: Option<(PathBuf, Arc<GeoDatabase>)>,
    database_path: channel::Sender<Option<PathBuf>>,
    token_keys: TokenKeys,
    token_key_files: channel::Sender<BTreeSet<PathBuf>>,
    certificates: Material,
    certificate_files: channel::Sender<Vec<(PathBuf, Option<Digest>)>>,
    log: Option<(LogTarget, Arc<AccessLog>)>,
    last: Option<(Arc<Config>, Overlay, Revision)>,
}

/// A state that can run.
pub(super) struct Compiled {
    snapshot: Snapshot,
    opened: Vec<Opened>,
    resources: Resources,
    token_keys: TokenKeys,
    certificates: Material,
    config: Arc<Config>,
    overlay: Overlay,
}

struct Opened {
    name: Name,
    wanted: Wanted,
    bound: Bound,
    activated: bool,
    /// Other handles to the sockets.
    kept: Vec<ListeningSocket>,
}

// === impl Stage ===

impl Stage {
    pub(super) fn new(registry: Arc<Registry>, keyring: Arc<Keyring>, workers: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            workers,
            compiler: Compiler::new(Arc::clone(&registry), keyring),
            registry,
            cell: None,
            plane: None,
            waiting: Vec::new(),
            health: HealthMonitor::new(Arc::new(report_health)),
            inherited: Inherited::default(),
            names: Names::new(),
            listeners: BTreeMap::new(),
            database: None,
            database_path: channel::channel(None).0,
            token_keys: TokenKeys::default(),
            token_key_files: channel::channel(BTreeSet::new()).0,
            certificates: Material::default(),
            certificate_files: channel::channel(Vec::new()).0,
            log: None,
            last: None,
        })))
    }

    /// Reads what is published. For after the first state was.
    pub(super) fn reader(&self) -> Reader {
        let inner = self.lock();
        let (_, reader) = inner.cell.as_ref().expect("the applier publishes a state before it starts");
        reader.clone()
    }

    /// Hands the data plane over, and the sockets that waited for it.
    pub(super) fn attach(&self, plane: DataPlane) {
        let mut inner = self.lock();
        for listener in inner.waiting.drain(..) {
            plane.open(listener);
        }
        inner.plane = Some(plane);
    }

    /// What is measured of the stage in force on a route.
    pub(super) fn trial(&self, route: &Name) -> Option<Arc<Trial>> {
        self.lock().registry.trial_of(route)
    }

    pub(super) fn reopen_log(&self) {
        if let Some((_, log)) = &self.lock().log {
            log.reopen();
        }
    }

    pub(super) fn log_counts(&self) -> Arc<AccessLogCounts> {
        self.lock().log.as_ref().map(|(_, log)| log.counts()).unwrap_or_default()
    }

    pub(super) fn close_log(&self) {
        if let Some((_, log)) = self.lock().log.take() {
            log.close(LOG_CLOSE);
        }
    }

    /// Ends the data plane; returns how many connections were cut off. What waits to be accepted is left to another process that
    /// has taken over the sockets.
    pub(super) async fn drain(&self, timeout: Duration, handed_over: bool) -> usize {
        self.let_go(handed_over);
        let plane = self.lock().plane.take();
        match plane {
            Some(plane) => plane.drain(timeout, if handed_over { Queue::Leave } else { Queue::Take }).await,
            None => 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher for Stage {
    type Compiled = Compiled;

    fn compile(
        &mut self,
        config: &Arc<Config>,
        overlay: &Overlay,
        revision: Revision,
    ) -> Result<Compiled, CompileError> {
        self.lock().compile(config, overlay, revision)
    }

    fn publish(&mut self, compiled: Compiled) {
        self.lock().publish(compiled);
    }
}

// === impl Inner ===

impl Inner {
    /// Compiles what runs once more, with what has changed beside the control file, and publishes it.
    fn publish_anew(&mut self) -> Result<(), String> {
        let Some((config, overlay, revision)) = self.last.clone() else { return Ok(()) };
        let compiled = self.compile(&config, &overlay, revision).map_err(|error| error.to_string())?;
        self.publish(compiled);
        Ok(())
    }

    fn compile(
        &mut self,
        config: &Arc<Config>,
        overlay: &Overlay,
        revision: Revision,
    ) -> Result<Compiled, CompileError> {
        let certificates = self.certificates.for_config(config).map_err(CompileError)?;
        self.compile_with(config, overlay, revision, certificates)
    }

    fn compile_with(
        &mut self,
        config: &Arc<Config>,
        overlay: &Overlay,
        revision: Revision,
        certificates: Material,
    ) -> Result<Compiled, CompileError> {
        let mut errors = Vec::new();
        let mut take = |result: Result<(), String>| errors.extend(result.err());
        let mut resources = Resources {
            listener_tls: certificates.of_listeners(),
            backend_tls: certificates.of_backends(),
            names: self.names.addresses(),
            ..Resources::default()
        };
        take(self.database(config).map(|database| resources.database = database));
        take(self.log(config).map(|log| resources.log = log));
        let mut opened = Vec::new();
        take(self.bind(config).map(|bound| opened = bound));
        let token_keys = self.token_keys.for_config(config).unwrap_or_else(|wrong| {
            errors.extend(wrong);
            TokenKeys::default()
        });
        resources.token_keys = token_keys.by_provider();
        let snapshot = self.compiler.compile(config, overlay, revision, &resources);
        match snapshot {
            Ok(snapshot) if errors.is_empty() => Ok(Compiled {
                snapshot,
                opened,
                resources,
                token_keys,
                certificates,
                config: Arc::clone(config),
                overlay: overlay.clone(),
            }),
            Ok(_) => Err(CompileError(errors)),
            Err(routes) => {
                errors.extend(routes.iter().map(ToString::to_string));
                Err(CompileError(errors))
            }
        }
    }

    fn publish(&mut self, compiled: Compiled) {
        let Compiled { snapshot, opened, resources, token_keys, certificates, config, overlay } = compiled;
        let revision = snapshot.revision;
        self.compiler.forget_others(&snapshot);
        let checks =
            snapshot.backends.iter().filter_map(|backend| Some((backend, backend.health_check.as_ref()?)));
        let checks = checks.flat_map(|(backend, check)| {
            backend.endpoints.iter().map(|endpoint| (Arc::clone(endpoint), Arc::clone(check)))
        });
        self.health.apply(checks.collect());
        match &mut self.cell {
            Some((writer, _)) => writer.publish(snapshot),
            None => self.cell = Some(cell(snapshot)),
        }
        self.open_listeners(&config, opened);
        let files = certificates.files().into_iter().map(|(file, digest)| (file, Some(digest)));
        let files: Vec<_> = files.collect();
        // Read again since this was compiled: whoever follows the files compares them with what is in force now.
        let overtaken = certificates.is_older_than(&self.certificates);
        self.certificates = certificates;
        self.certificate_files.send_if_modified(|current| {
            let same = current.iter().map(|(file, _)| file).eq(files.iter().map(|(file, _)| file));
            *current = files;
            !same || overtaken
        });
        let path = config.geo.database.clone();
        self.database = path.clone().zip(resources.database);
        self.database_path.send_if_modified(|current| {
            let changed = *current != path;
            *current = path;
            changed
        });
        let keys_overtaken = self.token_keys.give_way_to(token_keys);
        let files = self.token_keys.paths();
        self.token_key_files.send_if_modified(|current| {
            let changed = *current != files;
            *current = files;
            changed
        });
        let log = resources.log.map(|log| (config.access_log.target.clone(), log));
        if let Some((_, old)) = std::mem::replace(&mut self.log, log.clone())
            && log.is_none_or(|(_, log)| !Arc::ptr_eq(&log, &old))
        {
            // Requests under way may still hold it; what they say after this is lost, which is what closing means.
            old.close(Duration::ZERO);
        }
        self.last = Some((Arc::clone(&config), overlay, revision));
        self.follow_names_of(&config, resources.names);
        if keys_overtaken && let Err(error) = self.publish_anew() {
            note(&format!("the keys that were read last cannot be used: {error}"));
        }
    }

    /// The database that the file names: the one that is there, or read anew when the path has changed.
    fn database(&self, config: &Config) -> Result<Option<Arc<GeoDatabase>>, String> {
        let Some(path) = &config.geo.database else { return Ok(None) };
        if let Some((known, database)) = &self.database
            && known == path
        {
            return Ok(Some(Arc::clone(database)));
        }
        let database = GeoDatabase::open(path)
            .map_err(|error| format!("geo.database {}: {}", path.display(), chain(&error)))?;
        Ok(Some(Arc::new(database)))
    }

    fn log(&self, config: &Config) -> Result<Option<Arc<AccessLog>>, String> {
        let target = &config.access_log.target;
        let sink = match target {
            LogTarget::Off => return Ok(None),
            LogTarget::Stdout => Sink::Stdout,
            LogTarget::File(path) => Sink::File(path.clone()),
        };
        if let Some((known, log)) = &self.log
            && known == target
        {
            return Ok(Some(Arc::clone(log)));
        }
        let report = |error: &std::io::Error| note(&format!("the access log cannot be written: {error}"));
        let log =
            AccessLog::start(sink, report).map_err(|error| format!("access_log {target:?}: {error}"))?;
        Ok(Some(Arc::new(log)))
    }
}

/// Logs an endpoint that changed. The first verdict is news only when it is bad.
fn report_health(endpoint: &Endpoint, before: Verdict) {
    let after = endpoint.verdict();
    if before == Verdict::Unknown && after == Verdict::Healthy {
        return;
    }
    let detail = endpoint.detail();
    let why = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    note(&format!(
        "endpoint {} of backend {} is {}{why}",
        endpoint.address,
        endpoint.backend,
        after.as_str()
    ));
}
