//! Copies of requests, beside the requests themselves.

use prometheus::proto::{MetricFamily, MetricType};

use super::{Family, REQUEST_BOUNDS, float, of_route};
use crate::telemetry::{mirror::ends, totals::StatsSnapshot};

/// The families of routes with a mirror.
pub(super) fn families(stats: &StatsSnapshot) -> [MetricFamily; 3] {
    let routes = || stats.routes.iter().filter_map(|(route, stats)| Some((route, stats.mirror.as_deref()?)));
    let pairs = routes().flat_map(|(route, mirror)| {
        let rows = ends().zip(mirror.pairs);
        let cells =
            rows.flat_map(|(primary, row)| ends().zip(row).map(move |(copy, count)| (primary, copy, count)));
        cells.filter(|(.., count)| *count > 0).map(|(primary, copy, count)| {
            of_route(route).label("primary", primary).label("mirror", copy).value(float(count))
        })
    });
    let durations = routes().flat_map(|(route, mirror)| {
        let sides = ["primary", "mirror"].into_iter().zip(&mirror.durations);
        sides.map(|(side, all)| of_route(route).label("side", side).histogram(all, &REQUEST_BOUNDS))
    });
    let dropped = routes().map(|(route, mirror)| of_route(route).value(float(mirror.dropped)));
    [
        Family::new(
            "weir_mirrored_requests_total",
            "Copied requests, by how the request and its copy ended.",
            MetricType::COUNTER,
        )
        .extend(pairs)
        .build(),
        Family::new(
            "weir_mirror_duration_seconds",
            "From the head sent to the response's head read, of copied requests and of their copies.",
            MetricType::HISTOGRAM,
        )
        .extend(durations)
        .build(),
        Family::new(
            "weir_mirror_dropped_total",
            "Requests that were not copied because there was no room.",
            MetricType::COUNTER,
        )
        .extend(dropped)
        .build(),
    ]
}
