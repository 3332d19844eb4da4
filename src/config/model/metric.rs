//! The words for what gates measure.

use std::fmt;

use super::rollout::{Check, Metric, RegressionOf};

/// Quantiles are written in thousandths of a percent.
const PARTS: f64 = 100_000.0;

// === impl Metric ===

impl Metric {
    /// The metric of this word: `error_rate`, `latency_p99`, `latency_p99.9` or, shorter, `latency_p999`.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "error_rate" => Self::ErrorRate,
            "success_rate" => Self::SuccessRate,
            "availability" => Self::Availability,
            "request_rate" => Self::RequestRate,
            "retry_rate" => Self::RetryRate,
            "reset_rate" => Self::ResetRate,
            _ => Self::Latency(quantile(word.strip_prefix("latency_p")?)?),
        })
    }

    /// Whether more of it is worse.
    #[must_use]
    pub fn grows_worse(self) -> bool {
        matches!(self, Self::ErrorRate | Self::RetryRate | Self::ResetRate | Self::Latency(_))
    }

    /// Whether less of it is worse.
    #[must_use]
    pub fn shrinks_worse(self) -> bool {
        matches!(self, Self::SuccessRate | Self::Availability)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ErrorRate => "error_rate",
            Self::SuccessRate => "success_rate",
            Self::Availability => "availability",
            Self::RequestRate => "request_rate",
            Self::RetryRate => "retry_rate",
            Self::ResetRate => "reset_rate",
            Self::Latency(quantile) => return write!(f, "latency_p{}", percent(*quantile)),
        })
    }
}

/// The quantile of `99`, `99.9` or `999`: two digits, and the decimals behind them with or without a point.
fn quantile(text: &str) -> Option<f64> {
    let (whole, decimals) = match text.split_once('.') {
        Some((whole, decimals)) if !decimals.is_empty() => (whole, decimals),
        Some(_) => return None,
        // From three digits on a point is missing, which only those of the tail go without: `p100` is none of them.
        None if text.len() > 2 && text.starts_with('9') => text.split_at_checked(2)?,
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=2).contains(&whole.len()) || decimals.len() > 3 || !digits(whole) || !digits(decimals) {
        return None;
    }
    let thousandths: u32 = format!("{whole}{decimals:0<3}").parse().ok()?;
    (thousandths > 0).then(|| f64::from(thousandths) / PARTS)
}

/// A quantile in percent, with as many decimals as it has.
fn percent(quantile: f64) -> f64 {
    (quantile * PARTS).round() / 1000.0
}

// === impl Check ===

impl Check {
    /// What it measures, in one word; the name of a gate that has none.
    #[must_use]
    pub fn measure(&self) -> String {
        match self {
            Self::Threshold(threshold) => threshold.metric.to_string(),
            Self::ConsecutiveFailures(_) => "consecutive_failures".to_owned(),
            Self::Regression(regression) => match regression.of {
                RegressionOf::ErrorRate => "error_rate_regression".to_owned(),
                RegressionOf::Quantile(quantile) => format!("latency_p{}_regression", percent(quantile)),
                RegressionOf::Distribution => "latency_regression".to_owned(),
            },
            Self::Prometheus(_) => "prometheus".to_owned(),
            Self::Webhook(_) => "webhook".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_and_written() {
        for (word, expected) in [
            ("error_rate", Some((Metric::ErrorRate, "error_rate"))),
            ("request_rate", Some((Metric::RequestRate, "request_rate"))),
            ("latency_p5", Some((Metric::Latency(0.05), "latency_p5"))),
            ("latency_p50", Some((Metric::Latency(0.5), "latency_p50"))),
            ("latency_p99", Some((Metric::Latency(0.99), "latency_p99"))),
            ("latency_p99.9", Some((Metric::Latency(0.999), "latency_p99.9"))),
            ("latency_p999", Some((Metric::Latency(0.999), "latency_p99.9"))),
            ("latency_p99999", Some((Metric::Latency(0.999_99), "latency_p99.999"))),
            ("latency_p995", Some((Metric::Latency(0.995), "latency_p99.5"))),
            ("latency_p0", None),
            ("latency_p100", None),
            ("latency_p99.", None),
            ("latency_p99.9999", None),
            ("latency_p999999", None),
            ("latency_p-1", None),
            ("latency_pä9", None),
            ("latency_p", None),
            ("latency", None),
            ("errors", None),
        ] {
            assert_eq!(Metric::of(word), expected.map(|(metric, _)| metric), "{word}");
            if let Some((metric, written)) = expected {
                assert_eq!(metric.to_string(), written);
                assert_eq!(Metric::of(written), Some(metric));
            }
        }
    }
}
