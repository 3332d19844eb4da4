//! How a backend's endpoints are chosen and judged: the file's form lowered to the runtime's.

use std::sync::Arc;

use super::endpoints::Member;
use crate::{
    config::model,
    types::{BUCKETS, Fraction},
    upstream::{
        CircuitBreaker, OutlierDetection,
        balance::{Balancer, LeastRequest, P2c, PeakEwma, Rendezvous, RoundRobin},
        breaker::{Counts, Limits},
        outlier::SuccessRate,
    },
};

/// A backend's `lb_policy`.
pub(super) fn balancer(policy: model::LbPolicy, members: &[Member]) -> Balancer {
    let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
    match policy {
        model::LbPolicy::P2c => Balancer::P2c(P2c::new(&weights)),
        model::LbPolicy::RoundRobin => Balancer::RoundRobin(RoundRobin::new(&weights)),
        model::LbPolicy::LeastRequest => Balancer::LeastRequest(LeastRequest::new(&weights)),
        model::LbPolicy::PeakEwma => Balancer::PeakEwma(PeakEwma::new(&weights)),
        model::LbPolicy::Rendezvous => {
            let identities: Vec<String> = members.iter().map(|member| member.address.to_string()).collect();
            Balancer::Rendezvous(Rendezvous::new(identities.iter().map(String::as_str).zip(weights)))
        }
    }
}

/// A backend's `outlier_detection`.
pub(super) fn outlier_detection(detection: &model::OutlierDetection) -> OutlierDetection {
    let mut lowered = OutlierDetection::new(
        detection.consecutive_5xx,
        detection.base_ejection_time,
        detection.max_ejection_percent,
    );
    lowered.consecutive_gateway_failures = detection.consecutive_gateway_failures;
    lowered.interval = detection.interval;
    lowered.success_rate = detection.success_rate.as_ref().map(|rate| SuccessRate {
        minimum: ratio(rate.threshold),
        min_requests: u64::from(rate.min_requests),
    });
    lowered
}

/// A backend's `circuit_breaker`; `counts` is what it has counted.
pub(super) fn circuit_breaker(breaker: &model::CircuitBreaker, counts: Arc<Counts>) -> CircuitBreaker {
    let limits = Limits {
        connections: breaker.max_connections,
        pending: breaker.max_pending,
        requests: breaker.max_requests,
    };
    CircuitBreaker::new(limits, counts)
}

/// A percentage as a number from 0 to 1.
pub(super) fn ratio(fraction: Fraction) -> f64 {
    f64::from(fraction.buckets()) / f64::from(BUCKETS)
}
