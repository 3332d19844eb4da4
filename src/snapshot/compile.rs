//! From what is written to what runs: the control file and the overlay lowered to a [`Snapshot`].
//!
//! This is the one place that knows both sides. Compiling starts nothing and changes nothing that runs; what it looks up
//! by identity (endpoints, statistics) it finds again next time, which is how they outlive reloads.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Backend, Logging, Mirror, Retry, Route, RouteBackend, Snapshot, Timeouts, TrialPlan, balancing,
    endpoints, jwt, listeners, lower, policy, retry, trial,
};
use crate::{
    config::model,
    net::tls::{ClientTls, ServerTls},
    policy::jwt::KeySet,
    routing::RouteTable,
    split::{
        GeoDatabase, KeySource, Keyring, Networks, PlanBackend, PlanParts, PlanRule, RegionHeader,
        RegionSources, RuleTarget, Segment, SplitPlan,
    },
    telemetry::{AccessLog, Live, Registry},
    types::{BackendState, Name, Overlay, Revision, Stage, clock},
    upstream::{Directory, Protocol, health::HealthCheck},
};

/// Compiles snapshots, one after the other.
#[derive(Debug)]
pub struct Compiler {
    registry: Arc<Registry>,
    directory: Directory,
    limiters: policy::Limiters,
    keyring: Arc<Keyring>,
    /// The number of each route that has had a retry policy.
    retry_ids: BTreeMap<Name, usize>,
}

/// What a snapshot needs that only I/O can give; opened by whoever compiles.
#[derive(Debug, Default, Clone)]
pub struct Resources {
    /// The MaxMind database.
    pub database: Option<Arc<GeoDatabase>>,
    /// The access log.
    pub log: Option<Arc<AccessLog>>,
    /// The keys of each jwt provider.
    pub token_keys: BTreeMap<Name, Arc<KeySet>>,
    /// What listeners with TLS answer handshakes with.
    pub listener_tls: BTreeMap<Name, Arc<ServerTls>>,
    /// What endpoints of backends with TLS are spoken to with.
    pub backend_tls: BTreeMap<Name, Arc<ClientTls>>,
    /// Where endpoints by name are.
    pub names: endpoints::Names,
}

/// What routes name.
struct Named<'c> {
    backends: &'c [Backend],
    segments: HashMap<Name, Arc<Segment>>,
    providers: jwt::Providers,
}

/// Why a route cannot be compiled. The control file's validation finds nearly all of these first, with their place.
#[derive(Debug, Clone, thiserror::Error)]
#[error("route `{route}`: {reason}")]
pub struct RouteError {
    /// The route.
    pub route: Name,
    /// Why.
    pub reason: String,
}

// === impl Compiler ===

impl Compiler {
    /// A compiler that takes statistics from `registry` and signs cookies with `keyring`.
    #[must_use]
    pub fn new(registry: Arc<Registry>, keyring: Arc<Keyring>) -> Self {
        Self {
            registry,
            directory: Directory::new(clock::now()),
            limiters: policy::Limiters::default(),
            retry_ids: BTreeMap::new(),
            keyring,
        }
    }

