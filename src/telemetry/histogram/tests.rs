//! The laws of the histogram: where edges lie, how exact quantiles are, that adding and subtracting are exact.

use proptest::{collection::vec, prelude::*};

use super::*;

fn of(values: &[u64]) -> HistogramSnapshot {
    let histogram = Histogram::new();
    values.iter().for_each(|&value| histogram.record_nanos(value));
    histogram.snapshot()
}

fn merged(a: &HistogramSnapshot, b: &HistogramSnapshot) -> HistogramSnapshot {
    let mut sum = a.clone();
    sum.merge(b);
    sum
}

/// The exact quantile by nearest rank.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small counts"
)]
fn exact(values: &[u64], q: f64) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
    sorted[rank - 1]
}

#[allow(clippy::cast_precision_loss, reason = "below 2^53")]
fn check_quantiles(values: &[u64]) {
    let snapshot = of(values);
    for q in [0.0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0] {
        let expected = exact(values, q) as f64;
        let found = snapshot.quantile(q).expect("not empty").as_nanos() as f64;
        let error = (found - expected).abs() / expected;
        assert!(error < 0.01, "q {q}: {found} for {expected}, error {error}");
    }
}

#[test]
fn slots_tile_the_range() {
    assert_eq!(lower_edge(1), 1024);
    assert_eq!(lower_edge(OVERFLOW), 1 << 36);
    for slot in 0..OVERFLOW {
        let (low, high) = (lower_edge(slot), lower_edge(slot + 1));
        assert!(low < high, "slot {slot}");
        assert_eq!((slot_of(low), slot_of(high - 1), slot_of(high)), (slot, slot, slot + 1));
        assert_eq!(slot_of(middle(slot)), slot);
        assert_eq!((bucket(low), bucket_highest(slot)), (slot, high - 1));
    }
    assert_eq!((bucket(u64::MAX), bucket_highest(OVERFLOW)), (OVERFLOW, u64::MAX));
    for (nanos, slot) in [(0, 0), (1023, 0), (1024, 1), (1 << 36, OVERFLOW), (u64::MAX, OVERFLOW)] {
        assert_eq!(slot_of(nanos), slot, "{nanos}");
    }
}

#[test]
fn what_is_empty_has_no_quantile() {
    let empty = HistogramSnapshot::default();
    assert_eq!((empty.quantile(0.5), empty.min(), empty.max(), empty.mean()), (None, None, None, None));
    assert_eq!((empty.count(), empty.sum_nanos(), empty.count_le(Duration::MAX)), (0, 0, 0));
    assert_eq!(empty, Histogram::new().snapshot());
    assert_eq!((empty.buckets().count(), empty.indexed().count()), (0, 0));
}

#[test]
fn beyond_the_range_counts_and_sums_stay_exact() {
    let snapshot = of(&[0, 5, 70_000_000_000, 100_000_000_000]);
    assert_eq!((snapshot.count(), snapshot.sum_nanos()), (4, 170_000_000_005));
    assert_eq!(snapshot.min(), Some(Duration::from_nanos(512)));
    assert_eq!(snapshot.max(), Some(Duration::from_nanos(1 << 36)));
    assert_eq!(snapshot.count_le(Duration::from_secs(60)), 2);
    assert_eq!(snapshot.count_le(Duration::MAX), 4);
}

#[test]
fn quantiles_are_close_on_adversarial_distributions() {
    let edges: Vec<u64> =
        (1..OVERFLOW).flat_map(|slot| [lower_edge(slot), lower_edge(slot + 1) - 1]).collect();
    let cases: [(&str, Vec<u64>); 6] = [
        ("constant at an edge", vec![lower_edge(700); 1000]),
        ("constant before an edge", vec![lower_edge(701) - 1; 1000]),
        ("two points far apart", [vec![2_000; 990], vec![60_000_000_000; 10]].concat()),
        ("powers of two", (10..36).map(|bit| 1 << bit).collect()),
        ("powers of ten", (4..=10).flat_map(|power| vec![10_u64.pow(power); 9]).collect()),
        ("every edge", edges),
    ];
    for (name, values) in cases {
        println!("{name}");
        check_quantiles(&values);
    }
}

