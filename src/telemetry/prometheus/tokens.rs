//! Tokens, and the keys that they are verified with.

use prometheus::proto::{MetricFamily, MetricType};

use super::{Family, Gauges, Sample, float, of_route};
use crate::telemetry::{label::TokenLabel, totals::StatsSnapshot};

/// How it is with the keys of one jwt provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyGauges {
    /// Keys in force.
    pub keys: usize,
    /// Whether the file was good when it was last read.
    pub good: bool,
}

pub(super) fn seen(stats: &StatsSnapshot) -> MetricFamily {
    let tokens = stats.routes.iter().flat_map(|(route, stats)| {
        let counts = TokenLabel::ALL.into_iter().zip(stats.tokens).filter(|(_, count)| *count > 0);
        counts.map(|(result, count)| of_route(route).label("result", result.as_str()).value(float(count)))
    });
    Family::new(
        "weir_jwt_tokens_total",
        "Requests on routes that verify tokens, by what became of theirs.",
        MetricType::COUNTER,
    )
    .extend(tokens)
    .build()
}

pub(super) fn families(gauges: &Gauges) -> [MetricFamily; 2] {
    let of = |provider: &str| Sample::new().label("provider", provider);
    let keys = gauges.token_keys.iter();
    let counts = keys.clone().map(|(name, seen)| of(name.as_str()).value(float(seen.keys as u64)));
    let good = keys.map(|(name, seen)| of(name.as_str()).value(f64::from(u8::from(seen.good))));
    [
        Family::new("weir_jwt_keys", "Keys of a jwt provider that are in force.", MetricType::GAUGE)
            .extend(counts)
            .build(),
        Family::new(
            "weir_jwt_keys_last_reload_successful",
            "0 while a provider's key file is bad and the keys read before stay in force.",
            MetricType::GAUGE,
        )
        .extend(good)
        .build(),
    ]
}
