//! Gates that can say something: each with a limit that goes with what it measures.

use std::time::Duration;

use super::unique;
use crate::config::{
    code::Code,
    decode::Context,
    diagnostic::Diagnostic,
    emit::duration,
    model::rollout::{Analysis, Check, Gate, Metric, Threshold},
};

/// The chances that a test may have.
const CHANCES: std::ops::RangeInclusive<f64> = 0.000_01..=0.5;

pub(super) fn check(analysis: &Analysis, pointer: &str, cx: &mut Context) {
    let gates = analysis.gates.iter().enumerate();
    let named = gates.map(|(at, gate)| {
        let message = format!("two gates are called `{}`", gate.name);
        (gate.name.as_str(), format!("{pointer}/gates/{at}/name"), message)
    });
    unique(cx, Code::DuplicateName, named);
    chance(analysis.alpha, &format!("{pointer}/alpha"), cx);
    for (at, gate) in analysis.gates.iter().enumerate() {
        self::gate((gate, analysis), &format!("{pointer}/gates/{at}"), cx);
    }
}

fn gate((gate, analysis): (&Gate, &Analysis), pointer: &str, cx: &mut Context) {
    match &gate.check {
        Check::Threshold(threshold) => self::threshold(threshold, pointer, cx),
        Check::ConsecutiveFailures(_) => {}
        Check::Regression(regression) => {
            if let Some(alpha) = regression.alpha {
                chance(alpha, &format!("{pointer}/alpha"), cx);
            }
        }
        Check::Prometheus(query) => {
            span((query.min, query.max), ("min", "max"), pointer, cx);
            if query.min.is_none() && query.max.is_none() {
                no_limit("the query has no limit", "add `max: 3`, or a `min`", pointer, cx);
            }
            if query.server.is_none() && analysis.prometheus.is_none() {
                let none = Diagnostic::new(Code::GateLimit, pointer, "no Prometheus server is named");
                cx.complain(none.help(
                    "add `prometheus: http://prometheus:9090` to the analysis, or `server` to the gate",
                ));
            }
            asked((query.every, query.timeout), pointer, cx);
        }
        Check::Webhook(webhook) => {
            span((webhook.min, webhook.max), ("min", "max"), pointer, cx);
            let limited = webhook.min.is_some() || webhook.max.is_some();
            if limited && webhook.pointer.is_none() {
                let message = "a limit without the place of the number";
                let help = "add `pointer: /path/in/the/answer`, or remove the limit: then any 2xx passes";
                no_limit(message, help, pointer, cx);
            } else if !limited && webhook.pointer.is_some() {
                no_limit("a number without a limit", "add a `max` or `min`", pointer, cx);
            }
            asked((webhook.every, webhook.timeout), pointer, cx);
        }
    }
}

fn threshold(threshold: &Threshold, pointer: &str, cx: &mut Context) {
    let Threshold { metric, max, min, max_ratio, hard_max, hard_min } = threshold;
    if [max, min, max_ratio, hard_max, hard_min].iter().all(|limit| limit.is_none()) {
        let example = match metric {
            Metric::Latency(_) => "add `max: 500ms` or `max_ratio: 1.5`",
            Metric::RequestRate => "add `min: 10/s`",
            Metric::SuccessRate | Metric::Availability => "add `min: 99.9%`",
            _ => "add `max: 1%` or `max_ratio: 2`",
        };
        no_limit(&format!("the gate on `{metric}` has no limit"), example, pointer, cx);
    }
    let senseless = [
        ("max", max.is_some() && metric.shrinks_worse(), "the more of it the better: write `min`"),
        (
            "hard_max",
            hard_max.is_some() && metric.shrinks_worse(),
            "the more of it the better: write `hard_min`",
        ),
        ("min", min.is_some() && metric.grows_worse(), "the less of it the better: write `max`"),
        (
            "hard_min",
            hard_min.is_some() && metric.grows_worse(),
            "the less of it the better: write `hard_max`",
        ),
        (
            "max_ratio",
            max_ratio.is_some() && !metric.grows_worse(),
            "a multiple of the baseline's says something of errors, retries, resets and latencies",
        ),
    ];
    for (key, _, help) in senseless.into_iter().filter(|(_, wrong, _)| *wrong) {
        let message = format!("`{key}` makes no sense of `{metric}`");
        cx.complain(Diagnostic::new(Code::GateLimit, &format!("{pointer}/{key}"), message).help(help));
    }
    span((*min, *max), ("min", "max"), pointer, cx);
    span((*max, *hard_max), ("max", "hard_max"), pointer, cx);
    span((*hard_min, *min), ("hard_min", "min"), pointer, cx);
}

fn no_limit(message: &str, help: &str, pointer: &str, cx: &mut Context) {
    // What could not be read may have been one.
    if !cx.is_wrong_within(pointer) {
        cx.complain(Diagnostic::new(Code::GateLimit, pointer, message).help(help));
    }
}

/// Complains when what must be the lower of two limits is the higher.
fn span(
    (low, high): (Option<f64>, Option<f64>),
    (lower, upper): (&str, &str),
    pointer: &str,
    cx: &mut Context,
) {
    let place = format!("{pointer}/{upper}");
    let read = !cx.is_wrong(&format!("{pointer}/{lower}")) && !cx.is_wrong(&place);
    if let (Some(low), Some(high)) = (low, high)
        && low > high
        && read
    {
        let message = format!("`{upper}` is below `{lower}`");
        cx.complain(Diagnostic::new(Code::GateLimit, &place, message).help("exchange them"));
    }
}

fn asked((every, timeout): (Duration, Duration), pointer: &str, cx: &mut Context) {
    if timeout > every {
        let message =
            format!("an answer may take {}, and is asked for every {}", duration(timeout), duration(every));
        let late = Diagnostic::new(Code::RolloutRange, &format!("{pointer}/timeout"), message);
        cx.complain(late.help("`timeout` must not be above `every`"));
    }
}

fn chance(alpha: f64, pointer: &str, cx: &mut Context) {
    if !CHANCES.contains(&alpha) {
        let wrong = Diagnostic::new(Code::RolloutRange, pointer, "`alpha` is above 0% and at most 50%");
        cx.complain(wrong.help("1% is the usual"));
    }
}