/// Durations inside the range, each size as likely as the next: a heavy tail.
fn heavy_tail() -> impl Strategy<Value = u64> {
    (10_u32..36, any::<u64>()).prop_map(|(bit, bits)| (1 << bit) | (bits & ((1 << bit) - 1)))
}

/// Durations within three nanoseconds of a bucket's edge.
fn near_edges() -> impl Strategy<Value = u64> {
    (2..OVERFLOW - 1, 0_u64..7).prop_map(|(slot, offset)| lower_edge(slot) + offset - 3)
}

/// Everything that can be recorded, kept below where sums of a test wrap.
fn anything() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0_u64..2_000, heavy_tail(), near_edges(), (1_u64 << 36)..(1 << 40)]
}

proptest! {
    #[test]
    fn quantiles_are_close(values in prop_oneof![
        vec(heavy_tail(), 1..400),
        vec(near_edges(), 1..400),
        (heavy_tail(), 1_usize..400).prop_map(|(value, n)| vec![value; n]),
        (heavy_tail(), heavy_tail(), 1_usize..200, 1_usize..200)
            .prop_map(|(a, b, m, n)| [vec![a; m], vec![b; n]].concat()),
    ]) {
        check_quantiles(&values);
    }

    #[test]
    fn merging_is_exact_in_any_order(a in vec(anything(), 0..60), b in vec(anything(), 0..60), c in vec(anything(), 0..60)) {
        let whole = of(&[a.clone(), b.clone(), c.clone()].concat());
        let (a, b, c) = (of(&a), of(&b), of(&c));
        prop_assert_eq!(&merged(&merged(&a, &b), &c), &whole);
        prop_assert_eq!(&merged(&a, &merged(&b, &c)), &whole);
        prop_assert_eq!(&merged(&c, &merged(&b, &a)), &whole);
        prop_assert_eq!(&merged(&whole, &HistogramSnapshot::default()), &whole);
    }

    #[test]
    fn the_difference_is_the_window(before in vec(anything(), 0..60), window in vec(anything(), 0..60)) {
        let histogram = Histogram::new();
        before.iter().for_each(|&value| histogram.record_nanos(value));
        let earlier = histogram.snapshot();
        window.iter().for_each(|&value| histogram.record_nanos(value));
        prop_assert_eq!(histogram.snapshot().since(&earlier), of(&window));
        prop_assert_eq!(histogram.snapshot().since(&HistogramSnapshot::default()), histogram.snapshot());
    }

    #[test]
    fn indices_are_those_of_the_values(values in vec(anything(), 0..200)) {
        let mut expected = std::collections::BTreeMap::new();
        values.iter().for_each(|&value| *expected.entry(bucket(value)).or_insert(0) += 1);
        prop_assert_eq!(of(&values).indexed().collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn packing_keeps_everything(a in vec(anything(), 0..200), b in vec(anything(), 0..200)) {
        let mut sum = HistogramSnapshot::default();
        for part in [of(&a), of(&b)] {
            sum.add_packed(&part.packed(), part.sum_nanos());
        }
        prop_assert_eq!(sum, of(&[a, b].concat()));
    }

    #[test]
    fn counts_up_to_a_bound_are_close(values in vec(heavy_tail(), 1..200), bound in heavy_tail()) {
        let found = of(&values).count_le(Duration::from_nanos(bound));
        let at_most = |limit: u64| values.iter().filter(|value| **value <= limit).count() as u64;
        prop_assert!(at_most(bound - bound / 64) <= found && found <= at_most(bound + bound / 64));
    }

    #[test]
    fn numbers_survive_packing(numbers in vec(any::<u64>(), 0..20)) {
        let mut bytes = Vec::new();
        numbers.iter().for_each(|&number| push_number(&mut bytes, number));
        let mut rest = bytes.as_slice();
        let back: Vec<u64> = std::iter::from_fn(|| take_number(&mut rest)).collect();
        prop_assert_eq!(back, numbers);
    }
}
