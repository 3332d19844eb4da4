//! Random worlds.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use crate::world::{Kind, World};

/// How many rollouts ended how.
type Ends = BTreeMap<String, u64>;

/// Seeds of worlds whose requests are made up begin here.
const JUDGED: u64 = 1_000_000_000;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// Runs worlds until `count` rollouts are over, or only the one that was asked for, and then says nothing of how they ended.
fn run(kind: Kind, first: u64, count: u64) -> Option<Ends> {
    let ends = Mutex::new(Ends::new());
    if let Some(seed) = number("WEIR_SIM_SEED") {
        if (first..first + JUDGED).contains(&seed) {
            world(kind, seed, &ends);
        }
        return None;
    }
    let count = number("WEIR_SIM_RUNS").unwrap_or(count);
    let (next, done) = (AtomicU64::new(first), AtomicU64::new(0));
    let workers = thread::available_parallelism().map_or(1, usize::from).min(4);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while done.load(Relaxed) < count {
                    done.fetch_add(world(kind, next.fetch_add(1, Relaxed), &ends), Relaxed);
                }
            });
        }
    });
    Some(ends.into_inner().unwrap())
}

fn world(kind: Kind, seed: u64, ends: &Mutex<Ends>) -> u64 {
    let mut world = World::new(kind, seed);
    if let Err(words) = world.run() {
        panic!("WEIR_SIM_SEED={seed} cargo test --test sim\n{words}");
    }
    let (mut count, mut ends) = (0, ends.lock().unwrap());
    for (phase, gate) in world.ends() {
        count += 1;
        *ends.entry(phase.as_str().to_owned()).or_default() += 1;
        if !gate.is_empty() {
            *ends.entry(gate.to_owned()).or_default() += 1;
        }
    }
    count
}

/// A simulation in which something never happens says nothing of it.
fn assert_happened(ends: Option<Ends>, all: &[&str]) {
    let Some(ends) = ends else { return };
    println!("{ends:?}");
    for what in all {
        assert!(ends.contains_key(*what), "{what} did not happen: {ends:?}");
    }
}

#[test]
fn ten_thousand_rollouts_keep_the_rules() {
    let ends = run(Kind::Scripted, 0, 10_000);
    let gates = [
        "error_rate",
        "blast_radius",
        "regression",
        "deadline",
        "kill_switch",
        "configuration",
        "superseded",
        "abort",
        "reject",
        "undo",
        "approval",
    ];
    assert_happened(ends, &[&["promoted", "rolled_back", "aborted", "superseded"][..], &gates].concat());
}

#[test]
fn rollouts_with_requests_keep_the_rules() {
    let ends = run(Kind::Judged, JUDGED, 600);
    let gates = ["error_rate", "errors", "latency_p99", "deadline"];
    assert_happened(ends, &[&["promoted", "rolled_back"][..], &gates].concat());
}
