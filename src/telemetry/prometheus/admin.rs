//! Who was not let in by the admin API, and its file of tokens; who was told of rollouts.

use prometheus::proto::{MetricFamily, MetricType};

use super::{Family, Gauges, Sample, float};
use crate::telemetry::{ControlStats, DenialReason, NotificationResult};

/// How it is with the file of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdminTokens {
    /// Tokens in force, those that have ended included.
    pub tokens: usize,
    /// Whether the file was good when it was last read.
    pub good: bool,
}

pub(super) fn denied(stats: &ControlStats) -> MetricFamily {
    let counts = DenialReason::ALL
        .into_iter()
        .map(|reason| Sample::new().label("reason", reason.as_str()).value(float(stats.denials(reason))));
    Family::new(
        "weir_admin_denied_total",
        "Calls of the admin API that were not allowed, by reason.",
        MetricType::COUNTER,
    )
    .extend(counts)
    .build()
}

pub(super) fn notifications(stats: &ControlStats) -> MetricFamily {
    let counts = NotificationResult::ALL.into_iter().map(|result| {
        Sample::new().label("result", result.as_str()).value(float(stats.notifications(result)))
    });
    Family::new(
        "weir_notifications_total",
        "Attempts to tell people of rollouts, by result.",
        MetricType::COUNTER,
    )
    .extend(counts)
    .build()
}

pub(super) fn families(gauges: &Gauges) -> [MetricFamily; 2] {
    let seen = gauges.admin_tokens.iter();
    let counts = seen.clone().map(|seen| Sample::new().value(float(seen.tokens as u64)));
    let good = seen.map(|seen| Sample::new().value(f64::from(u8::from(seen.good))));
    [
        Family::new("weir_admin_tokens", "Tokens of the admin API that are in force.", MetricType::GAUGE)
            .extend(counts)
            .build(),
        Family::new(
            "weir_admin_tokens_last_reload_successful",
            "0 while the file of tokens is bad and what was read before stays in force.",
            MetricType::GAUGE,
        )
        .extend(good)
        .build(),
    ]
}
