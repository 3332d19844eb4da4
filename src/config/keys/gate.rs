//! The keys of gates.

use super::rollout::SECONDS;
use super::{Choice, Kind, Scalar, Shape, default, optional};

/// A gate.
pub(in crate::config) static GATE: Shape = Shape {
    name: "gate",
    doc: "A condition on the canary: [gates](rollouts.md#gates). Each kind has keys of its own; the others are common.",
    choice: Choice::One(&["metric", "consecutive_failures", "regression", "prometheus", "webhook"]),
    keys: &[
        optional(
            "name",
            Kind::Scalar(Scalar::Name),
            "What it is called; unique in the plan. Without it, what it measures: `error_rate`.",
        ),
        default(
            "dry_run",
            Kind::Scalar(Scalar::Bool),
            "false",
            "`true` only looks and tells; it decides nothing.",
        ),
        optional(
            "metric",
            Kind::Scalar(Scalar::Metric),
            "A metric against limits: `error_rate`, `success_rate`, `availability`, `request_rate`, `retry_rate`, `reset_rate`, or \
             a quantile of the durations, `latency_p50`, `latency_p99`, `latency_p99.9`.",
        ),
        optional(
            "consecutive_failures",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1_000_000 }),
            "So many failed requests of the canary in a row fail the gate.",
        ),
        optional(
            "regression",
            Kind::Word(&["error_rate", "latency"]),
            "A test of the canary against the baseline that may be looked at at any time.",
        ),
        optional(
            "prometheus",
            Kind::Scalar(Scalar::Query),
            "A Prometheus query against limits; its answer is one number.",
        ),
        optional(
            "webhook",
            Kind::Scalar(Scalar::Url),
            "A web service that is asked by GET: a 2xx passes, or the number at `pointer` against limits.",
        ),
        optional(
            "max",
            Kind::Scalar(Scalar::Limit),
            "The most that is good: `1%` of a rate, `500ms` of a latency, `100/s` of `request_rate`, a number of other gates. Not of \
             `success_rate` and `availability`.",
        ),
        optional(
            "min",
            Kind::Scalar(Scalar::Limit),
            "The least that is good; of `success_rate`, `availability`, `request_rate`, `prometheus` and `webhook`.",
        ),
        optional(
            "max_ratio",
            Kind::Scalar(Scalar::Multiple),
            "With `metric`: the most that is good as a multiple of the baseline's, `2` or `1.5x`; of `error_rate`, `retry_rate`, \
             `reset_rate` and latencies.",
        ),
        optional(
            "hard_max",
            Kind::Scalar(Scalar::Limit),
            "With `metric`: above this the gate fails at once, without a second look.",
        ),
        optional(
            "hard_min",
            Kind::Scalar(Scalar::Limit),
            "With `metric`: below this the gate fails at once.",
        ),
        optional(
            "quantile",
            Kind::Scalar(Scalar::Quantile),
            "With `regression: latency`: which quantile is compared, `0.99`. Without it, p50, p90 and p99 together.",
        ),
        optional(
            "tolerance",
            Kind::OneOrMore(&Kind::Scalar(Scalar::Tolerance)),
            "With `regression`: what is still allowed, as a multiple of the baseline's (`1.25x`), as a difference of error rates \
             (`0.1%`), or both: `[1.25x, 0.1%]`. Without it, `1.25x`, of latency `1.2x`.",
        ),
        optional(
            "alpha",
            Kind::Scalar(Scalar::Percent),
            "With `regression`: the chance of failing a canary within the tolerance, above 0%, at most 50%. Without it, a part of the \
             plan's.",
        ),
        optional(
            "server",
            Kind::Scalar(Scalar::Url),
            "With `prometheus`: the server. Without it, that of the analysis.",
        ),
        optional(
            "pointer",
            Kind::Scalar(Scalar::Pointer),
            "With `webhook`: where in its JSON answer the number is (RFC 6901), `/kpi/errors`.",
        ),
        optional(
            "every",
            SECONDS,
            "With `prometheus` and `webhook`: how often it is asked. Without it, 30s.",
        ),
        optional(
            "timeout",
            Kind::Scalar(Scalar::Duration { min: 1 }),
            "With `prometheus` and `webhook`: how long an answer may take. Without it, 5s.",
        ),
    ],
};
