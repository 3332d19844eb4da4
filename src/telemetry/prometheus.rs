//! The export: the totals as Prometheus text, made anew for each scrape.
//!
//! The families are built from one snapshot of the registry rather than kept in the crate's own vectors, because those
//! would put a shared atomic under every request. Histograms are counted into the exported buckets here; quantiles come
//! from Prometheus, gates read the full histograms. What telemetry does not own (weights, health, the kill switch, the
//! revision) the caller passes as [`Gauges`].

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use prometheus::{
    TextEncoder,
    core::Collector,
    process_collector::ProcessCollector,
    proto::{Metric, MetricFamily, MetricType},
};

use super::{
    access_log::AccessLogCounts,
    control::ControlStats,
    family::{Family, Sample},
    label::{ChangeResult, ChangeSource, CodeClass, ErrorKind, FaultLabel, MethodLabel, PolicyLabel},
    registry::Registry,
    totals::{BackendEndpoint, Code, RouteBackend, RouteBackendStats, StatsSnapshot},
    windows::Windows,
};
use crate::types::{Name, Reason, Revision};

mod admin;
mod backends;
mod listeners;
mod mirrors;
mod names;
mod rollouts;
mod streams;
mod tokens;

pub use admin::AdminTokens;
pub use backends::{BackendGauges, EjectionGauges};
pub use names::NameGauges;
pub use rollouts::{NewestRollout, RolloutGauges};
pub use tokens::KeyGauges;

/// The content type of what [`Exporter::render`] gives.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The span over which `weir_backend_observed_ratio` is measured: long enough for a small share, short enough to follow
/// a change of weights.
pub const OBSERVED_OVER: Duration = Duration::from_secs(60);

/// Upper bounds for requests, in microseconds: those of the OpenTelemetry HTTP conventions, and finer ones below 5 ms.
const REQUEST_BOUNDS: [u64; 18] = [
    500, 1_000, 2_000, 3_000, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000,
    1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
];
/// Upper bounds for the time in Weir itself, in microseconds: that is a few of them unless something is wrong.
const OVERHEAD_BOUNDS: [u64; 11] = [5, 10, 20, 50, 100, 200, 500, 1_000, 2_500, 10_000, 50_000];

/// Renders everything that Weir measures.
pub struct Exporter {
    registry: Arc<Registry>,
    windows: Arc<Windows>,
    control: Arc<ControlStats>,
    access_log: Arc<AccessLogCounts>,
    process: ProcessCollector,
}

/// Values that other modules own, as they are at the moment of the scrape.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// The revision in force.
    pub revision: Revision,
    /// Whether the store takes what it is given.
    pub store_healthy: bool,
    /// Each backend's configured part of its route's split, 0 to 1.
    pub weight_ratios: BTreeMap<RouteBackend, f64>,
    /// Whether each endpoint can take requests.
    pub endpoints_healthy: BTreeMap<BackendEndpoint, bool>,
    /// Whether each route's kill switch is on.
    pub kill_switches: BTreeMap<Name, bool>,
    /// When each certificate ends, since 1970, by its file.
    pub certificates: BTreeMap<PathBuf, Duration>,
    /// Whether every file of TLS was good when last read.
    pub certificates_good: bool,
    /// How looking up each name of endpoints goes.
    pub names: BTreeMap<Arc<str>, NameGauges>,
    /// How it is with the keys of each jwt provider.
    pub token_keys: BTreeMap<Name, KeyGauges>,
    /// How many keys each route's limits have forgotten too soon.
    pub forgotten_keys: BTreeMap<Name, u64>,
    /// How it is with the tokens of the admin API; `None` where nobody needs one.
    pub admin_tokens: Option<AdminTokens>,
    /// How each backend is.
    pub backends: BTreeMap<Name, BackendGauges>,
    /// How it is with rollouts.
    pub rollouts: RolloutGauges,
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus values are f64; counts stay below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

// === impl Exporter ===

