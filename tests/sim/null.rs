//! Two equal versions: hardly any of them may be rolled back.
//!
//! With `WEIR_SIM_NULL=1000` it is so many rollouts of each kind; the ordinary suite has fewer.

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use weir::rollout::machine::Phase;

use crate::{
    dice::Dice,
    plans::{self, secs},
    route::Route,
    traffic::{Load, Traffic, Version},
};

/// Seeds begin here.
const FIRST: u64 = 2_000_000_000;

/// A kind of healthy service.
#[derive(Clone, Copy)]
struct Service {
    errors: f64,
    /// The limit of the threshold gate: above the usual rate by as much as people leave.
    most_errors: f64,
    sticky: bool,
    restarts: bool,
}

const SERVICES: [Service; 6] = [
    Service { errors: 0.0, most_errors: 0.01, sticky: true, restarts: false },
    Service { errors: 0.001, most_errors: 0.01, sticky: true, restarts: false },
    Service { errors: 0.01, most_errors: 0.1, sticky: true, restarts: false },
    Service { errors: 0.01, most_errors: 0.1, sticky: false, restarts: false },
    Service { errors: 0.01, most_errors: 0.1, sticky: true, restarts: true },
    Service { errors: 0.001, most_errors: 0.01, sticky: false, restarts: true },
];

/// How a healthy rollout ended: `None` where it was promoted, or would have been with more time.
fn rolled_back(service: Service, seed: u64, promoted: &AtomicU64) -> Option<String> {
    let mut dice = Dice::new(seed);
    let users = service.sticky.then(|| dice.pick(&[2_000, 20_000, 200_000]));
    let load = Load {
        users,
        same_users_fail: users.is_some() && dice.chance(0.5),
        ..Load::of(dice.pick(&[20.0, 60.0, 120.0]))
    };
    let plan = plans::preset(secs(20), plans::default_gates(service.most_errors));
    let mut route = Route::new(plan, Traffic::new(load, dice.bits()));
    let version = Version::failing(service.errors);
    // A gate that has too few requests holds; the rest of the plan would say nothing new.
    while !route.is_over() && route.now < secs(200) {
        route.tick([version; 2], |_| {});
        if service.restarts && dice.chance(0.01) {
            route.restart();
        }
    }
    promoted.fetch_add(u64::from(route.rollout.phase == Phase::Promoted), Relaxed);
    route.was_rolled_back().then(|| route.reason())
}

/// Runs `count` rollouts; how many were promoted, and those that were rolled back.
fn run(services: &[Service], count: u64) -> (u64, Vec<String>) {
    let (next, promoted) = (AtomicU64::new(0), AtomicU64::new(0));
    let reasons = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= count {
                return;
            }
            let service = services[usize::try_from(number).unwrap() % services.len()];
            let reason = rolled_back(service, FIRST + number, &promoted);
            reasons.lock().unwrap().extend(reason.map(|reason| format!("{number}: {reason}")));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(4) {
            scope.spawn(work);
        }
    });
    (promoted.into_inner(), reasons.into_inner().unwrap())
}

#[test]
fn equal_versions_are_not_rolled_back() {
    let count = env::var("WEIR_SIM_NULL").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
    let (promoted, reasons) = run(&SERVICES, count);
    let words = format!(
        "{} of {count} healthy rollouts were rolled back, {promoted} promoted: {reasons:#?}",
        reasons.len()
    );
    println!("{words}");
    assert!(promoted * 2 > count, "{words}");
    assert!(u64::try_from(reasons.len()).unwrap() * 100 <= count, "{words}");
}
