//! The policies against their definitions: shares, order, and who moves when an endpoint comes or goes.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::types::clock;

/// Endpoints with a load and a readiness each; ids are places.
struct Field {
    loads: Vec<u64>,
    readiness: Vec<f64>,
}

impl Field {
    fn of(count: usize) -> Self {
        Self { loads: vec![0; count], readiness: vec![1.0; count] }
    }

    fn ready(mut self, place: usize, readiness: f64) -> Self {
        self.readiness[place] = readiness;
        self
    }

    fn load(mut self, place: usize, load: u64) -> Self {
        self.loads[place] = load;
        self
    }
}

impl Candidates for Field {
    fn id(&self, place: usize) -> usize {
        place
    }
    fn load(&self, place: usize) -> u64 {
        self.loads[place]
    }
    fn readiness(&self, place: usize) -> f64 {
        self.readiness[place]
    }
}

fn all(weights: &[u32]) -> [Balancer; 5] {
    let names: Vec<String> = (0..weights.len()).map(|place| format!("10.0.0.{place}:80")).collect();
    [
        Balancer::P2c(P2c::new(weights)),
        Balancer::RoundRobin(RoundRobin::new(weights)),
        Balancer::LeastRequest(LeastRequest::new(weights)),
        Balancer::PeakEwma(PeakEwma::new(weights)),
        Balancer::Rendezvous(Rendezvous::new(names.iter().map(String::as_str).zip(weights.iter().copied()))),
    ]
}

fn draw(n: u64) -> Draw {
    Draw { bits: mix(n), key: mix(n ^ 0xabcd), now: clock::now() }
}

/// How often each place is picked out of so many requests.
fn picks(balancer: &Balancer, field: &Field, requests: u64) -> Vec<u64> {
    let memory = Memory::default();
    let mut counts = vec![0; field.loads.len()];
    for n in 0..requests {
        if let Some(place) = balancer.pick(&draw(n), &memory, field) {
            counts[place] += 1;
        }
    }
    counts
}

fn near(count: u64, expected: u64) -> bool {
    count.abs_diff(expected) * 20 <= expected
}

#[test]
fn who_may_not_is_never_picked_and_nobody_is_when_none_may() {
    for balancer in all(&[1, 5, 1]) {
        let one = picks(&balancer, &Field::of(3).ready(0, 0.0).ready(1, 0.0), 500);
        assert_eq!(one, [0, 0, 500], "{balancer:?}");
        let none = picks(&balancer, &Field::of(3).ready(0, 0.0).ready(1, 0.0).ready(2, 0.0), 10);
        assert_eq!(none, [0, 0, 0], "{balancer:?}");
    }
    for balancer in all(&[]) {
        assert_eq!(picks(&balancer, &Field::of(0), 1), Vec::<u64>::new());
    }
}

#[test]
fn weights_are_shares() {
    let weights = [100, 200, 300];
    for balancer in all(&weights) {
        let counts = picks(&balancer, &Field::of(3), 60_000);
        let fits = match balancer {
            // Idle endpoints: the heaviest has the least load for its weight.
            Balancer::LeastRequest(_) => counts == [0, 0, 60_000],
            Balancer::P2c(_) => counts[0] < counts[1] && counts[1] < counts[2],
            _ => [10_000, 20_000, 30_000].iter().zip(&counts).all(|(wanted, count)| near(*count, *wanted)),
        };
        assert!(fits, "{balancer:?}: {counts:?}");
    }
}

#[test]
fn an_endpoint_that_starts_slowly_gets_its_part() {
    for (readiness, low, high) in [(0.1, 500, 1200), (0.5, 2600, 4200)] {
        for balancer in all(&[1, 1]) {
            let counts = picks(&balancer, &Field::of(2).ready(0, readiness), 10_000);
            let fits = match balancer {
                // Of two idle ones that draw decides, and the slow one takes part in as many draws as it is ready.
                Balancer::LeastRequest(_) | Balancer::P2c(_) | Balancer::PeakEwma(_) => {
                    counts[0] > 0 && counts[0] < high
                }
                _ => (low..high).contains(&counts[0]),
            };
            assert!(fits, "{balancer:?} at {readiness}: {counts:?}");
        }
    }
    for balancer in all(&[1]) {
        assert_eq!(picks(&balancer, &Field::of(1).ready(0, 0.1), 100), [100], "{balancer:?} has nobody else");
    }
}

#[test]
fn round_robin_spreads_heavy_weights() {
    let policy = RoundRobin::new(&[5, 1, 1]);
    let mut cursor = 0;
    let order: String = (0..14)
        .map(|_| char::from(b'a' + u8::try_from(policy.pick(&mut cursor, |_| true).unwrap()).unwrap()))
        .collect();
    assert_eq!(order, "abaaacaabaaaca");
    // Many light ones neither: the heavy one never waits for long.
    let policy = RoundRobin::new(&[&[50][..], &[1; 50]].concat());
    let round: Vec<_> = (0..200).map(|_| policy.pick(&mut cursor, |_| true).unwrap()).collect();
    assert!(round.windows(5).all(|five| five.contains(&0)), "{round:?}");
}

