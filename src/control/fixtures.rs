//! Control files and stores for tests.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    config::{
        Config, Diagnostics,
        model::{
            AccessLog, Admin, Backend, BackendProtocol, Dns, Drain, Endpoint, EndpointTarget, Geo, KeySource,
            LbPolicy, Limits, Listener, ListenerProtocol, LogTarget, OpenMetrics, Route, RouteMatch, Split,
            SplitBackend, Sticky, Storage, Timeouts, TotalLimits,
        },
    },
    control::{
        audit::{AuditResult, Row},
        command::{ControlFile, Digest},
        store::{
            AuditQuery, AuditRow, Broken, KeptRevision, Loaded, MemoryStore, NewRevision, Record,
            RevisionInfo, RolloutStore, SigningKey, Store, StoreError, Stored, Verified,
            rollouts::{KeptEntry, KeptRollout, Outbound},
        },
    },
    types::{Address, BackendState, Fraction, Name, OnUnavailable, Rate, Revision, StickyMode, Weight},
};

/// A control file as text, with `WEIGHT` in the place of the canary's weight.
pub(crate) const TEXT: &str = "\
version: 1
listeners:
  - { name: web, bind: 127.0.0.1:0 }
backends:
  stable: { endpoints: [ { address: 127.0.0.1:9001 } ] }
  canary: { endpoints: [ { address: 127.0.0.1:9002 } ] }
routes:
  - name: shop
    split:
      key: [ { header: X-User } ]
      backends: [ { name: stable, weight: 95 }, { name: canary, weight: WEIGHT } ]
";

/// A valid name.
pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A control file with a route for each entry: its name, and its backends with their weights.
pub(crate) fn config(routes: &[(&str, &[(&str, u32)])]) -> Config {
    let mut backends = std::collections::BTreeMap::new();
    for (backend, _) in routes.iter().flat_map(|(_, backends)| backends.iter()) {
        let port = 9000 + u16::try_from(backends.len()).unwrap();
        let endpoints =
            vec![Endpoint { target: EndpointTarget::Address(([127, 0, 0, 1], port).into()), weight: 1 }];
        let idle_timeout = Duration::from_secs(30);
        let value = Backend {
            endpoints,
            protocol: BackendProtocol::Http11,
            tls: None,
            lb_policy: LbPolicy::P2c,
            health_check: None,
            outlier_detection: None,
            circuit_breaker: None,
            slow_start: Duration::ZERO,
            panic_threshold: Fraction::from_percent(0.0).unwrap(),
            idle_timeout,
        };
        backends.entry(name(backend)).or_insert(value);
    }
    let second = Duration::from_secs(1);
    Config {
        workers: 0,
        data_dir: None,
        store: Storage { revisions: 1000 },
        trusted_proxies: Vec::new(),
        geo: Geo::default(),
        admin: admin(),
        access_log: AccessLog {
            target: LogTarget::Off,
            sample: Fraction::from_percent(100.0).unwrap(),
            query: false,
        },
        drain: Drain { delay: Duration::ZERO, timeout: second },
        dns: Dns::default(),
        limits: TotalLimits { max_connections: 0, max_buffer_memory: 0 },
        listeners: vec![Listener {
            name: name("web"),
            bind: Address::Tcp(([127, 0, 0, 1], 8080).into()),
            mode: None,
            protocols: vec![ListenerProtocol::Http11],
            tls: None,
            proxy_protocol: None,
            region: None,
            limits: Limits {
                max_connections: 100,
                max_connections_per_address: 0,
                max_header_bytes: 32768,
                max_headers: 100,
                header_timeout: second,
                idle_timeout: second,
            },
        }],
        backends,
        segments: std::collections::BTreeMap::new(),
        jwt: std::collections::BTreeMap::new(),
        notifications: std::collections::BTreeMap::new(),
        routes: routes.iter().map(|(route, backends)| self::route(route, backends)).collect(),
    }
}

/// The admin API without more.
fn admin() -> Admin {
    Admin {
        bind: ([127, 0, 0, 1], 9900).into(),
        hosts: Vec::new(),
        public_url: None,
        tokens: None,
        socket: None,
        tls: None,
        insecure: false,
        metrics: OpenMetrics::Local,
        max_failures: Rate::parse("20/m").unwrap(),
        require_if_match: false,
    }
}

fn route(route: &str, backends: &[(&str, u32)]) -> Route {
    let second = Duration::from_secs(1);
    let backends = backends.iter().map(|(backend, weight)| SplitBackend {
        name: name(backend),
        weight: Weight::of(*weight),
        state: BackendState::Active,
    });
    Route {
        name: name(route),
        matches: vec![RouteMatch::default()],
        rules: Vec::new(),
        split: Split {
            key: vec![KeySource::Header("x-user".to_owned())],
            salt: route.to_owned(),
            backends: backends.collect(),
            sticky: Sticky { mode: StickyMode::Bucket, cookie: None, max_age: second },
            on_unavailable: OnUnavailable::Fallback,
        },
        retry: None,
        shield: false,
        timeouts: Timeouts {
            connect: second,
            response_headers: second,
            stream_idle: second,
            tunnel_idle: second,
        },
        policy: crate::config::model::Policy::default(),
        jwt: None,
        rollout: None,
    }
}

