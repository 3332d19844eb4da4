//! Gates: which kind each is, and limits in the unit of what it measures.

use std::time::Duration;

use super::{
    Context,
    measure::{Limit, Tolerance},
    reader::{self, Object, Place},
    rollout::named,
    top::number,
};
use crate::config::{
    code::Code,
    diagnostic::Diagnostic,
    keys::{Kind, Scalar, listed},
    model::rollout::{
        Check, Gate, Metric, PrometheusQuery, Regression, RegressionOf, Threshold, WebhookCheck,
    },
    source::join,
    yaml::Value,
};
use crate::types::Fraction;

const EVERY: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);

/// The kinds of gates, each with the keys that are its own.
const KINDS: [(&str, &[&str]); 5] = [
    ("metric", &["max", "min", "max_ratio", "hard_max", "hard_min"]),
    ("consecutive_failures", &[]),
    ("regression", &["quantile", "tolerance", "alpha"]),
    ("prometheus", &["max", "min", "server", "every", "timeout"]),
    ("webhook", &["max", "min", "pointer", "every", "timeout"]),
];

/// What a limit is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// A share, 0 to 1; written in percent.
    Share,
    /// Seconds; written as a duration.
    Time,
    /// In a second; written as a rate.
    Rate,
    /// Whatever the other side counts.
    Number,
}

