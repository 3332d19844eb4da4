//! The running system as the admin API shows it.

use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{condition, publisher::Stage};
use crate::{
    admin::{
        Auth, View,
        api::types::{Condition, Endpoint, ExplainRequest, ExplainStep, Explanation, Listener, Traffic},
    },
    control::Control,
    http::{HeaderList, Known, RequestView},
    policy::jwt::{Identity, TokenCache},
    rollout::{Rollouts, driver::Surroundings, machine::Phase, reason::Verdict},
    snapshot::{Reader, Route, Snapshot},
    split::{self, AssignContext, Claims},
    telemetry::{ControlStats, Registry, Windows, prometheus},
    types::{BackendState, Name, OnUnavailable, Reason, clock},
};

/// The time that traffic is shown for: short enough to see a change of weights, long enough for a percentile.
const TRAFFIC_OVER: Duration = Duration::from_secs(10);

/// What the API reads from.
pub(super) struct SystemView {
    pub(super) control: Control,
    pub(super) stage: Stage,
    pub(super) reader: Reader,
    pub(super) registry: Arc<Registry>,
    pub(super) windows: Arc<Windows>,
    pub(super) stats: Arc<ControlStats>,
    pub(super) auth: Arc<Auth>,
    pub(super) rollouts: Rollouts,
    pub(super) started: Instant,
    /// Whether the stop has begun.
    pub(super) draining: Arc<AtomicBool>,
}

/// How backends are, for rollouts.
pub(super) struct Backends(pub(super) Reader);

// === impl Backends ===

impl Surroundings for Backends {
    fn unhealthy(&self, backend: &Name) -> Option<String> {
        let snapshot = self.0.current();
        let Some(found) = snapshot.backends.iter().find(|found| found.name == *backend) else {
            return Some(format!("there is no backend `{backend}`"));
        };
        (!found.is_available(clock::now())).then(|| format!("no endpoint of backend `{backend}` is healthy"))
    }
}

// === impl SystemView ===

impl SystemView {
    fn gauges(&self) -> prometheus::Gauges {
        let snapshot = self.reader.current();
        let mut gauges = prometheus::Gauges { revision: snapshot.revision, ..prometheus::Gauges::default() };
        for route in &snapshot.routes {
            let split = &route.plan.backends()[..route.plan.split_len()];
            let weight = |backend: &split::PlanBackend| match backend.state {
                BackendState::Active => backend.weight.as_f64(),
                BackendState::Drain | BackendState::Off => 0.0,
            };
            let total: f64 = split.iter().map(weight).sum();
            for backend in split {
                let ratio = if total > 0.0 { weight(backend) / total } else { 0.0 };
                gauges.weight_ratios.insert((route.name.clone(), backend.name.clone()), ratio);
            }
            let limiters = route.policy.iter().flat_map(|policy| &policy.rate_limits);
            let forgotten = limiters.map(|limiter| limiter.forgotten()).reduce(|sum, count| sum + count);
            gauges.forgotten_keys.extend(forgotten.map(|count| (route.name.clone(), count)));
        }
        let now = clock::now();
        for backend in &snapshot.backends {
            gauges.backends.insert(backend.name.clone(), condition::gauges(backend, now));
            for endpoint in &backend.endpoints {
                let identity = (backend.name.clone(), endpoint.address.to_string().into());
                gauges
                    .endpoints_healthy
                    .insert(identity, endpoint.is_available(backend.initially_healthy, now));
            }
        }
        (gauges.certificates, gauges.certificates_good) = self.stage.certificates();
        gauges.names = self.stage.names();
        gauges.token_keys = self.stage.token_keys();
        gauges.admin_tokens = self.auth.gauge();
        gauges.rollouts = rollouts(&self.rollouts);
        let state = self.control.state();
        gauges.store_healthy = state.store.error.is_none();
        for route in &state.file.config.routes {
            gauges.kill_switches.insert(route.name.clone(), state.kill_switch(&route.name).is_some());
        }
        gauges
    }
}

impl View for SystemView {
    fn traffic(&self, route: &Name, backend: &Name) -> Traffic {
        let Some(window) = self.windows.rate(route, backend, TRAFFIC_OVER) else {
            return Traffic { window_seconds: TRAFFIC_OVER.as_secs_f64(), ..Traffic::default() };
        };
        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
        Traffic {
            window_seconds: window.covered.as_secs_f64(),
            requests: window.requests,
            errors: window.errors_5xx(),
            requests_per_second: window.rps,
            observed_ratio: window.share,
            error_ratio: window.error_ratio,
            p50_seconds: seconds(window.p50()),
            p95_seconds: seconds(window.p95()),
            p99_seconds: seconds(window.p99()),
        }
    }