    /// Lowers the file and the overlay.
    ///
    /// # Errors
    /// Every route that cannot be compiled, and why.
    pub fn compile(
        &mut self,
        config: &model::Config,
        overlay: &Overlay,
        revision: Revision,
        resources: &Resources,
    ) -> Result<Snapshot, Vec<RouteError>> {
        let backends: Vec<Backend> =
            config.backends.iter().map(|(name, backend)| self.backend(name, backend, resources)).collect();
        let named = Named {
            backends: &backends,
            segments: lower::segments(config),
            providers: jwt::providers(config, resources),
        };
        let mut routes = Vec::new();
        let mut matchers = Vec::new();
        let mut errors = Vec::new();
        for route in &config.routes {
            let compiled = self.route(route, overlay, &named).and_then(|compiled| {
                let matchers = route.matches.iter().map(lower::route_matcher).collect::<Result<Vec<_>, _>>();
                Ok((compiled, matchers.map_err(|error| error.to_string())?))
            });
            match compiled {
                Ok((compiled, matcher)) => {
                    routes.push(compiled);
                    matchers.push(matcher);
                }
                Err(reason) => errors.push(RouteError { route: route.name.clone(), reason }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let logging = resources.log.as_ref().map(|log| Logging {
            log: Arc::clone(log),
            rate: f64::from(config.access_log.sample.buckets()) / f64::from(crate::types::BUCKETS),
            query: config.access_log.query,
        });
        Ok(Snapshot {
            revision,
            table: RouteTable::new(matchers),
            routes,
            backends,
            listeners: config
                .listeners
                .iter()
                .map(|declared| {
                    let (name, mut listener) = listeners::listener(declared);
                    listener.tls = resources.listener_tls.get(&name).cloned();
                    (name, listener)
                })
                .collect(),
            limits: listeners::total_limits(&config.limits, self.registry.workers()),
            trusted_proxies: config.trusted_proxies.iter().copied().collect(),
            regions: regions(config, resources),
            keyring: Arc::clone(&self.keyring),
            logging,
        })
    }

    /// Forgets the endpoints and statistics that `snapshot` no longer names. For after it was published.
    pub fn forget_others(&mut self, snapshot: &Snapshot) {
        let mut live = Live::default();
        for backend in &snapshot.backends {
            for endpoint in &backend.endpoints {
                live.endpoints.insert((backend.name.clone(), endpoint.address.to_string().into()));
            }
        }
        for route in &snapshot.routes {
            live.routes.insert(route.name.clone());
            if let Some(plan) = &route.trial {
                live.trials.insert(route.name.clone(), Arc::clone(&plan.trial));
            }
            for used in &route.backends {
                let backend = snapshot.backends[used.backend].name.clone();
                live.route_backends.insert((route.name.clone(), backend));
            }
        }
        live.listeners.extend(snapshot.listeners.keys().cloned());
        self.registry.retain(&live);
        self.limiters.retain(snapshot);
        self.directory.retain(|backend, address, host| {
            let of_name = |known: &&Backend| known.name == *backend;
            let found = snapshot.backends.iter().find(of_name);
            found.is_some_and(|known| known.endpoints.iter().any(|endpoint| endpoint.is_at(address, host)))
        });
    }

    fn backend(&mut self, name: &Name, backend: &model::Backend, resources: &Resources) -> Backend {
        let registry = &self.registry;
        let (now, workers) = (clock::now(), registry.workers());
        let members = endpoints::members(backend, &resources.names);
        let endpoints = members.iter().map(|member| {
            let shards = || registry.endpoint(name, &member.address.to_string());
            self.directory.endpoint((name, &member.address, member.host.as_ref()), now, shards)
        });
        let endpoints = endpoints.collect();
        let protocol = match backend.protocol {
            model::BackendProtocol::Http11 => Protocol::Http11,
            model::BackendProtocol::H2 => Protocol::H2,
            model::BackendProtocol::H2c => Protocol::H2c,
            model::BackendProtocol::Auto => Protocol::Auto,
        };
        let tls = resources.backend_tls.get(name).cloned();
        Backend {
            name: name.clone(),
            endpoints,
            weights: members.iter().map(|member| member.weight).collect(),
            protocol,
            tls: tls.clone(),
            balancer: balancing::balancer(backend.lb_policy, &members),
            initially_healthy: backend.health_check.as_ref().is_none_or(|check| check.initially_healthy),
            idle_timeout: backend.idle_timeout,
            health_check: backend
                .health_check
                .as_ref()
                .map(|check| Arc::new(health_check(check, protocol, tls.clone()))),
            outlier_detection: backend.outlier_detection.as_ref().map(balancing::outlier_detection),
            breaker: backend
                .circuit_breaker
                .as_ref()
                .map(|breaker| balancing::circuit_breaker(breaker, self.directory.counts(name, workers))),
            slow_start: backend.slow_start,
            panic_threshold: balancing::ratio(backend.panic_threshold),
        }
    }

    fn retry(&mut self, route: &model::Route) -> Option<Retry> {
        let written = route.retry.as_ref()?;
        let next = self.retry_ids.len();
        let id = *self.retry_ids.entry(route.name.clone()).or_insert(next);
        Some(retry::retry(written, id, self.registry.workers()))
    }

    fn route(
        &mut self,
        route: &model::Route,
        overlay: &Overlay,
        Named { backends, segments, providers }: &Named<'_>,
    ) -> Result<Route, String> {
        let stage = overlay.routes.get(&route.name).and_then(|overlay| overlay.stage.as_ref());
        let plan = plan(route, overlay, segments)?;
        let place = |name: &Name| {
            let found = backends.iter().position(|backend| backend.name == *name);
            found.ok_or_else(|| format!("there is no backend `{name}`"))
        };
        let used = plan.backends().iter().map(|used| {
            Ok(RouteBackend {
                backend: place(&used.name)?,
                shards: self.registry.route_backend(&route.name, &used.name),
            })
        });
        let used: Vec<RouteBackend> = used.collect::<Result<_, String>>()?;
        let trial = stage.and_then(|stage| self.trial(&route.name, stage, (&plan, &used)));
        Ok(Route {
            name: route.name.clone(),
            retry: self.retry(route),
            shield: route.shield,
            needs_key: used.iter().any(|used| backends[used.backend].balancer.needs_key()),
            backends: used,
            plan,
            on_unavailable: route.split.on_unavailable,
            timeouts: Timeouts {
                connect: route.timeouts.connect,
                response_headers: route.timeouts.response_headers,
                stream_idle: route.timeouts.stream_idle,
                tunnel_idle: route.timeouts.tunnel_idle,
            },
            policy: policy::policy(route, &mut self.limiters).map_err(|error| error.to_string())?,
            mirror: mirror(trial::mirror(route.policy.mirror.as_ref(), stage), place)?,
            trial: trial.map(Arc::new),
            jwt: jwt::route(route, providers)?,
            shards: self.registry.route(&route.name),
        })
    }

    fn trial(&self, route: &Name, stage: &Stage, used: (&SplitPlan, &[RouteBackend])) -> Option<TrialPlan> {
        TrialPlan::new(self.registry.trial(route, &stage.rollout, stage.number), stage, used)
    }
}

/// Where copies of its requests go.
fn mirror(
    wanted: Option<model::Mirror>,
    place: impl Fn(&Name) -> Result<usize, String>,
) -> Result<Option<Box<Mirror>>, String> {
    let Some(written) = wanted else { return Ok(None) };
    Ok(Some(Box::new(Mirror {
        backend: place(&written.backend)?,
        share: written.share,
        methods: written.methods.iter().map(|method| method.as_str().into()).collect(),
        max_body: usize::try_from(written.max_body).unwrap_or(usize::MAX),
        room: Arc::new(tokio::sync::Semaphore::new(written.max_in_flight)),
        timeout: written.timeout,
    })))
}

fn plan(
    route: &model::Route,
    overlay: &Overlay,
    segments: &HashMap<Name, Arc<Segment>>,
) -> Result<SplitPlan, String> {
    let split = &route.split;
    if route.policy.answer.is_some() {
        return Ok(SplitPlan::nowhere(route.name.clone(), &split.salt));
    }
    let overrides = overlay.routes.get(&route.name);
    let weight = |backend: &model::SplitBackend| {
        overrides.and_then(|overlay| overlay.weights.get(&backend.name)).copied().unwrap_or(backend.weight)
    };
    let backends = split.backends.iter().map(|backend| PlanBackend {
        name: backend.name.clone(),
        weight: weight(backend),
        state: match backend.state {
            BackendState::Active if overlay.drains.contains(&backend.name) => BackendState::Drain,
            state => state,
        },
    });
    let of_users = overrides.into_iter().flat_map(|overlay| &overlay.overrides);
    let rules = route.rules.iter().map(|rule| {
        let salt = format!("{}/{}", route.name, rule.name);
        Ok(PlanRule {
            name: rule.name.clone(),
            condition: lower::condition(&rule.condition, &salt, segments)?,
            target: match &rule.target {
                model::Target::Backend(name) => RuleTarget::Backend(name.clone()),
                model::Target::Split(weights) => RuleTarget::Split(weights.clone()),
            },
        })
    });
    let stage = overrides.and_then(|overlay| overlay.stage.as_ref());
    let of_stage = stage.map(|stage| trial::rule(stage, segments)).transpose()?.flatten();
    let keys = split.key.iter().map(|key| match key {
        model::KeySource::Header(name) => KeySource::Header(name.as_str().into()),
        model::KeySource::Cookie(name) => KeySource::Cookie(name.as_str().into()),
        model::KeySource::Jwt(claim) => KeySource::Jwt(claim.as_str().into()),
        model::KeySource::ClientIp => KeySource::ClientIp,
    });
    SplitPlan::new(PlanParts {
        route: route.name.clone(),
        backends: backends.collect(),
        rules: rules.chain(of_stage.map(Ok)).collect::<Result<_, String>>()?,
        keys: keys.collect(),
        salt: split.salt.clone(),
        mode: split.sticky.mode,
        cookie: lower::cookie(&split.sticky),
        kill_switch: overrides.and_then(|overlay| overlay.kill_switch.clone()),
        overrides: of_users.map(|(key, name)| (key.as_bytes().into(), name.clone())).collect(),
        epoch: overrides.map_or(0, |overlay| overlay.epoch),
    })
    .map_err(|error| error.to_string())
}

fn health_check(check: &model::HealthCheck, protocol: Protocol, tls: Option<Arc<ClientTls>>) -> HealthCheck {
    HealthCheck {
        probe: check.probe.clone(),
        interval: check.interval,
        timeout: check.timeout,
        healthy_threshold: check.healthy_threshold,
        unhealthy_threshold: check.unhealthy_threshold,
        protocol,
        tls,
    }
}

fn regions(config: &model::Config, resources: &Resources) -> Arc<RegionSources> {
    let headers = config.geo.trusted_headers.iter().map(|header| {
        let from = if header.from.is_empty() { &config.trusted_proxies } else { &header.from };
        RegionHeader { name: header.name.as_str().into(), from: from.iter().copied().collect() }
    });
    let networks = config.geo.networks.iter().map(|network| (network.cidr, network.region.clone()));
    Arc::new(RegionSources {
        headers: headers.collect(),
        database: resources.database.clone(),
        networks: Networks::new(networks),
    })
}