/// Everything that a gate may have, as it was read.
struct Written<'n> {
    max: Option<(Limit, Place<'n>)>,
    min: Option<(Limit, Place<'n>)>,
    hard_max: Option<(Limit, Place<'n>)>,
    hard_min: Option<(Limit, Place<'n>)>,
    max_ratio: Option<f64>,
    quantile: Option<f64>,
    tolerance: Vec<(Tolerance, Place<'n>)>,
    alpha: Option<Fraction>,
    server: Option<String>,
    pointer: Option<String>,
    every: Option<Duration>,
    timeout: Option<Duration>,
}

pub(super) fn gates(objects: Vec<Object<'_>>, cx: &mut Context) -> Vec<Gate> {
    let mut taken = Vec::new();
    objects.into_iter().map(|object| gate(object, &mut taken, cx)).collect()
}

fn gate(mut object: Object<'_>, taken: &mut Vec<String>, cx: &mut Context) -> Gate {
    let given: Vec<_> = KINDS.iter().filter(|(kind, _)| object.has(kind)).collect();
    // None or several kinds were reported, and then nobody knows what goes with what.
    if let [(kind, own)] = given.as_slice() {
        foreign(&object, kind, own, cx);
    }
    let metric = object.opt(cx, "metric");
    let failures = object.opt::<u64>(cx, "consecutive_failures");
    let regression = object.word(cx, "regression");
    let quantile = object.written().find(|(key, _)| *key == "quantile");
    if let Some((key, span)) = quantile.filter(|_| regression == "error_rate") {
        let message = "`quantile` does not go with `regression: error_rate`";
        let wrong = Diagnostic::new(Code::GateKey, &join(&object.pointer, key), message);
        cx.report(wrong.help("remove it, or write `regression: latency`"), span);
    }
    let query = object.opt::<String>(cx, "prometheus");
    let url = object.opt::<String>(cx, "webhook");
    let written = Written::of(&mut object, cx);
    let check = match (metric, query, url) {
        (Some(metric), ..) => Check::Threshold(written.threshold(metric, cx)),
        _ if !regression.is_empty() => Check::Regression(written.regression(regression == "latency", cx)),
        (None, Some(query), _) => Check::Prometheus(written.prometheus(query, cx)),
        (None, None, Some(url)) => Check::Webhook(written.webhook(url, cx)),
        (None, None, None) => Check::ConsecutiveFailures(failures.map_or(1, number)),
    };
    let name = object.opt(cx, "name");
    Gate { name: named(&check.measure(), name, taken), dry_run: object.get(cx, "dry_run"), check }
}

/// Complains about keys of other kinds.
fn foreign(object: &Object<'_>, kind: &str, own: &[&str], cx: &mut Context) {
    for (key, span) in object.written() {
        let owners: Vec<&str> =
            KINDS.iter().filter(|(_, keys)| keys.contains(&key)).map(|(owner, _)| *owner).collect();
        if own.contains(&key) || owners.is_empty() {
            continue;
        }
        let message = format!("`{key}` does not go with `{kind}`");
        let wrong = Diagnostic::new(Code::GateKey, &join(&object.pointer, key), message);
        cx.report(wrong.help(format!("it is a key of gates with {}", listed(&owners))), span);
    }
}

// === impl Written ===

impl<'n> Written<'n> {
    fn of(object: &mut Object<'n>, cx: &mut Context) -> Self {
        let mut limit = |key| {
            let place = object.child(cx, key)?;
            Some((reader::scalar(cx, &place, &Kind::Scalar(Scalar::Limit)), place))
        };
        let [max, min, hard_max, hard_min] = ["max", "min", "hard_max", "hard_min"].map(&mut limit);
        let places = object.items(cx, "tolerance");
        let tolerance = places
            .into_iter()
            .map(|place| (reader::scalar(cx, &place, &Kind::Scalar(Scalar::Tolerance)), place))
            .collect();
        Self {
            max,
            min,
            hard_max,
            hard_min,
            tolerance,
            max_ratio: object.opt(cx, "max_ratio"),
            quantile: object.opt(cx, "quantile"),
            alpha: object.opt(cx, "alpha"),
            server: object.opt(cx, "server"),
            pointer: object.opt(cx, "pointer"),
            every: object.opt(cx, "every"),
            timeout: object.opt(cx, "timeout"),
        }
    }

    fn threshold(self, metric: Metric, cx: &mut Context) -> Threshold {
        let unit = match metric {
            Metric::Latency(_) => Unit::Time,
            Metric::RequestRate => Unit::Rate,
            _ => Unit::Share,
        };
        let what = metric.to_string();
        let mut limit = |given: Option<(Limit, Place<'_>)>| {
            given.map(|(limit, place)| in_unit(limit, &place, (unit, &what), cx))
        };
        Threshold {
            metric,
            max: limit(self.max),
            min: limit(self.min),
            max_ratio: self.max_ratio,
            hard_max: limit(self.hard_max),
            hard_min: limit(self.hard_min),
        }
    }

    fn regression(self, of_latency: bool, cx: &mut Context) -> Regression {
        let of = match self.quantile {
            _ if !of_latency => RegressionOf::ErrorRate,
            Some(quantile) => RegressionOf::Quantile(quantile),
            None => RegressionOf::Distribution,
        };
        let (mut ratio, mut difference) = (None, None);
        for (tolerance, place) in &self.tolerance {
            let twice = match tolerance {
                Tolerance::Ratio(value) => ratio.replace(*value).is_some(),
                Tolerance::Difference(value) if !of_latency => difference.replace(value.as_f64()).is_some(),
                Tolerance::Difference(_) => {
                    let message = "a tolerance of latency is a multiple of the baseline's";
                    let wrong = Diagnostic::new(Code::GateLimit, &place.pointer, message);
                    cx.report(wrong.help("write it such as `1.2x`"), place.node.span);
                    false
                }
                Tolerance::Unreadable => false,
            };
            if twice {
                let message = "a second tolerance of the same kind";
                let wrong = Diagnostic::new(Code::GateLimit, &place.pointer, message);
                cx.report(wrong.help("write one multiple, one percentage or one of each"), place.node.span);
            }
        }
        let unsaid = match (self.tolerance.is_empty(), of_latency) {
            (true, true) => 1.2,
            (true, false) => 1.25,
            // What is said is all that is allowed.
            (false, _) => 1.0,
        };
        Regression {
            of,
            ratio: ratio.unwrap_or(unsaid),
            difference: difference.unwrap_or(0.0),
            alpha: self.alpha.map(Fraction::as_f64),
        }
    }

    fn prometheus(self, query: String, cx: &mut Context) -> PrometheusQuery {
        let mut limit = |given: Option<(Limit, Place<'_>)>| {
            given.map(|(limit, place)| in_unit(limit, &place, (Unit::Number, "a query"), cx))
        };
        PrometheusQuery {
            max: limit(self.max),
            min: limit(self.min),
            query: query.trim().to_owned(),
            server: self.server,
            every: self.every.unwrap_or(EVERY),
            timeout: self.timeout.unwrap_or(TIMEOUT),
        }
    }

    fn webhook(self, url: String, cx: &mut Context) -> WebhookCheck {
        let mut limit = |given: Option<(Limit, Place<'_>)>| {
            given.map(|(limit, place)| in_unit(limit, &place, (Unit::Number, "a webhook"), cx))
        };
        WebhookCheck {
            max: limit(self.max),
            min: limit(self.min),
            url,
            pointer: self.pointer,
            every: self.every.unwrap_or(EVERY),
            timeout: self.timeout.unwrap_or(TIMEOUT),
        }
    }
}

/// The limit as a number of the unit; complains about one of another unit.
fn in_unit(limit: Limit, place: &Place<'_>, (unit, what): (Unit, &str), cx: &mut Context) -> f64 {
    match (unit, limit) {
        (Unit::Share, Limit::Percent(share)) => return share.as_f64(),
        (Unit::Time, Limit::Time(time)) => return time.as_secs_f64(),
        (Unit::Rate, Limit::Rate(rate)) => return rate.per_second(),
        (Unit::Number, Limit::Number(number)) => return number,
        (_, Limit::Unreadable) => return 0.0,
        _ => {}
    }
    let text = match &place.node.value {
        Value::Scalar { text, .. } => text.as_str(),
        _ => "",
    };
    let help = match (unit, limit) {
        (Unit::Share, Limit::Number(number)) if (0.0..1.0).contains(&number) => {
            format!("write a percentage: `{}%`", (number * 100_000.0).round() / 1000.0)
        }
        (Unit::Share, Limit::Number(_)) => format!("add the sign: `{text}%`"),
        (Unit::Share, _) => "write a percentage such as `1%`".to_owned(),
        (Unit::Time, Limit::Number(_)) => format!("add the unit: `{text}ms`, `{text}s`"),
        (Unit::Time, _) => "write a duration such as `500ms`".to_owned(),
        (Unit::Rate, Limit::Number(_)) => format!("add the unit: `{text}/s`, `{text}/m`"),
        (Unit::Rate, _) => "write a rate such as `10/s`".to_owned(),
        (Unit::Number, _) => "write a number without a unit, as its answer is one".to_owned(),
    };
    let message = format!("`{text}` is no limit of {what}");
    cx.report(Diagnostic::new(Code::GateLimit, &place.pointer, message).help(help), place.node.span);
    0.0
}
