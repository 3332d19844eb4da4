//! What the admin API shows of the running system.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::publisher::Stage;
use crate::{
    admin::{
        View,
        api::types::{Endpoint, ExplainRequest, ExplainStep, Explanation, Listener, Traffic},
    },
    http::{HeaderList, RequestView},
    snapshot::{Backend, Reader, Route, Snapshot},
    split::{self, AssignContext},
    telemetry::{ControlStats, Exporter, Gauges, Registry, StatsSnapshot, WindowStats, Windows},
    types::{BUCKETS, Name, clock},
};

/// What "the last seconds" are on the status page.
const WINDOW: Duration = Duration::from_secs(10);

/// Answers the admin API's questions.
pub(super) struct Overview {
    pub(super) stage: Stage,
    pub(super) snapshots: Reader,
    pub(super) registry: Arc<Registry>,
    pub(super) windows: Arc<Windows>,
    pub(super) control: Arc<ControlStats>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) started: Instant,
}

impl View for Overview {
    fn traffic(&self, route: &Name, backend: &Name) -> Traffic {
        self.windows.rate(route, backend, WINDOW).map_or_else(Traffic::default, |stats| traffic(&stats))
    }

    fn endpoints(&self, backend: &Name) -> Vec<Endpoint> {
        let snapshot = self.snapshots.current();
        let Some(backend) = snapshot.backends.iter().find(|known| known.name == *backend) else {
            return Vec::new();
        };
        let stats = self.registry.snapshot();
        (0..backend.endpoints.len()).map(|place| endpoint(backend, place, &stats)).collect()
    }

    fn listeners(&self) -> Vec<Listener> {
        let listeners = self.stage.listeners().into_iter();
        listeners.map(|(name, address)| Listener { name, address: address.to_string() }).collect()
    }

    fn explain(&self, route: &Name, request: &ExplainRequest) -> Result<Explanation, String> {
        explain(&self.snapshots.current(), route, request)
    }

    fn metrics(&self) -> Result<String, String> {
        let exporter = Exporter::new(
            Arc::clone(&self.registry),
            Arc::clone(&self.windows),
            Arc::clone(&self.control),
            self.stage.log_counts(),
        );
        exporter.render(&gauges(&self.snapshots.current())).map_err(|error| error.to_string())
    }

    fn not_ready(&self) -> Vec<String> {
        if self.draining.load(Relaxed) { vec!["Weir is stopping".to_owned()] } else { Vec::new() }
    }

    fn uptime(&self) -> Duration {
        clock::now().saturating_duration_since(self.started)
    }
}

fn traffic(stats: &WindowStats) -> Traffic {
    let seconds = |quantile: Option<Duration>| quantile.map(|duration| duration.as_secs_f64());
    Traffic {
        window_seconds: stats.covered.as_secs_f64(),
        requests: stats.requests,
        errors: stats.errors_5xx(),
        requests_per_second: stats.rps,
        observed_ratio: stats.share,
        error_ratio: stats.error_ratio,
        p50_seconds: seconds(stats.p50()),
        p95_seconds: seconds(stats.p95()),
        p99_seconds: seconds(stats.p99()),
    }
}

fn endpoint(backend: &Backend, place: usize, stats: &StatsSnapshot) -> Endpoint {
    let endpoint = &backend.endpoints[place];
    let address = endpoint.address.to_string();
    let totals = stats.endpoints.get(&(backend.name.clone(), address.as_str().into()));
    let quantile = |q: f64| totals?.durations.quantile(q).map(|duration| duration.as_secs_f64());
    Endpoint {
        weight: backend.chooser.weight(place),
        health: endpoint.verdict().as_str().to_owned(),
        detail: endpoint.detail(),
        available: endpoint.is_available(backend.initially_healthy),
        in_flight: totals.map_or(0, |totals| totals.in_flight),
        p50_seconds: quantile(0.5),
        p99_seconds: quantile(0.99),
        address,
    }
}

/// The assignment that such a request would get, by the code that assigns.
fn explain(snapshot: &Snapshot, name: &Name, request: &ExplainRequest) -> Result<Explanation, String> {
    let route = snapshot.routes.iter().find(|route| route.name == *name);
    let route = route.ok_or_else(|| format!("there is no route `{name}`"))?;
    if !request.path.starts_with('/') {
        return Err("a path begins with `/`".to_owned());
    }
    let mut headers = HeaderList::default();
    for (name, values) in &request.headers {
        for value in &values.0 {
            headers.push(name, value.as_bytes());
        }
    }
    let (path, query) = match request.path.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (request.path.as_str(), None),
    };
    let host = request.host.to_ascii_lowercase();
    let view = RequestView {
        method: &request.method,
        host: without_port(&host),
        path: path.as_bytes(),
        query,
        headers: headers.view(),
        client_ip: request.client_ip,
        peer_ip: request.client_ip,
        listener_region: None,
    };
    let context = AssignContext {
        keyring: &snapshot.keyring,
        now_unix_secs: clock::unix_now().as_secs(),
        regions: &snapshot.regions,
        secure: false,
    };
    let explanation = split::explain(&route.plan, &view, &context, rand::random());
    let steps = explanation.steps.into_iter().map(|step| ExplainStep {
        step: step.step,
        result: match step.result {
            split::Outcome::Decided => "decided",
            split::Outcome::Passed => "passed",
        }
        .to_owned(),
        detail: step.detail,
    });
    Ok(Explanation {
        route: name.clone(),
        matched_route: snapshot.table.find(&view).map(|place| snapshot.routes[place].name.clone()),
        revision: snapshot.revision,
        backend: explanation.backend,
        reason: explanation.reason.as_str().to_owned(),
        rule: explanation.rule,
        bucket: explanation.bucket.map(crate::types::Bucket::number),
        region: explanation.region,
        sets_cookie: explanation.sets_cookie,
        steps: steps.collect(),
    })
}

fn without_port(host: &str) -> &str {
    let from = host.rfind(']').unwrap_or(0);
    host[from..].find(':').map_or(host, |at| &host[..from + at])
}

/// What the metrics say of the configuration.
fn gauges(snapshot: &Snapshot) -> Gauges {
    let mut gauges = Gauges { revision: snapshot.revision, ..Gauges::default() };
    for route in &snapshot.routes {
        gauges.weight_ratios.extend(ratios(route));
        gauges.kill_switches.insert(route.name.clone(), route.plan.kill_switch().is_some());
    }
    for backend in &snapshot.backends {
        gauges.endpoints_healthy.extend(backend.endpoints.iter().map(|endpoint| {
            let key = (backend.name.clone(), endpoint.address.to_string().into());
            (key, endpoint.is_available(backend.initially_healthy))
        }));
    }
    gauges
}

fn ratios(route: &Route) -> BTreeMap<(Name, Name), f64> {
    let counts = route.plan.allocation().counts();
    let split = route.plan.backends().iter().zip(counts.iter());
    split
        .map(|(backend, count)| {
            ((route.name.clone(), backend.name.clone()), f64::from(*count) / f64::from(BUCKETS))
        })
        .collect()
}
