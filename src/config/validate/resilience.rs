//! Checks and retries that can be, and shields that have somebody behind them.

use crate::{
    config::{
        code::Code,
        decode::Context,
        diagnostic::Diagnostic,
        model::{BackendProtocol, Config, HealthCheck, Retry, RetryOn},
    },
    types::Probe,
};

pub(super) fn check(config: &Config, cx: &mut Context) {
    for (name, backend) in &config.backends {
        if let Some(check) = &backend.health_check {
            health_check((check, backend.protocol), &format!("/backends/{name}/health_check"), cx);
        }
    }
    for (index, route) in config.routes.iter().enumerate() {
        if let Some(policy) = &route.retry {
            retry(policy, &format!("/routes/{index}/retry"), cx);
        }
    }
}

/// Warns of shields that do nothing.
pub(super) fn shields(config: &Config, cx: &mut Context) {
    for (index, route) in config.routes.iter().enumerate() {
        if route.shield && route.split.backends.len() < 2 {
            let message = format!("route `{}` has one backend, so nothing shields it", route.name);
            let alone = Diagnostic::new(Code::ShieldAlone, &format!("/routes/{index}/shield"), message);
            cx.complain(alone.help("remove `shield`, or add the version to shield"));
        }
    }
}

fn health_check((check, protocol): (&HealthCheck, BackendProtocol), pointer: &str, cx: &mut Context) {
    let foreign: &[(&str, &str)] = match &check.probe {
        Probe::Http { .. } => &[],
        Probe::Grpc { .. } => &[("expected_status", "a gRPC check passes when the service says SERVING")],
        Probe::Tcp => &[
            ("expected_status", "a check of the connection gets no answer"),
            ("host", "a check of the connection sends nothing"),
        ],
    };
    for (key, why) in foreign {
        let place = format!("{pointer}/{key}");
        if cx.source.has(&place) {
            cx.complain(Diagnostic::new(Code::HealthCheck, &place, *why).help(format!("remove `{key}`")));
        }
    }
    if matches!(check.probe, Probe::Grpc { .. }) && protocol == BackendProtocol::Http11 {
        let message = "gRPC needs HTTP/2, and this backend speaks HTTP/1.1";
        let wrong = Diagnostic::new(Code::HealthCheck, &format!("{pointer}/grpc"), message);
        cx.complain(wrong.help("give the backend `protocol: h2c`, or `protocol: h2` with `tls`"));
    }
}

fn retry(policy: &Retry, pointer: &str, cx: &mut Context) {
    for (at, condition) in policy.on.iter().enumerate() {
        if let RetryOn::Status(first, _) = condition
            && *first < 400
        {
            let message = format!("`{}` is no failure", condition.to_text());
            let wrong = Diagnostic::new(Code::RetryStatus, &format!("{pointer}/on/{at}"), message);
            cx.complain(wrong.help("name statuses of 400 and above, such as `503`"));
        }
    }
    if policy.backoff.base > policy.backoff.max {
        let message = format!(
            "pauses begin with {:?} and grow to {:?} at most",
            policy.backoff.base, policy.backoff.max
        );
        // Whichever of the two is written; the other has its default.
        let written = ["base", "max"].map(|key| format!("{pointer}/backoff/{key}"));
        let place = written.iter().find(|place| cx.source.has(place)).unwrap_or(&written[0]);
        let wrong = Diagnostic::new(Code::Backoff, place, message);
        cx.complain(wrong.help("`max` must not be below `base`"));
    }
}