    fn endpoints(&self, backend: &Name) -> Vec<Endpoint> {
        let snapshot = self.reader.current();
        let Some(found) = snapshot.backends.iter().find(|known| known.name == *backend) else {
            return Vec::new();
        };
        let now = clock::now();
        let endpoints = found.endpoints.iter().zip(&found.weights).map(|(endpoint, weight)| Endpoint {
            address: endpoint.address.to_string(),
            weight: *weight,
            health: endpoint.verdict().as_str().to_owned(),
            detail: endpoint.detail(),
            available: endpoint.is_available(found.initially_healthy, now),
            ejection: condition::ejection(endpoint, now),
            warmth: condition::warmth(found, endpoint, now),
            in_flight: endpoint.shards.iter().map(|shard| shard.in_flight()).sum(),
        });
        endpoints.collect()
    }

    fn condition(&self, backend: &Name) -> Condition {
        let snapshot = self.reader.current();
        let found = snapshot.backends.iter().find(|known| known.name == *backend);
        found.map(|backend| condition::condition(backend, clock::now())).unwrap_or_default()
    }

    fn listeners(&self) -> Vec<Listener> {
        let listeners = self.stage.listeners().into_iter();
        listeners.map(|(name, address)| Listener { name, address: address.to_string() }).collect()
    }

    fn explain(&self, route: &Name, request: &ExplainRequest) -> Result<Explanation, String> {
        explain(&self.reader.current(), route, request)
    }

    fn sign_override(&self, of: (&Name, &Name), expires: u32) -> String {
        self.reader.current().keyring.sign_override(of, expires)
    }

    fn metrics(&self) -> Result<String, String> {
        let exporter = prometheus::Exporter::new(
            Arc::clone(&self.registry),
            Arc::clone(&self.windows),
            Arc::clone(&self.stats),
            self.stage.log_counts(),
        );
        exporter.render(&self.gauges()).map_err(|error| error.to_string())
    }

    fn not_ready(&self) -> Vec<String> {
        if self.draining.load(Relaxed) { vec!["Weir is stopping".to_owned()] } else { Vec::new() }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.stage.certificate_warnings();
        warnings.extend(self.stage.name_warnings());
        warnings.extend(self.stage.token_key_warnings());
        warnings.extend(self.auth.warnings());
        warnings
    }

    fn is_stopping(&self) -> bool {
        self.draining.load(Relaxed)
    }

    fn uptime(&self) -> Duration {
        clock::now().saturating_duration_since(self.started)
    }
}

/// Which backend `request` gets on `route` by `snapshot`.
fn explain(snapshot: &Snapshot, route: &Name, request: &ExplainRequest) -> Result<Explanation, String> {
    let found = snapshot.routes.iter().find(|known| known.name == *route);
    let found = found.ok_or_else(|| format!("route `{route}` is gone"))?;
    if found.plan.backends().is_empty() {
        return Err(format!("route `{route}` answers itself and has no backends"));
    }
    let host = request.host.to_ascii_lowercase();
    let headers = header_fields(request, &host)?;
    let (path, query) = match request.path.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (request.path.as_str(), None),
    };
    let client_ip = request.client_ip.to_canonical();
    let view = RequestView {
        method: &request.method,
        host: without_port(&host),
        path: path.as_bytes(),
        query,
        headers: headers.view(),
        client_ip,
        peer_ip: client_ip,
        secure: headers.view().known(Known::XForwardedProto).next() == Some(b"https"),
        listener_region: None,
    };
    let now_unix_secs = clock::unix_now().as_secs();
    let (claims, told) = token(found, &view, now_unix_secs);
    let context = AssignContext {
        keyring: &snapshot.keyring,
        now_unix_secs,
        regions: &snapshot.regions,
        secure: false,
        claims: claims.as_deref(),
    };
    let mut explained = split::explain(&found.plan, &view, &context, rand::random());
    explained.steps.splice(0..0, told.into_iter().chain(rollout(found)));
    stand_in(snapshot, found, &mut explained);
    let steps = explained.steps.into_iter().map(|step| ExplainStep {
        step: step.step,
        result: match step.result {
            split::Outcome::Decided => "decided".to_owned(),
            split::Outcome::Passed => "passed".to_owned(),
        },
        detail: step.detail,
    });
    Ok(Explanation {
        route: route.clone(),
        matched_route: snapshot.table.find(&view).map(|place| snapshot.routes[place].name.clone()),
        revision: snapshot.revision,
        backend: explained.backend,
        reason: explained.reason.as_str().to_owned(),
        rule: explained.rule,
        bucket: explained.bucket.map(|bucket| bucket.number()),
        region: explained.region,
        sets_cookie: explained.sets_cookie,
        steps: steps.collect(),
    })
}

