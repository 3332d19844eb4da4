//! What the statistics cost: recording (the hot path), merging and quantiles (the control plane).

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use weir::{
    telemetry::{Histogram, MethodLabel, Outcome, Registry},
    types::Name,
};

/// Durations from 1 us to 68 s in no order, the same in every run.
fn durations() -> Vec<u64> {
    (0..4096_u64).map(|n| 1024 + (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (28 + n % 24))).collect()
}

fn histogram(criterion: &mut Criterion) {
    let durations = durations();
    let histogram = Histogram::new();
    let mut next = durations.iter().cycle();
    criterion.bench_function("histogram/record", |bench| {
        bench.iter(|| histogram.record_nanos(black_box(*next.next().unwrap_or(&0))));
    });
    let snapshot = histogram.snapshot();
    criterion.bench_function("histogram/snapshot", |bench| bench.iter(|| black_box(&histogram).snapshot()));
    let mut sum = snapshot.clone();
    criterion.bench_function("histogram/merge", |bench| bench.iter(|| sum.merge(black_box(&snapshot))));
    criterion
        .bench_function("histogram/quantile", |bench| bench.iter(|| black_box(&snapshot).quantile(0.99)));
}

fn request(criterion: &mut Criterion) {
    let Ok(name) = Name::new("bench") else { return };
    let registry = Registry::new(1);
    let shards = registry.route_backend(&name, &name);
    let shard = shards.worker(0);
    let durations = durations();
    let mut next = durations.iter().cycle();
    criterion.bench_function("shard/request", |bench| {
        bench.iter(|| {
            let duration = Duration::from_nanos(*next.next().unwrap_or(&0));
            shard.started();
            let upstream = Some(duration / 2);
            shard.record(black_box(&Outcome {
                status: 200,
                method: MethodLabel::Get,
                duration,
                upstream,
                error: None,
            }));
            shard.finished();
        });
    });
}

criterion_group!(benches, histogram, request);
criterion_main!(benches);
