//! Names that are looked up.

use prometheus::proto::{MetricFamily, MetricType};

use super::{Family, Gauges, Sample, float};

/// How looking up one name goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NameGauges {
    /// Addresses in use.
    pub addresses: usize,
    /// Lookups that gave an answer.
    pub answered: u64,
    /// Lookups that failed.
    pub failed: u64,
    /// Whether the last one gave an answer.
    pub good: bool,
}

pub(super) fn families(gauges: &Gauges) -> [MetricFamily; 3] {
    let of = |name: &str| Sample::new().label("name", name);
    let lookups = gauges.names.iter().flat_map(|(name, seen)| {
        [("answered", seen.answered), ("failed", seen.failed)]
            .map(|(result, count)| of(name).label("result", result).value(float(count)))
    });
    let addresses = gauges.names.iter().map(|(name, seen)| of(name).value(float(seen.addresses as u64)));
    let good = gauges.names.iter().map(|(name, seen)| of(name).value(f64::from(u8::from(seen.good))));
    [
        Family::new("weir_dns_lookups_total", "Lookups of names of endpoints.", MetricType::COUNTER)
            .extend(lookups)
            .build(),
        Family::new("weir_dns_addresses", "Addresses of a name that are in use.", MetricType::GAUGE)
            .extend(addresses)
            .build(),
        Family::new(
            "weir_dns_last_lookup_successful",
            "0 while a name is not resolved and its last answer stays in use.",
            MetricType::GAUGE,
        )
        .extend(good)
        .build(),
    ]
}
