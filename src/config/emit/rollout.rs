//! Rollout plans in canonical form: the preset as what it stands for.

use serde::Serialize;
use serde_json::Value as Json;

use super::{Map, Out, duration, notify, texts};
use crate::{
    config::model::rollout::{
        Analysis, Approval, BlastRadius, Check, Gate, Metric, Regression, RegressionOf, RolloutPlan, Step,
        Threshold,
    },
    types::{Fraction, Role},
};
use std::time::Duration;

pub(super) fn plan(plan: &RolloutPlan) -> Map {
    Map::default()
        .put("baseline", plan.baseline.as_str())
        .put("canary", plan.canary.as_str())
        .opt("version", plan.version.clone())
        .put("start", word(&plan.start))
        .put("on_new_version", word(&plan.on_new_version))
        .opt("group", plan.group.as_ref().map(ToString::to_string))
        .put("steps", plan.steps.iter().map(step).collect::<Vec<_>>())
        .put("analysis", analysis(&plan.analysis))
        .some("blast_radius", blast_radius(&plan.blast_radius))
        .put("on_failure", word(&plan.on_failure))
        .put("deadline", duration(plan.deadline))
        .put("keep_baseline", duration(plan.keep_baseline))
        .some("freeze", plan.freeze.iter().map(notify::freeze).collect::<Vec<_>>())
        .some("hooks", plan.hooks.iter().map(notify::hook).collect::<Vec<_>>())
        .some("notify", texts(&plan.notify))
}

/// The word by which the model is stored, which is that of the file.
pub(super) fn word(value: &impl Serialize) -> Out {
    Out::Scalar(serde_json::to_value(value).unwrap_or_default())
}

fn step(step: &Step) -> Map {
    Map::default()
        .opt("weight", step.weight.map(|share| share.to_string()))
        .some("segment", texts(&step.segments))
        .some("region", texts(&step.regions))
        .opt("mirror", step.mirror.map(|share| share.to_string()))
        .put("hold", duration(step.hold))
        .put("bake", duration(step.bake))
        .opt("approval", step.approval.as_ref().map(approval))
}

fn approval(approval: &Approval) -> Map {
    Map::default()
        .put("roles", approval.roles.iter().map(|role| Role::as_str(*role)).collect::<Vec<_>>())
        .put("timeout", duration(approval.timeout))
        .put("on_timeout", word(&approval.on_timeout))
}

fn analysis(analysis: &Analysis) -> Map {
    Map::default()
        .put("interval", duration(analysis.interval))
        .put("window", duration(analysis.window))
        .put("threshold", analysis.threshold)
        .put("consecutive", analysis.consecutive)
        .put("min_requests", analysis.min_requests)
        .put("on_no_data", word(&analysis.on_no_data))
        .put("on_inconclusive", word(&analysis.on_inconclusive))
        .put("on_baseline_bad", word(&analysis.on_baseline_bad))
        .put("alpha", percent(analysis.alpha))
        .opt("prometheus", analysis.prometheus.clone())
        .put("gates", analysis.gates.iter().map(gate).collect::<Vec<_>>())
}

fn gate(gate: &Gate) -> Map {
    let map = Map::default().put("name", gate.name.clone()).put("dry_run", gate.dry_run);
    match &gate.check {
        Check::Threshold(of) => threshold(map, of),
        Check::ConsecutiveFailures(count) => map.put("consecutive_failures", *count),
        Check::Regression(of) => regression(map, of),
        Check::Prometheus(of) => map
            .put("prometheus", of.query.clone())
            .opt("max", of.max.map(number))
            .opt("min", of.min.map(number))
            .opt("server", of.server.clone())
            .put("every", duration(of.every))
            .put("timeout", duration(of.timeout)),
        Check::Webhook(of) => map
            .put("webhook", of.url.clone())
            .opt("max", of.max.map(number))
            .opt("min", of.min.map(number))
            .opt("pointer", of.pointer.clone())
            .put("every", duration(of.every))
            .put("timeout", duration(of.timeout)),
    }
}

fn threshold(map: Map, of: &Threshold) -> Map {
    let limit = |value: Option<f64>| value.map(|value| limit(of.metric, value));
    map.put("metric", of.metric.to_string())
        .opt("max", limit(of.max))
        .opt("min", limit(of.min))
        .opt("max_ratio", of.max_ratio.map(number))
        .opt("hard_max", limit(of.hard_max))
        .opt("hard_min", limit(of.hard_min))
}

fn regression(map: Map, of: &Regression) -> Map {
    let (kind, quantile) = match of.of {
        RegressionOf::ErrorRate => ("error_rate", None),
        RegressionOf::Quantile(quantile) => ("latency", Some(quantile)),
        RegressionOf::Distribution => ("latency", None),
    };
    let mut tolerance = vec![format!("{}x", of.ratio)];
    tolerance.extend((of.difference > 0.0).then(|| percent(of.difference)));
    map.put("regression", kind)
        .opt("quantile", quantile.map(number))
        .put("tolerance", tolerance)
        .opt("alpha", of.alpha.map(percent))
}

fn blast_radius(radius: &BlastRadius) -> Map {
    Map::default()
        .opt("max_failed_requests", radius.max_failed_requests)
        .opt("max_users", radius.max_users.map(|share| share.to_string()))
}

/// A number, whole where it can be.
fn number(value: f64) -> Out {
    #[allow(clippy::cast_possible_truncation, reason = "whole and below 10^15")]
    let whole = (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64);
    Out::Scalar(whole.map_or_else(|| Json::from(value), Json::from))
}

/// A share of 0 to 1 in percent.
fn percent(share: f64) -> String {
    Fraction::from_percent(share * 100.0).unwrap_or(Fraction::ALL).to_string()
}

/// A limit in the unit of its metric.
fn limit(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Latency(_) => duration(Duration::from_millis(whole(value * 1000.0))),
        Metric::RequestRate => rate(value),
        _ => percent(value),
    }
}

/// So many in the shortest time in which they are whole.
fn rate(per_second: f64) -> String {
    let units = [(1.0, "s"), (60.0, "m"), (3600.0, "h"), (86_400.0, "d")];
    let whole_in =
        |seconds: f64| (per_second * seconds - (per_second * seconds).round()).abs() < 1e-9 * seconds;
    let unit = units.into_iter().find(|(seconds, _)| whole_in(*seconds) && per_second * seconds > 0.5);
    let (seconds, unit) = unit.unwrap_or((86_400.0, "d"));
    format!("{}/{unit}", whole(per_second * seconds).max(1))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limits are positive and far below 2^53"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
