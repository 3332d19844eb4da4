//! The families about backends and endpoints as they are: ejections and what else takes traffic away from them.

use std::{collections::BTreeMap, sync::Arc};

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::{Family, Sample, float};
use crate::types::Name;

/// How a backend is at the moment of the scrape. What is not configured is not exported.
#[derive(Debug, Clone, Default)]
pub struct BackendGauges {
    /// Whether most of its endpoints answer badly at once.
    pub version_suspect: Option<bool>,
    /// Its endpoints' ejections, by address.
    pub ejections: BTreeMap<Arc<str>, EjectionGauges>,
}

/// An endpoint's ejections.
#[derive(Debug, Clone, Default)]
pub struct EjectionGauges {
    /// Whether it is ejected now.
    pub ejected: bool,
    /// How often it was, by cause.
    pub by_cause: Vec<(&'static str, u64)>,
}

pub(super) fn families(backends: &BTreeMap<Name, BackendGauges>) -> [MetricFamily; 3] {
    let gauge = |name, help| Family::new(name, help, MetricType::GAUGE);
    let suspects = backends
        .iter()
        .filter_map(|(name, backend)| Some(of_backend(name).value(switch(backend.version_suspect?))));
    let ejected = per_endpoint(backends, |sample, ejections| vec![sample.value(switch(ejections.ejected))]);
    let ejections = per_endpoint(backends, |sample, ejections| {
        let by_cause = ejections.by_cause.iter();
        by_cause.map(|(cause, count)| sample.clone().label("cause", cause).value(float(*count))).collect()
    });
    [
        gauge(
            "weir_backend_version_suspect",
            "1 while most endpoints of the backend answer badly at once, so that none is ejected.",
        )
        .extend(suspects)
        .build(),
        gauge("weir_endpoint_ejected", "1 while the endpoint is out because of its answers.")
            .extend(ejected)
            .build(),
        Family::new(
            "weir_endpoint_ejections_total",
            "Times that the endpoint was taken out because of its answers.",
            MetricType::COUNTER,
        )
        .extend(ejections)
        .build(),
    ]
}

fn per_endpoint(
    backends: &BTreeMap<Name, BackendGauges>,
    samples: impl Fn(Sample, &EjectionGauges) -> Vec<Metric>,
) -> Vec<Metric> {
    let endpoints = backends.iter().flat_map(|(name, backend)| {
        backend.ejections.iter().map(move |(address, ejections)| (name, address, ejections))
    });
    endpoints
        .flat_map(|(name, address, ejections)| {
            samples(of_backend(name).label("endpoint", address), ejections)
        })
        .collect()
}

fn of_backend(name: &Name) -> Sample {
    Sample::new().label("backend", name.as_str())
}

fn switch(on: bool) -> f64 {
    f64::from(u8::from(on))
}
