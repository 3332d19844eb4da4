//! What is done about endpoints and requests that fail.

use super::{
    Context,
    reader::{self, Object, Place},
    top::number,
};
use crate::config::{
    keys::{BACKOFF, Kind, RETRY_CONDITIONS, Scalar},
    model::{Backoff, CircuitBreaker, OutlierDetection, Retry, RetryOn, SuccessRate},
    yaml::Value,
};

pub(super) fn outlier_detection(mut object: Object<'_>, cx: &mut Context) -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: number(object.get(cx, "consecutive_5xx")),
        consecutive_gateway_failures: number(object.get(cx, "consecutive_gateway_failures")),
        success_rate: object.object(cx, "success_rate").map(|mut rate| SuccessRate {
            threshold: rate.get(cx, "threshold"),
            min_requests: number(rate.get(cx, "min_requests")),
        }),
        interval: object.get(cx, "interval"),
        base_ejection_time: object.get(cx, "base_ejection_time"),
        max_ejection_percent: number(object.get(cx, "max_ejection_percent")),
    }
}

pub(super) fn circuit_breaker(mut object: Object<'_>, cx: &mut Context) -> CircuitBreaker {
    let mut count = |name| object.opt::<u64>(cx, name).map(number);
    CircuitBreaker {
        max_connections: count("max_connections"),
        max_pending: count("max_pending"),
        max_requests: count("max_requests"),
    }
}

pub(super) fn retry(mut object: Object<'_>, cx: &mut Context) -> Retry {
    let on = if object.has("on") {
        object.items(cx, "on").iter().filter_map(|place| condition(place, cx)).collect()
    } else {
        object.items(cx, "on");
        vec![RetryOn::ConnectFailure, RetryOn::ResetBeforeResponse, RetryOn::RefusedStream]
    };
    let mut backoff = object.object_or_default(cx, "backoff", &BACKOFF);
    Retry {
        attempts: number(object.get(cx, "attempts")),
        on,
        per_try_timeout: object.get(cx, "per_try_timeout"),
        budget: object.get(cx, "budget"),
        max_body: number(object.get(cx, "max_body")),
        backoff: Backoff { base: backoff.get(cx, "base"), max: backoff.get(cx, "max") },
    }
}

fn condition(place: &Place<'_>, cx: &mut Context) -> Option<RetryOn> {
    // What begins with a digit is a status, but for `5xx`.
    let is_status = matches!(&place.node.value, Value::Scalar { text, .. }
        if text != "5xx" && text.starts_with(|first: char| first.is_ascii_digit()));
    if is_status {
        let (first, last) = reader::scalar(cx, place, &Kind::Scalar(Scalar::Status));
        return Some(RetryOn::Status(first, last));
    }
    let word = reader::word(cx, place, RETRY_CONDITIONS, ("retry", "on"))?;
    Some(match word {
        "connect_failure" => RetryOn::ConnectFailure,
        "reset_before_response" => RetryOn::ResetBeforeResponse,
        "refused_stream" => RetryOn::RefusedStream,
        "gateway_error" => RetryOn::GatewayError,
        _ => RetryOn::ServerError,
    })
}