impl Exporter {
    /// An exporter of these sources. Without an access log, pass default counts.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        windows: Arc<Windows>,
        control: Arc<ControlStats>,
        access_log: Arc<AccessLogCounts>,
    ) -> Self {
        Self { registry, windows, control, access_log, process: ProcessCollector::for_self() }
    }

    /// All metrics in the text format 0.0.4.
    ///
    /// # Errors
    /// When the encoder refuses a family, which the families built here give it no cause to.
    pub fn render(&self, gauges: &Gauges) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.families(gauges))
    }

    /// All families that have samples, each once.
    fn families(&self, gauges: &Gauges) -> Vec<MetricFamily> {
        let stats = self.registry.snapshot();
        let mut families = request_families(&stats).to_vec();
        families.extend(duration_families(&stats));
        families.extend(choice_families(&stats));
        families.extend(listeners::families(&stats));
        families.extend(mirrors::families(&stats));
        families.extend(gauge_families(gauges));
        families.extend(backends::families(&gauges.backends));
        families.extend(names::families(gauges));
        families.extend(tokens::families(gauges));
        families.extend(rollouts::families(gauges));
        families.extend(admin::families(gauges));
        families.push(admin::denied(&self.control));
        families.push(admin::notifications(&self.control));
        families.push(self.observed());
        families.extend(self.control_families());
        families.extend(streams::families(&self.control.streams));
        families.push(
            Family::new(
                "weir_series_dropped_total",
                "Series that were not registered because of the cap.",
                MetricType::COUNTER,
            )
            .with(Sample::new().value(float(stats.dropped_series)))
            .build(),
        );
        families.extend(self.process.collect());
        families.retain(|family| !family.get_metric().is_empty());
        families
    }

    fn observed(&self) -> MetricFamily {
        let shares = self.windows.shares(OBSERVED_OVER);
        let samples = shares.into_iter().map(|(key, share)| of_route_backend(&key).value(share));
        Family::new(
            "weir_backend_observed_ratio",
            "Part of the route's requests that the backend served in the last minute, 0 to 1.",
            MetricType::GAUGE,
        )
        .extend(samples)
        .build()
    }

    fn control_families(&self) -> [MetricFamily; 5] {
        let mut reloads = Family::new(
            "weir_config_reloads_total",
            "Changes of the configuration by source and result.",
            MetricType::COUNTER,
        );
        for source in ChangeSource::ALL {
            for result in ChangeResult::ALL {
                let sample = Sample::new().label("source", source.as_str()).label("result", result.as_str());
                reloads = reloads.with(sample.value(float(self.control.changes(source, result))));
            }
        }
        let last = u8::from(self.control.last_reload_successful());
        let admin = self.control.admin_calls().into_iter().map(|((operation, result), count)| {
            Sample::new().label("operation", operation).label("result", result.as_str()).value(float(count))
        });
        let lines = self
            .access_log
            .by_result()
            .map(|(result, count)| Sample::new().label("result", result).value(float(count)));
        [
            reloads.build(),
            Family::new(
                "weir_config_last_reload_successful",
                "1 when the control file was good when last read.",
                MetricType::GAUGE,
            )
            .with(Sample::new().value(f64::from(last)))
            .build(),
            Family::new(
                "weir_admin_requests_total",
                "Calls of the admin API by operation and result.",
                MetricType::COUNTER,
            )
            .extend(admin)
            .build(),
            Family::new(
                "weir_access_log_lines_total",
                "Lines of the access log by what became of them.",
                MetricType::COUNTER,
            )
            .extend(lines)
            .build(),
            Family::new("weir_build_info", "Always 1; the version is a label.", MetricType::GAUGE)
                .with(Sample::new().label("version", env!("CARGO_PKG_VERSION")).value(1.0))
                .build(),
        ]
    }
}

fn of_route(route: &Name) -> Sample {
    Sample::new().label("route", route.as_str())
}

fn of_route_backend((route, backend): &RouteBackend) -> Sample {
    of_route(route).label("backend", backend.as_str())
}

fn of_endpoint((backend, address): &BackendEndpoint) -> Sample {
    Sample::new().label("backend", backend.as_str()).label("endpoint", address)
}