/// [`config`] as a file whose text is its debug form.
pub(crate) fn file(routes: &[(&str, &[(&str, u32)])]) -> Arc<ControlFile> {
    of(config(routes))
}

/// `config` as a file.
pub(crate) fn of(config: Config) -> Arc<ControlFile> {
    let text = format!("{config:?}");
    Arc::new(ControlFile {
        digest: Digest::of(text.as_bytes()),
        config: Arc::new(config),
        path: "weir.yaml".into(),
        text: text.into(),
        warnings: Diagnostics::default(),
    })
}

/// The file that most tests begin with.
pub(crate) fn shop() -> Arc<ControlFile> {
    file(&[("shop", &[("stable", 95), ("canary", 5)])])
}

/// A record of revision 1 with this action.
pub(crate) fn record(action: &str) -> Record {
    Record {
        stored: Stored {
            revision: Revision(1),
            file: Digest::of(b"text"),
            overlay: crate::types::Overlay::default(),
        },
        revision: Some(NewRevision { file_text: "text".into(), at_ms: 1 }),
        row: Row {
            time: "2026-01-31T12:00:00.120Z".to_owned(),
            revision: Revision(1),
            origin: crate::control::Origin::new("alice", crate::control::Channel::Cli),
            action: action.to_owned(),
            result: AuditResult::Applied,
            route: Some(name("shop")),
            from: serde_json::Value::Null,
            to: "stable".into(),
        },
        used: None,
    }
}

/// A store that fails on demand.
#[derive(Debug)]
pub(crate) struct FailingStore {
    pub(crate) inner: MemoryStore,
    pub(crate) broken: AtomicBool,
    /// Whether what is kept of rollouts cannot be read.
    pub(crate) unreadable: AtomicBool,
    /// Whether a write does not come back until it is repaired.
    pub(crate) hangs: AtomicBool,
    /// What was mirrored.
    pub(crate) mirrored: std::sync::Mutex<Vec<Stored>>,
}

impl FailingStore {
    fn check(&self) -> Result<(), StoreError> {
        while self.hangs.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        if self.broken.load(Ordering::Acquire) {
            let error = "No space left on device".to_owned();
            return Err(StoreError::Io { action: "write", path: "/data/overlay.json".to_owned(), error });
        }
        Ok(())
    }
}

impl Default for FailingStore {
    fn default() -> Self {
        let inner = MemoryStore::new(1000);
        let no = || AtomicBool::new(false);
        Self { inner, broken: no(), unreadable: no(), hangs: no(), mirrored: std::sync::Mutex::default() }
    }
}

impl Store for FailingStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }
    fn write(&self, stored: &Stored, records: &[Record]) -> Result<(), StoreError> {
        self.check()?;
        self.inner.write(stored, records)
    }
    fn mirror(&self, stored: &Stored) {
        self.mirrored.lock().unwrap().push(stored.clone());
    }
    fn revisions(&self, before: Option<Revision>, limit: usize) -> Result<Vec<RevisionInfo>, StoreError> {
        self.inner.revisions(before, limit)
    }
    fn revision(&self, number: Revision) -> Result<Option<KeptRevision>, StoreError> {
        self.inner.revision(number)
    }
    fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        self.inner.audit(query)
    }
    fn verify(&self) -> Result<Result<Verified, Broken>, StoreError> {
        self.inner.verify()
    }
    fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        self.inner.signing_keys()
    }
    fn directory(&self) -> Option<&Path> {
        Some(Path::new("/data"))
    }
}

impl RolloutStore for FailingStore {
    fn keep_rollout(
        &self,
        rollout: &KeptRollout,
        entries: &[KeptEntry],
        messages: &[Outbound],
    ) -> Result<(), StoreError> {
        self.check()?;
        self.inner.keep_rollout(rollout, entries, messages)
    }
    fn rollouts(&self) -> Result<Vec<KeptRollout>, StoreError> {
        if self.unreadable.load(Ordering::Acquire) {
            return Err(StoreError::Stuck);
        }
        self.inner.rollouts()
    }
    fn rollout_entries(&self, id: &str) -> Result<Vec<String>, StoreError> {
        self.inner.rollout_entries(id)
    }
    fn rollout_versions(&self) -> Result<BTreeMap<Name, Option<String>>, StoreError> {
        self.inner.rollout_versions()
    }
    fn set_rollout_versions(&self, versions: &BTreeMap<Name, Option<String>>) -> Result<(), StoreError> {
        self.check()?;
        self.inner.set_rollout_versions(versions)
    }
    fn due_messages(&self, now_ms: u64, limit: usize) -> Result<(Vec<Outbound>, Option<u64>), StoreError> {
        self.inner.due_messages(now_ms, limit)
    }
    fn set_message(&self, message: &Outbound) -> Result<(), StoreError> {
        self.check()?;
        self.inner.set_message(message)
    }
    fn use_link(&self, nonce: &str, now_ms: u64, until_ms: u64) -> Result<bool, StoreError> {
        self.check()?;
        self.inner.use_link(nonce, now_ms, until_ms)
    }
    fn is_link_used(&self, nonce: &str) -> Result<bool, StoreError> {
        self.inner.is_link_used(nonce)
    }
}
