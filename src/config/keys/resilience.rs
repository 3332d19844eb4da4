//! The keys of what a backend does about endpoints that fail.

use super::{Choice, Kind, Scalar, Shape, default, optional};

/// Passive outlier detection.
pub(in crate::config) static OUTLIER_DETECTION: Shape = Shape {
    name: "outlier_detection",
    doc: "Takes an endpoint out for a while when its answers are bad. When most endpoints of the backend are bad at once, \
          the fault is their version's: none is taken out, and metrics and status say so.",
    choice: Choice::Free,
    keys: &[
        default(
            "consecutive_5xx",
            Kind::Scalar(Scalar::Integer { min: 0, max: 1_000_000 }),
            "5",
            "Bad answers in a row: statuses of 500 and above, and attempts without an answer. 0 is off.",
        ),
        default(
            "consecutive_gateway_failures",
            Kind::Scalar(Scalar::Integer { min: 0, max: 1_000_000 }),
            "0",
            "Statuses 502, 503 and 504, and attempts without an answer, in a row. 0 is off.",
        ),
        optional("success_rate", Kind::Object(&SUCCESS_RATE), "A minimum of the share of good answers."),
        default(
            "interval",
            Kind::Scalar(Scalar::Duration { min: 1000 }),
            "10s",
            "How long a success rate is measured, and how long good behaviour takes to make up for one ejection; at least \
             1s.",
        ),
        default(
            "base_ejection_time",
            Kind::Scalar(Scalar::Duration { min: 1 }),
            "30s",
            "How long the first ejection lasts; the n-th in a row lasts n times as long, at most 5m (or this, if longer).",
        ),
        default(
            "max_ejection_percent",
            Kind::Scalar(Scalar::Integer { min: 1, max: 100 }),
            "50",
            "How many of the endpoints may be out at once; of two or more, one always may. Above 50 it is also what \
             counts as most of them.",
        ),
    ],
};

/// The success rate of outlier detection.
pub(in crate::config) static SUCCESS_RATE: Shape = Shape {
    name: "success_rate",
    doc: "The share of answers below 500 that an endpoint must have within an interval.",
    choice: Choice::Free,
    keys: &[
        default("threshold", Kind::Scalar(Scalar::Percent), "85%", "The minimum."),
        default(
            "min_requests",
            Kind::Scalar(Scalar::Integer { min: 1, max: 1_000_000_000 }),
            "100",
            "With fewer requests in the interval nothing is said of an endpoint.",
        ),
    ],
};