/// One family with samples made from each backend of each route.
fn per_backend<I: IntoIterator<Item = Metric>>(
    stats: &StatsSnapshot,
    family: Family,
    samples: impl Fn(&RouteBackend, &RouteBackendStats) -> I,
) -> MetricFamily {
    family.extend(stats.route_backends.iter().flat_map(|(key, stats)| samples(key, stats))).build()
}

fn request_families(stats: &StatsSnapshot) -> [MetricFamily; 6] {
    let requests = |key: &RouteBackend, stats: &RouteBackendStats| {
        let of_key = of_route_backend(key);
        let sample = |((code, method), count): (&(Code, MethodLabel), &u64)| {
            let sample = of_key.clone().label("code", &code.to_string()).label("method", method.as_str());
            sample.value(float(*count))
        };
        stats.requests.iter().map(sample).collect::<Vec<_>>()
    };
    // Most routes have no policy, so what never happened has no sample.
    let answered = stats.routes.iter().flat_map(|(route, stats)| {
        let counts = PolicyLabel::ALL.into_iter().zip(stats.answered).filter(|(_, count)| *count > 0);
        counts.map(|(by, count)| of_route(route).label("policy", by.as_str()).value(float(count)))
    });
    let matched = stats.routes.iter().map(|(route, stats)| of_route(route).value(float(stats.matched)));
    [
        per_backend(
            stats,
            Family::new("weir_requests_total", "Finished requests.", MetricType::COUNTER),
            requests,
        ),
        per_backend(
            stats,
            Family::new("weir_requests_in_flight", "Requests at the backend now.", MetricType::GAUGE),
            |key, stats| [of_route_backend(key).value(float(stats.in_flight))],
        ),
        Family::new(
            "weir_route_requests_total",
            "Requests that matched the route, whoever answered them.",
            MetricType::COUNTER,
        )
        .extend(matched)
        .build(),
        Family::new(
            "weir_policy_responses_total",
            "Requests that the route answered itself, by what of its policy did.",
            MetricType::COUNTER,
        )
        .extend(answered)
        .build(),
        tokens::seen(stats),
        fault_family(stats),
    ]
}

fn fault_family(stats: &StatsSnapshot) -> MetricFamily {
    let faults = stats.routes.iter().flat_map(|(route, stats)| {
        let counts = FaultLabel::ALL.into_iter().zip(stats.faults).filter(|(_, count)| *count > 0);
        counts.map(|(kind, count)| of_route(route).label("kind", kind.as_str()).value(float(count)))
    });
    Family::new("weir_faults_injected_total", "Failures made on purpose.", MetricType::COUNTER)
        .extend(faults)
        .build()
}

fn duration_families(stats: &StatsSnapshot) -> [MetricFamily; 4] {
    let histogram = |name, help| Family::new(name, help, MetricType::HISTOGRAM);
    let by_class = |key: &RouteBackend, stats: &RouteBackendStats| {
        let of_key = of_route_backend(key);
        let seen = CodeClass::ALL.into_iter().zip(&stats.durations).filter(|(_, all)| all.count() > 0);
        let sample = |(class, all): (CodeClass, _)| {
            of_key.clone().label("code_class", class.as_str()).histogram(all, &REQUEST_BOUNDS)
        };
        seen.map(sample).collect::<Vec<_>>()
    };
    let overhead = stats
        .routes
        .iter()
        .map(|(route, stats)| of_route(route).histogram(&stats.overhead, &OVERHEAD_BOUNDS));
    let endpoints = stats
        .endpoints
        .iter()
        .map(|(key, stats)| of_endpoint(key).histogram(&stats.durations, &REQUEST_BOUNDS));
    [
        per_backend(
            stats,
            histogram(
                "weir_request_duration_seconds",
                "From the request's head read to the response's last byte written.",
            ),
            by_class,
        ),
        per_backend(
            stats,
            histogram(
                "weir_upstream_duration_seconds",
                "From the request's head sent upstream to the response's head read.",
            ),
            |key, stats| [of_route_backend(key).histogram(&stats.upstream, &REQUEST_BOUNDS)],
        ),
        histogram("weir_overhead_seconds", "Time that a request spent in Weir itself.")
            .extend(overhead)
            .build(),
        histogram(
            "weir_endpoint_request_duration_seconds",
            "From the start of an attempt at the endpoint to the response's last byte.",
        )
        .extend(endpoints)
        .build(),
    ]
}

