//! What is exported of the admin API's streams of events.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus::proto::{MetricFamily, MetricType};

use super::{Family, Sample, float};
use crate::telemetry::StreamStats;

pub(super) fn families(stats: &StreamStats) -> [MetricFamily; 4] {
    let family = |name: &'static str, help: &'static str, kind, value: &AtomicU64| {
        Family::new(name, help, kind).with(Sample::new().value(float(value.load(Relaxed)))).build()
    };
    let counter = MetricType::COUNTER;
    [
        family("weir_event_streams", "Streams of events that are open.", MetricType::GAUGE, &stats.open),
        family("weir_event_streams_opened_total", "Streams of events opened.", counter, &stats.opened),
        family(
            "weir_event_streams_refused_total",
            "Streams of events refused because as many were open as may be.",
            counter,
            &stats.refused,
        ),
        family(
            "weir_event_streams_dropped_total",
            "Streams of events ended because their client did not keep up.",
            counter,
            &stats.dropped,
        ),
    ]
}
