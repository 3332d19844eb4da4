//! What listeners count.

use prometheus::proto::{MetricFamily, MetricType};

use super::{Family, Sample, float};
use crate::telemetry::{
    label::{Handshake, Refusal, Shed},
    totals::{ListenerStats, StatsSnapshot},
};

/// All families of listeners.
pub(super) fn families(stats: &StatsSnapshot) -> [MetricFamily; 6] {
    let gauge = |name, help| Family::new(name, help, MetricType::GAUGE);
    let counter = |name, help| Family::new(name, help, MetricType::COUNTER);
    let one = |family: Family, value: fn(&ListenerStats) -> u64| {
        let samples = stats.listeners.iter().map(|(listener, stats)| {
            Sample::new().label("listener", listener.as_str()).value(float(value(stats)))
        });
        family.extend(samples).build()
    };
    [
        one(gauge("weir_connections", "Open client connections."), |stats| stats.connections),
        one(counter("weir_connections_total", "Client connections accepted."), |stats| stats.opened),
        one(
            counter(
                "weir_accept_errors_total",
                "Accepts that failed for want of a descriptor or memory; the connection waits.",
            ),
            |stats| stats.accept_errors,
        ),
        each(
            counter(
                "weir_connections_shed_total",
                "Client connections turned away, by the limit that was reached.",
            ),
            "limit",
            stats,
            |stats| Shed::ALL.map(|limit| (limit.as_str(), stats.shed[limit.index()])).to_vec(),
        ),
        each(
            counter("weir_requests_refused_total", "Requests that Weir answered itself, without a route."),
            "reason",
            stats,
            |stats| Refusal::ALL.map(|reason| (reason.as_str(), stats.refused[reason.index()])).to_vec(),
        ),
        // Listeners in the clear shake no hands: a result that never was has no sample.
        each(
            counter("weir_tls_handshakes_total", "TLS handshakes with clients, by how they ended."),
            "result",
            stats,
            |stats| {
                let all = Handshake::ALL.map(|result| (result.as_str(), stats.handshakes[result.index()]));
                all.into_iter().filter(|(_, count)| *count > 0).collect()
            },
        ),
    ]
}

/// A family with a label beside the listener's, whose words and counts `read` gives.
fn each(
    family: Family,
    label: &'static str,
    stats: &StatsSnapshot,
    read: fn(&ListenerStats) -> Vec<(&'static str, u64)>,
) -> MetricFamily {
    let samples = stats.listeners.iter().flat_map(|(listener, stats)| {
        read(stats).into_iter().map(|(word, count)| {
            Sample::new().label("listener", listener.as_str()).label(label, word).value(float(count))
        })
    });
    family.extend(samples).build()
}
