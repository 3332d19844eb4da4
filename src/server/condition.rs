//! How backends are beside their health checks: for metrics, for status, and as lines for operators when it changes.
//!
//! Workers eject endpoints by themselves, at once. What needs a look at a whole backend over time, and telling people about
//! it, is done here, once a second.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::note;
use crate::{
    admin::api::types,
    snapshot::{Backend, Reader, Snapshot},
    telemetry::prometheus::{BackendGauges, EjectionGauges},
    types::{Name, clock},
    upstream::{Endpoint, outlier::Ejection},
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was said last.
#[derive(Debug, Default)]
struct Said {
    /// Endpoints that were out, by id.
    ejected: BTreeSet<usize>,
    /// Backends whose version was suspect.
    suspect: BTreeSet<Name>,
}

/// Reviews every backend once a second, and tells operators what has changed.
pub(super) async fn watch(reader: Reader) {
    let mut said = Said::default();
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let (snapshot, now) = (reader.current(), clock::now());
        for backend in &snapshot.backends {
            if let Some(detection) = &backend.outlier_detection {
                detection.review(&backend.endpoints, now);
            }
        }
        said.update(&snapshot, now).iter().for_each(|line| note(line));
    }
}

/// What metrics say of a backend.
pub(super) fn gauges(backend: &Backend, now: Instant) -> BackendGauges {
    let judged = backend.outlier_detection.is_some();
    let ejections = backend.endpoints.iter().filter(|_| judged).map(|endpoint| {
        let by_cause = endpoint.record.ejections().map(|(cause, count)| (cause.as_str(), count)).to_vec();
        let gauges = EjectionGauges { ejected: endpoint.is_ejected(now), by_cause };
        (endpoint.address.to_string().into(), gauges)
    });
    BackendGauges {
        version_suspect: judged.then(|| backend.is_version_suspect(now)),
        ejections: ejections.collect(),
    }
}

/// What status says of a backend.
pub(super) fn condition(backend: &Backend, now: Instant) -> types::Condition {
    types::Condition { version_suspect: backend.is_version_suspect(now) }
}

/// What status says of an endpoint's ejection.
pub(super) fn ejection(endpoint: &Endpoint, now: Instant) -> Option<types::Ejection> {
    let ejection = endpoint.ejection(now)?;
    Some(types::Ejection {
        seconds_left: ejection.left.as_secs_f64(),
        cause: ejection.cause.as_str().to_owned(),
    })
}

// === impl Said ===

impl Said {
    /// The lines about what is new at `now`.
    fn update(&mut self, snapshot: &Snapshot, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        let mut next = Self::default();
        for backend in &snapshot.backends {
            let name = &backend.name;
            for endpoint in &backend.endpoints {
                let ejection = endpoint.ejection(now);
                if ejection.is_some() {
                    next.ejected.insert(endpoint.id);
                }
                let what = match (self.ejected.contains(&endpoint.id), ejection) {
                    (false, Some(Ejection { left, cause })) => {
                        format!("ejected for {:.0}s: {}", left.as_secs_f64(), cause.as_str())
                    }
                    (true, None) => "no longer ejected".to_owned(),
                    _ => continue,
                };
                lines.push(format!("endpoint {} of backend {name} is {what}", endpoint.address));
            }
            let suspect = backend.is_version_suspect(now);
            if suspect {
                next.suspect.insert(name.clone());
            }
            match (self.suspect.contains(name), suspect) {
                (false, true) => lines.push(format!(
                    "most endpoints of backend {name} answer badly at once: the version is suspect, none is ejected"
                )),
                (true, false) => lines.push(format!("the version of backend {name} is no longer suspect")),
                _ => {}
            }
        }
        *self = next;
        lines
    }
}