#[test]
fn round_robin_keeps_long_rounds_short_and_weights_nearly_exact() {
    let weights: Vec<u32> = (1..=40).map(|n| 1000 - n).collect();
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    let counts = picks(&Balancer::RoundRobin(RoundRobin::new(&weights)), &Field::of(40), total);
    for (weight, count) in weights.iter().zip(counts) {
        assert!(near(count, u64::from(*weight)), "{weight}: {count}");
    }
}

#[test]
fn least_request_takes_the_least_for_its_weight() {
    let [_, _, balancer, ..] = all(&[1, 1, 4]);
    for (field, expected) in [
        (Field::of(3).load(0, 3).load(1, 1).load(2, 20), 1),
        (Field::of(3).load(0, 3).load(1, 3).load(2, 8), 2),
        (Field::of(3).load(0, 0).load(1, 3).load(2, 4), 0),
    ] {
        assert_eq!(balancer.pick(&draw(1), &Memory::default(), &field), Some(expected));
    }
    let [_, _, equal, ..] = all(&[1, 1]);
    let counts = picks(&equal, &Field::of(2), 1000);
    assert!(counts.iter().all(|count| near(*count, 500)), "{counts:?}");
}

#[test]
fn peak_ewma_avoids_the_slow_one_until_it_is_trusted_again() {
    let [_, _, _, balancer, _] = all(&[1, 1]);
    let memory = Memory::default();
    let start = clock::now();
    let pick_at = |at: Instant| {
        let mut counts = [0_u32; 2];
        for n in 0..1000 {
            let draw = Draw { now: at, ..draw(n) };
            counts[balancer.pick(&draw, &memory, &Field::of(2)).unwrap()] += 1;
        }
        counts
    };
    for n in 0..100 {
        let at = start + Duration::from_millis(n);
        memory.observe(0, Duration::from_millis(10), at);
        memory.observe(1, Duration::from_millis(10), at);
    }
    let now = start + Duration::from_millis(100);
    memory.observe(0, Duration::from_millis(500), now);
    let [slow, quick] = pick_at(now);
    assert!(slow < 300 && quick > 700, "one peak is enough: only drawn against itself: {slow}");
    // Quick answers for a minute bring it back.
    for second in 1..60 {
        memory.observe(0, Duration::from_millis(1), now + Duration::from_secs(second));
        memory.observe(1, Duration::from_millis(10), now + Duration::from_secs(second));
    }
    let [slow, quick] = pick_at(now + Duration::from_secs(60));
    assert!(slow > quick, "{slow} {quick}");
}

#[test]
fn a_new_endpoint_gets_one_request_before_it_gets_many() {
    let [_, _, _, balancer, _] = all(&[1, 1]);
    let memory = Memory::default();
    memory.observe(0, Duration::from_millis(10), clock::now());
    let both_drawn = (0..100).find(|n| {
        let picked = |field: &Field| balancer.pick(&draw(*n), &memory, field);
        picked(&Field::of(2)) == Some(1) && picked(&Field::of(2).load(1, 1)) == Some(0)
    });
    assert!(both_drawn.is_some());
}

fn owners(weights: &[(String, u32)], keys: u64) -> BTreeMap<u64, String> {
    let policy = Rendezvous::new(weights.iter().map(|(name, weight)| (name.as_str(), *weight)));
    let owner = |key| weights[policy.pick(key_of_number(key), |_| 1.0).unwrap()].0.clone();
    (0..keys).map(|key| (key, owner(key))).collect()
}

fn key_of_number(key: u64) -> u64 {
    rendezvous::key_of(&key.to_be_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The laws of rendezvous hashing, for any weights: who goes takes along only the own keys, who comes or gets heavier
    /// only takes, and order does not matter.
    #[test]
    fn keys_move_only_where_they_must(
        weights in prop::collection::vec(1_u32..50, 2..8),
        gone in any::<prop::sample::Index>(),
        heavier in any::<prop::sample::Index>(),
    ) {
        let mut field: Vec<(String, u32)> =
            weights.iter().enumerate().map(|(n, weight)| (format!("10.0.{n}.1:8080"), *weight)).collect();
        let before = owners(&field, 500);
        let mut without = field.clone();
        let (name, _) = without.remove(gone.index(field.len()));
        without.reverse();
        for (key, owner) in owners(&without, 500) {
            prop_assert!(owner == before[&key] || before[&key] == name, "{} moved", key);
        }
        let at = heavier.index(field.len());
        field[at].1 *= 2;
        for (key, owner) in owners(&field, 500) {
            prop_assert!(owner == before[&key] || owner == field[at].0, "{} moved", key);
        }
    }
}

#[test]
fn rendezvous_is_the_same_everywhere_and_for_ever() {
    let policy = Rendezvous::new([("10.1.0.11:8080", 1), ("10.1.0.12:8080", 2), ("[fd00::1]:80", 1)]);
    let owners: Vec<usize> = (0..12).map(|key| policy.pick(key_of_number(key), |_| 1.0).unwrap()).collect();
    assert_eq!(
        owners,
        [2, 1, 1, 0, 1, 0, 1, 2, 1, 1, 2, 2],
        "a change here moves every user of every backend"
    );
}
