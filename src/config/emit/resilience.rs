//! What is done about endpoints and requests that fail, in canonical form.

use super::{Map, duration, size};
use crate::{
    config::model::{CircuitBreaker, HealthCheck, OutlierDetection, Retry},
    types::Probe,
};

pub(super) fn outlier_detection(detection: &OutlierDetection) -> Map {
    let rate = detection.success_rate.as_ref().map(|rate| {
        Map::default().put("threshold", rate.threshold.to_string()).put("min_requests", rate.min_requests)
    });
    Map::default()
        .put("consecutive_5xx", detection.consecutive_5xx)
        .put("consecutive_gateway_failures", detection.consecutive_gateway_failures)
        .opt("success_rate", rate)
        .put("interval", duration(detection.interval))
        .put("base_ejection_time", duration(detection.base_ejection_time))
        .put("max_ejection_percent", detection.max_ejection_percent)
}

pub(super) fn circuit_breaker(breaker: &CircuitBreaker) -> Map {
    Map::default()
        .opt("max_connections", breaker.max_connections)
        .opt("max_pending", breaker.max_pending)
        .opt("max_requests", breaker.max_requests)
}

pub(super) fn health_check(check: &HealthCheck) -> Map {
    let map = match &check.probe {
        Probe::Http { path, host, expected_status } => {
            let statuses = expected_status.iter().map(|(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            });
            Map::default()
                .put("path", path.clone())
                .opt("host", host.clone())
                .put("expected_status", statuses.collect::<Vec<_>>())
        }
        Probe::Grpc { service, host } => {
            let service = Some(service.clone()).filter(|service| !service.is_empty());
            Map::default().put("grpc", Map::default().opt("service", service)).opt("host", host.clone())
        }
        Probe::Tcp => Map::default().put("tcp", true),
    };
    map.put("interval", duration(check.interval))
        .put("timeout", duration(check.timeout))
        .put("healthy_threshold", check.healthy_threshold)
        .put("unhealthy_threshold", check.unhealthy_threshold)
        .put("initial_state", if check.initially_healthy { "healthy" } else { "unhealthy" })
}

pub(super) fn retry(retry: &Retry) -> Map {
    let backoff =
        Map::default().put("base", duration(retry.backoff.base)).put("max", duration(retry.backoff.max));
    Map::default()
        .put("attempts", retry.attempts)
        .put("on", retry.on.iter().map(|on| on.to_text()).collect::<Vec<_>>())
        .put("per_try_timeout", duration(retry.per_try_timeout))
        .put("budget", retry.budget.to_string())
        .put("max_body", size(retry.max_body.into()))
        .put("backoff", backoff)
}
