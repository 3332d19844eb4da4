//! Values of rollouts: shares, limits, multiples, and where to ask.

use std::time::Duration;

use super::scalar::{self, Parsed, Problem, Value};
use crate::{
    config::{
        code::Code,
        keys::Scalar,
        model::rollout::Metric,
        suggest,
        yaml::{Plain, classify, shorten},
    },
    types::{Fraction, Rate},
};

/// A limit in the unit in which it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Limit {
    Number(f64),
    Percent(Fraction),
    Time(Duration),
    Rate(Rate),
    /// One that was refused.
    Unreadable,
}

/// A tolerance as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tolerance {
    /// A multiple of the baseline's.
    Ratio(f64),
    /// What is allowed on top.
    Difference(Fraction),
    /// One that was refused.
    Unreadable,
}

/// The words for metrics, to suggest one.
const METRICS: [&str; 10] = [
    "error_rate",
    "success_rate",
    "availability",
    "request_rate",
    "retry_rate",
    "reset_rate",
    "latency_p50",
    "latency_p90",
    "latency_p95",
    "latency_p99",
];

fn is_number(text: &str) -> bool {
    matches!(classify(text), Plain::Integer | Plain::Float)
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A share in percent, with the sign or without.
pub(super) fn share(text: &str) -> Parsed {
    if text.ends_with('%') {
        return scalar::percent(text);
    }
    let wrong = || {
        Problem::new(Code::Percent, format!("`{}` is not a share in percent", shorten(text)))
            .help("write 0 to 100 with at most three decimals: `5`, `0.5` or `5%`")
    };
    let percent = number(text).filter(|_| is_number(text)).ok_or_else(wrong)?;
    let thousandths = percent * 1000.0;
    if (thousandths - thousandths.round()).abs() > 1e-6 {
        return Err(wrong());
    }
    Fraction::from_percent(percent).map(Value::Fraction).ok_or_else(wrong)
}

/// A multiple of at least one, with an `x` or without.
pub(super) fn multiple(text: &str) -> Parsed {
    let wrong = || {
        Problem::new(Code::Multiple, format!("`{}` is not a multiple from 1 to 1000", shorten(text)))
            .help("write it such as `2`, `1.5` or `1.5x`")
    };
    times(text.strip_suffix('x').unwrap_or(text)).map(Value::Number).ok_or_else(wrong)
}

fn times(text: &str) -> Option<f64> {
    number(text).filter(|times| is_number(text) && (1.0..=1000.0).contains(times))
}

/// A quantile between 0 and 1.
pub(super) fn quantile(text: &str) -> Parsed {
    match number(text) {
        Some(quantile) if (0.00001..=0.99999).contains(&quantile) => Ok(Value::Number(quantile)),
        Some(percent) if (1.0..100.0).contains(&percent) => {
            Err(Problem::new(Code::Range, format!("{} is not a quantile above 0 and below 1", shorten(text)))
                .help(format!("write it as a fraction: `{}`", percent / 100.0)))
        }
        _ => {
            let message = format!("{} is not a quantile above 0 and below 1", shorten(text));
            Err(Problem::new(Code::Range, message).help("write it such as `0.99`"))
        }
    }
}

/// A limit in whatever unit; what goes with the metric is seen later.
pub(super) fn limit(text: &str) -> Parsed {
    let limit = if text.ends_with('%') {
        match scalar::percent(text)? {
            Value::Fraction(fraction) => Some(Limit::Percent(fraction)),
            _ => None,
        }
    } else if text.contains('/') {
        Rate::parse(text).map(Limit::Rate)
    } else if is_number(text) {
        number(text).map(Limit::Number)
    } else {
        match scalar::duration(text, 0) {
            Ok(Value::Duration(time)) => Some(Limit::Time(time)),
            _ => None,
        }
    };
    limit.map(Value::Limit).ok_or_else(|| {
        Problem::new(Code::Limit, format!("`{}` is not a limit", shorten(text)))
            .help("write a percentage `1%`, a duration `500ms`, a rate `10/s` or a number `3`")
    })
}

/// `1.25x` or `0.1%`.
pub(super) fn tolerance(text: &str) -> Parsed {
    if text.ends_with('%') {
        return match scalar::percent(text)? {
            Value::Fraction(fraction) => Ok(Value::Tolerance(Tolerance::Difference(fraction))),
            other => Ok(other),
        };
    }
    if let Some(ratio) = text.strip_suffix('x').and_then(times) {
        return Ok(Value::Tolerance(Tolerance::Ratio(ratio)));
    }
    let problem = Problem::new(Code::Multiple, format!("`{}` is not a tolerance", shorten(text)));
    Err(match number(text).filter(|_| is_number(text)) {
        Some(number) if number >= 1.0 => {
            problem.help(format!("as a multiple of the baseline's: `{number}x`"))
        }
        _ => problem.help(
            "write a multiple of the baseline's, 1 to 1000, `1.25x`, or a difference of error rates, `0.1%`",
        ),
    })
}

/// The word for what a gate measures.
pub(super) fn metric(text: &str) -> Parsed {
    if let Some(metric) = Metric::of(text) {
        return Ok(Value::Metric(metric));
    }
    let written = shorten(text);
    let mut message = format!("`metric` does not know `{written}`");
    if text.starts_with("latency") {
        let problem = Problem::new(Code::Word, message);
        return Err(problem.help("a latency has its quantile: `latency_p50`, `latency_p99`, `latency_p99.9`"));
    }
    if let Some(near) = suggest::nearest(text, METRICS) {
        message += &format!("; did you mean `{near}`?");
    }
    Err(Problem::new(Code::Word, message)
        .help("it takes the rates of errors, successes, requests, retries and resets, `availability` and `latency_pNN`"))
}

/// The address of a web service. What it needs to be let in stands in files, not in an address that is shown and logged.
pub(super) fn url(text: &str) -> Parsed {
    let wrong = || Problem::new(Code::Url, format!("`{}` is not a web address", shorten(text)));
    let example = Scalar::Url.words().1;
    let uri = text.parse::<http::Uri>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_graphic()));
    let Some(uri) = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https"))) else {
        return Err(wrong().help(format!("write it such as `{example}`")));
    };
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err(wrong().help("a secret stands in a file: remove what is before the `@`"))
        }
        Some(authority) if !authority.host().is_empty() && !text.contains('#') => {
            Ok(Value::Text(text.to_owned()))
        }
        _ => Err(wrong().help(format!("write it such as `{example}`"))),
    }
}

/// Whether it is a JSON pointer (RFC 6901): steps behind slashes, in which `~` is an escape.
pub(super) fn is_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/'))
        && !text.bytes().any(|byte| byte.is_ascii_control())
        && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}