/// The claims of the request's token, and what is to be said of it.
fn token(
    route: &Route,
    view: &RequestView<'_>,
    now_unix_secs: u64,
) -> (Option<Rc<Claims>>, Option<split::Step>) {
    let Some(jwt) = &route.jwt else { return (None, None) };
    let mut nothing_known = TokenCache::new([0; 2]);
    let (claims, what) = match jwt.provider.identify(view, now_unix_secs, &mut nothing_known) {
        Identity::Verified { claims, .. } => (Some(claims), "a good token".to_owned()),
        Identity::Missing => (None, "no token".to_owned()),
        Identity::Bad(error) => (None, format!("a token that is not trusted: {error}")),
    };
    let refused = if claims.is_none() && jwt.required { "; such a request gets 401" } else { "" };
    let detail = format!("{what} (provider {}){refused}", jwt.provider.name());
    (claims, Some(split::Step { step: "jwt".to_owned(), result: split::Outcome::Passed, detail }))
}

/// How it is with rollouts.
fn rollouts(rollouts: &Rollouts) -> prometheus::RolloutGauges {
    let board = rollouts.board();
    let mut newest = BTreeMap::new();
    for shown in &board.rollouts {
        let began = shown.rollout.steps.first().is_some_and(|step| step.began_ms.is_some());
        for route in &shown.rollout.routes {
            let assessment = shown.assessments.get(route).filter(|_| !shown.rollout.phase.is_over());
            let gates = assessment.iter().flat_map(|assessment| &assessment.gates);
            newest.entry(route.clone()).or_insert_with(|| prometheus::NewestRollout {
                phase: shown.rollout.phase.as_str(),
                step: if began { shown.rollout.step + 1 } else { 0 },
                gates: gates.map(|gate| (gate.gate.clone(), gate.verdict.as_str())).collect(),
            });
        }
    }
    prometheus::RolloutGauges {
        phases: Phase::ALL.map(Phase::as_str).into(),
        verdicts: Verdict::ALL.map(Verdict::as_str).into(),
        newest,
        outcomes: board.outcomes.clone(),
    }
}

/// What is to be said of the rollout that has the route.
fn rollout(route: &Route) -> Option<split::Step> {
    let stage = &route.trial.as_ref()?.stage;
    let named = |word: &str, names: &[Name]| {
        let names: Vec<_> = names.iter().map(Name::as_str).collect();
        if names.is_empty() { String::new() } else { format!(" of {word} {}", names.join(" or ")) }
    };
    let audience = [named("segment", &stage.segments), named("region", &stage.regions)].concat();
    let manual = if stage.manual { "; its weights were set by hand since" } else { "" };
    let detail = format!(
        "{} has the route, stage {}: {}{audience} to {}{manual}",
        stage.rollout, stage.number, stage.share, stage.canary
    );
    Some(split::Step { step: "rollout".to_owned(), result: split::Outcome::Passed, detail })
}

/// The last step, as the data plane takes it: another backend where the assigned one has no endpoint that takes requests.
fn stand_in(snapshot: &Snapshot, route: &Route, explained: &mut split::Explanation) {
    let backend = |place: usize| &snapshot.backends[route.backends[place].backend];
    let Some(chosen) = (0..route.backends.len()).find(|place| backend(*place).name == explained.backend)
    else {
        return;
    };
    let now = clock::now();
    if backend(chosen).is_available(now) {
        return;
    }
    let fallback = (route.on_unavailable == OnUnavailable::Fallback)
        .then(|| route.plan.fallback(chosen, |place| backend(place).is_available(now)))
        .flatten();
    let (result, detail) = match fallback {
        Some(place) => {
            let name = backend(place).name.clone();
            let detail = format!("{} has no healthy endpoint; {name} stands in", explained.backend);
            explained.backend = name;
            explained.reason = Reason::Fallback;
            (split::Outcome::Decided, detail)
        }
        None => {
            let detail = format!("{} has no healthy endpoint and nobody stands in: 503", explained.backend);
            (split::Outcome::Passed, detail)
        }
    };
    explained.steps.push(split::Step { step: "fallback".to_owned(), result, detail });
}

/// The header fields of a request that could have been sent.
fn header_fields(request: &ExplainRequest, host: &str) -> Result<HeaderList, String> {
    if !is_token(&request.method) {
        return Err(format!("`{}` is no method", request.method));
    }
    if !request.path.starts_with('/') || request.path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(format!("`{}` is no path: it begins with / and has no spaces", request.path));
    }
    let mut headers = HeaderList::default();
    if !host.is_empty() && !request.headers.keys().any(|name| name.eq_ignore_ascii_case("host")) {
        headers.push("Host", host.as_bytes());
    }
    for (name, values) in &request.headers {
        for value in &values.0 {
            if !is_token(name) || value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
                return Err(format!("`{name}: {value}` is no header field"));
            }
            headers.push(name, value.as_bytes());
        }
    }
    Ok(headers)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A host without its port; an IPv6 literal keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}
