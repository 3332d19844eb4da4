//! Backends, their endpoints and health checks.

use super::{
    Context,
    reader::{Object, Place},
    resilience::{circuit_breaker, outlier_detection},
    tls,
    top::number,
};
use crate::{
    config::{
        keys::BACKEND,
        model::{Backend, BackendProtocol, Endpoint, EndpointTarget, HealthCheck, LbPolicy},
    },
    types::Probe,
};

pub(super) fn backend(place: &Place<'_>, cx: &mut Context) -> Backend {
    let mut object = Object::open(cx, place, &BACKEND);
    let protocol = match object.word(cx, "protocol") {
        "h2" => BackendProtocol::H2,
        "h2c" => BackendProtocol::H2c,
        "auto" => BackendProtocol::Auto,
        _ => BackendProtocol::Http11,
    };
    let lb_policy = match object.word(cx, "lb_policy") {
        "round_robin" => LbPolicy::RoundRobin,
        "least_request" => LbPolicy::LeastRequest,
        "peak_ewma" => LbPolicy::PeakEwma,
        "rendezvous" => LbPolicy::Rendezvous,
        _ => LbPolicy::P2c,
    };
    Backend {
        endpoints: object.objects(cx, "endpoints").into_iter().map(|object| endpoint(object, cx)).collect(),
        protocol,
        tls: object.object(cx, "tls").map(|tls| tls::backend(tls, cx)),
        lb_policy,
        health_check: object.object(cx, "health_check").map(|check| health_check(check, cx)),
        outlier_detection: object
            .object(cx, "outlier_detection")
            .map(|detection| outlier_detection(detection, cx)),
        circuit_breaker: object.object(cx, "circuit_breaker").map(|breaker| circuit_breaker(breaker, cx)),
        slow_start: object.get(cx, "slow_start"),
        panic_threshold: object.get(cx, "panic_threshold"),
        idle_timeout: object.get(cx, "idle_timeout"),
    }
}

fn endpoint(mut object: Object<'_>, cx: &mut Context) -> Endpoint {
    let unix = object.opt::<String>(cx, "unix").map(|path| EndpointTarget::Unix(path.into()));
    let dns = object.opt::<(String, u16)>(cx, "dns").map(|(host, port)| EndpointTarget::Dns { host, port });
    let address = EndpointTarget::Address(object.get(cx, "address"));
    Endpoint { target: unix.or(dns).unwrap_or(address), weight: number(object.get(cx, "weight")) }
}

fn health_check(mut object: Object<'_>, cx: &mut Context) -> HealthCheck {
    let expected_status = if object.has("expected_status") {
        object.list(cx, "expected_status")
    } else {
        vec![object.get(cx, "expected_status")]
    };
    let path: Option<String> = object.opt(cx, "path");
    let host = object.opt(cx, "host");
    let service = object.object(cx, "grpc").map(|mut grpc| grpc.opt(cx, "service").unwrap_or_default());
    // What is wrong with a check that names none of the three, or several, was said when it was opened.
    let _: Option<bool> = object.opt(cx, "tcp");
    HealthCheck {
        probe: match (path, service) {
            (Some(path), _) => Probe::Http { path, host, expected_status },
            (None, Some(service)) => Probe::Grpc { service, host },
            (None, None) => Probe::Tcp,
        },
        interval: object.get(cx, "interval"),
        timeout: object.get(cx, "timeout"),
        healthy_threshold: number(object.get(cx, "healthy_threshold")),
        unhealthy_threshold: number(object.get(cx, "unhealthy_threshold")),
        initially_healthy: object.word(cx, "initial_state") == "healthy",
    }
}