fn choice_families(stats: &StatsSnapshot) -> [MetricFamily; 6] {
    let counter = |name, help| Family::new(name, help, MetricType::COUNTER);
    [
        per_backend(
            stats,
            counter("weir_upstream_errors_total", "What went wrong with requests and attempts."),
            |key, stats| {
                ErrorKind::ALL.map(|kind| {
                    of_route_backend(key).label("kind", kind.as_str()).value(float(stats.errors_of(kind)))
                })
            },
        ),
        per_backend(stats, counter("weir_retries_total", "Attempts after the first."), |key, stats| {
            [of_route_backend(key).value(float(stats.retries))]
        }),
        per_backend(
            stats,
            counter("weir_retry_budget_exhausted_total", "Attempts not made because too many were."),
            |key, stats| [of_route_backend(key).value(float(stats.budget_exhausted))],
        ),
        per_backend(
            stats,
            counter("weir_shielded_failures_total", "Failures that clients did not see."),
            |key, stats| [of_route_backend(key).value(float(stats.shielded))],
        ),
        per_backend(
            stats,
            counter("weir_assignments_total", "Choices of the backend for a request, by reason."),
            |key, stats| {
                Reason::ALL.map(|reason| {
                    let count = stats.assignments[reason.index()];
                    of_route_backend(key).label("reason", reason.as_str()).value(float(count))
                })
            },
        ),
        per_backend(
            stats,
            counter("weir_new_buckets_total", "Users seen for the first time."),
            |key, stats| [of_route_backend(key).value(float(stats.new_buckets))],
        ),
    ]
}

fn gauge_families(gauges: &Gauges) -> [MetricFamily; 8] {
    let gauge = |name, help| Family::new(name, help, MetricType::GAUGE);
    let switch = |on: bool| f64::from(u8::from(on));
    let weights = gauges.weight_ratios.iter().map(|(key, ratio)| of_route_backend(key).value(*ratio));
    let healthy =
        gauges.endpoints_healthy.iter().map(|(key, healthy)| of_endpoint(key).value(switch(*healthy)));
    let ends = gauges
        .certificates
        .iter()
        .map(|(file, end)| Sample::new().label("file", &file.to_string_lossy()).value(float(end.as_secs())));
    let forgotten = gauges.forgotten_keys.iter().map(|(route, count)| of_route(route).value(float(*count)));
    let kills = gauges.kill_switches.iter().map(|(route, on)| of_route(route).value(switch(*on)));
    [
        gauge("weir_backend_weight_ratio", "The backend's configured part of the split, 0 to 1.")
            .extend(weights)
            .build(),
        gauge("weir_endpoint_healthy", "1 when the endpoint can take requests.").extend(healthy).build(),
        gauge("weir_kill_switch_active", "1 while the route's kill switch is on.").extend(kills).build(),
        Family::new(
            "weir_rate_limit_keys_forgotten_total",
            "Keys of the route's rate limits that made room for others before their burst was back.",
            MetricType::COUNTER,
        )
        .extend(forgotten)
        .build(),
        gauge("weir_config_revision", "The revision in force.")
            .with(Sample::new().value(float(gauges.revision.0)))
            .build(),
        gauge("weir_store_healthy", "Whether what is in force could be written to the data directory.")
            .with(Sample::new().value(switch(gauges.store_healthy)))
            .build(),
        gauge("weir_certificate_expiry_timestamp_seconds", "When a certificate ends, in seconds since 1970.")
            .extend(ends)
            .build(),
        gauge(
            "weir_certificates_last_reload_successful",
            "Whether every file of TLS was good when last read.",
        )
        .with(Sample::new().value(switch(gauges.certificates_good)))
        .build(),
    ]
}

#[cfg(test)]
mod tests;
