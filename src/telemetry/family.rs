//! Builders for the `prometheus` crate's families, whose own types are filled by setters.

use std::time::Duration;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::histogram::HistogramSnapshot;

/// A family: a name, a help text, a type and its samples.
pub(super) struct Family(MetricFamily);

/// The labels of a sample, until its value is known.
#[derive(Clone, Default)]
pub(super) struct Sample(Vec<LabelPair>);

// === impl Family ===

impl Family {
    pub(super) fn new(name: &str, help: &str, kind: MetricType) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Self(family)
    }

    pub(super) fn with(self, sample: Metric) -> Self {
        self.extend([sample])
    }

    pub(super) fn extend(mut self, samples: impl IntoIterator<Item = Metric>) -> Self {
        self.0.mut_metric().extend(samples);
        self
    }

    pub(super) fn build(self) -> MetricFamily {
        self.0
    }
}

// === impl Sample ===

impl Sample {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn label(mut self, name: &str, value: &str) -> Self {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        self.0.push(pair);
        self
    }

    /// A counter's or a gauge's value; which of the two is shown is the family's type.
    pub(super) fn value(self, value: f64) -> Metric {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(self.0);
        metric.set_counter(counter);
        metric.set_gauge(gauge);
        metric
    }

    /// A histogram with these upper bounds in microseconds; the encoder adds `+Inf`.
    pub(super) fn histogram(self, all: &HistogramSnapshot, bounds: &[u64]) -> Metric {
        let bucket = |&micros: &u64| {
            let bound = Duration::from_micros(micros);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound.as_secs_f64());
            bucket.set_cumulative_count(all.count_le(bound));
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(bounds.iter().map(bucket).collect());
        histogram.set_sample_count(all.count());
        histogram.set_sample_sum(Duration::from_nanos(all.sum_nanos()).as_secs_f64());
        let mut metric = Metric::from_label(self.0);
        metric.set_histogram(histogram);
        metric
    }
}
