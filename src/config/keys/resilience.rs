//! The keys of what a backend does about endpoints that fail.

use super::{Choice, Kind, Scalar, Shape, default, optional};

const COUNT: Kind = Kind::Scalar(Scalar::Integer { min: 1, max: 10_000_000 });

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

/// What a route sends again.
pub(in crate::config) static RETRY: Shape = Shape {
    name: "retry",
    doc: "What is sent again when it fails, beside what certainly was not seen by an endpoint. Statuses, and whatever may have \
          been seen, only for methods that are the same twice as once: GET, HEAD, OPTIONS, TRACE, PUT, DELETE.",
    choice: Choice::Free,
    keys: &[
        default(
            "attempts",
            Kind::Scalar(Scalar::Integer { min: 1, max: 10 }),
            "3",
            "Most attempts on one backend, the first included.",
        ),
        optional(
            "on",
            Kind::OneOrMore(&Kind::Either(&[Kind::Word(RETRY_CONDITIONS), Kind::Scalar(Scalar::Status)])),
            "Which failures: `connect_failure`; `reset_before_response`, the connection ended before an answer; \
             `refused_stream`, an HTTP/2 endpoint did not look at it; `gateway_error`, that is 502, 503 and 504; `5xx`; or \
             statuses of 400 and above, `503` or `500-504`. A failure without an answer counts as the status that the client \
             would get. Without it, the first three.",
        ),
        default(
            "per_try_timeout",
            Kind::Scalar(Scalar::Duration { min: 0 }),
            "0s",
            "From an attempt's start, connecting included, to the response's head; then it counts as 504. `0s` is for ever.",
        ),
        default(
            "budget",
            Kind::Scalar(Scalar::Percent),
            "20%",
            "How many of the route's requests may be sent again within 10s; 10 per second may in any case.",
        ),
        default(
            "max_body",
            Kind::Scalar(Scalar::Size { min: 0, max: 1 << 20 }),
            "64KiB",
            "How much of a body is kept, so that it can be sent again; at most 1 MiB.",
        ),
        optional("backoff", Kind::Object(&BACKOFF), "Pauses between attempts."),
    ],
};

/// The words for what is sent again.
pub(in crate::config) const RETRY_CONDITIONS: &[&str] =
    &["connect_failure", "reset_before_response", "refused_stream", "gateway_error", "5xx"];

/// Pauses between attempts.
pub(in crate::config) static BACKOFF: Shape = Shape {
    name: "backoff",
    doc: "Pauses between attempts: drawn between nothing and a time that doubles with each. There is none before an endpoint \
          that was not asked yet, when another could not be reached.",
    choice: Choice::Free,
    keys: &[
        default(
            "base",
            Kind::Scalar(Scalar::Duration { min: 0 }),
            "25ms",
            "That time at first; `0s` is no pause.",
        ),
        default("max", Kind::Scalar(Scalar::Duration { min: 0 }), "250ms", "What it grows to."),
    ],
};

/// Limits of what a backend is asked at once.
pub(in crate::config) static CIRCUIT_BREAKER: Shape = Shape {
    name: "circuit_breaker",
    doc: "What a backend may be asked at once; what is over is answered 503 at once. Without a key there is no such limit.",
    choice: Choice::Some,
    keys: &[
        optional(
            "max_connections",
            COUNT,
            "Open connections, over all endpoints, idle ones too. Each worker may have its equal share of them, at least one.",
        ),
        optional("max_pending", COUNT, "Requests that wait for a connection to be opened, over all workers."),
        optional("max_requests", COUNT, "Requests under way, over all workers."),
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
