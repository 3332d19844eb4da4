//! Active health checks, on the control plane's runtime.
//!
//! One task per endpoint that a backend wants checked. The set of tasks follows the snapshot by difference: a check that
//! stays the same is not disturbed by a reload, and an endpoint keeps its verdict.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::{Endpoint, Protocol, Verdict, probe};
use crate::{
    net::tls::ClientTls,
    types::{Probe, clock},
};

/// How an endpoint is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Between two probes; jittered by a tenth.
    pub interval: Duration,
    /// For a whole probe.
    pub timeout: Duration,
    /// Successes in a row that make it healthy.
    pub healthy_threshold: u32,
    /// Failures in a row that make it unhealthy.
    pub unhealthy_threshold: u32,
    /// What it speaks.
    pub protocol: Protocol,
    /// What it is spoken to with; `None` is in the clear.
    pub tls: Option<Arc<ClientTls>>,
}

/// The running checks. Dropping it ends them.
pub struct HealthMonitor {
    checks: BTreeMap<usize, Check>,
    report: Arc<Report>,
}

/// Told of every verdict that differs from the one before: the endpoint, which has the new one, and the old one.
pub type Report = dyn Fn(&Endpoint, Verdict) + Send + Sync;

#[derive(Debug)]
struct Check {
    spec: Arc<HealthCheck>,
    task: JoinHandle<()>,
}

/// Counts results in a row and says when the verdict changes.
#[derive(Debug, Default)]
struct Streak {
    healthy: u32,
    unhealthy: u32,
}

// === impl HealthMonitor ===

impl HealthMonitor {
    /// A monitor without checks that tells `report` of changes.
    #[must_use]
    pub fn new(report: Arc<Report>) -> Self {
        Self { checks: BTreeMap::new(), report }
    }

    /// Runs exactly these checks from now on. Needs a tokio runtime.
    pub fn apply(&mut self, wanted: Vec<(Arc<Endpoint>, Arc<HealthCheck>)>) {
        let mut before = std::mem::take(&mut self.checks);
        for (endpoint, spec) in wanted {
            let id = endpoint.id;
            let check = match before.remove(&id) {
                Some(check) if *check.spec == *spec => check,
                old => {
                    if let Some(old) = old {
                        old.task.abort();
                    }
                    Check {
                        spec: Arc::clone(&spec),
                        task: tokio::spawn(run(endpoint, spec, Arc::clone(&self.report))),
                    }
                }
            };
            self.checks.insert(id, check);
        }
        for check in before.into_values() {
            check.task.abort();
        }
    }
}

impl Drop for HealthMonitor {
    fn drop(&mut self) {
        for check in self.checks.values() {
            check.task.abort();
        }
    }
}

// === impl Streak ===

impl Streak {
    /// Takes one result. The first one settles an endpoint that nothing is known of; later ones need their thresholds.
    fn take(&mut self, ok: bool, current: Verdict, spec: &HealthCheck) -> Verdict {
        if ok {
            self.healthy += 1;
            self.unhealthy = 0;
        } else {
            self.unhealthy += 1;
            self.healthy = 0;
        }
        match current {
            Verdict::Unknown if ok => Verdict::Healthy,
            Verdict::Unknown => Verdict::Unhealthy,
            Verdict::Healthy if self.unhealthy >= spec.unhealthy_threshold => Verdict::Unhealthy,
            Verdict::Unhealthy if self.healthy >= spec.healthy_threshold => Verdict::Healthy,
            same => same,
        }
    }
}

/// Probes the endpoint at once and then at every interval, for ever.
async fn run(endpoint: Arc<Endpoint>, spec: Arc<HealthCheck>, report: Arc<Report>) {
    let mut streak = Streak::default();
    loop {
        let result = match tokio::time::timeout(spec.timeout, probe::probe(&endpoint, &spec)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {:?}", spec.timeout)),
        };
        let before = endpoint.verdict();
        let after = streak.take(result.is_ok(), before, &spec);
        let detail = result.err().unwrap_or_default();
        endpoint.set_verdict(after, &detail, clock::now());
        if after != before {
            report(&endpoint, before);
        }
        tokio::time::sleep(spec.interval.mul_f64(rand::random_range(0.9..=1.1))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> HealthCheck {
        HealthCheck {
            probe: Probe::Tcp,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            protocol: Protocol::Http11,
            tls: None,
        }
    }

    #[test]
    fn verdicts_follow_their_thresholds() {
        let mut streak = Streak::default();
        let mut verdict = Verdict::Unknown;
        let mut seen = String::new();
        for result in "fsfssfsffsfffss".chars() {
            verdict = streak.take(result == 's', verdict, &spec());
            seen.push(if verdict == Verdict::Healthy { 'H' } else { 'U' });
        }
        //           fsfssfsffsfffss
        assert_eq!(seen, "UUUUHHHHHHHHUUH");
    }
}
