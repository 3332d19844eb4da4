//! Simulation: thousands of rollouts, hours of each in milliseconds, by seeds.
//!
//! - [`rollouts`]: random plans, faults, restarts and people around the machine, and what has to hold after every step. Most worlds are
//!   *scripted*: what the gates say is made up, and time passes in large steps. Some hundreds are *judged*: every request is made up, and
//!   the real observer and judge see all of them.
//! - [`null`]: two equal versions, through the real observer and judge, under the plan that presets look like.
//! - [`quiet`]: hardly any traffic, and none.
//! - [`detection`]: how long bad versions stay, beside what Flagger's rule makes of the same requests.
//!
//! `WEIR_SIM_SEED=17 cargo test --test sim` runs the one world that a failure names, `WEIR_SIM_RUNS=100000` more of them than usual.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it means by failing"
)]

mod checks;
mod detection;
mod dice;
mod null;
mod plans;
mod quiet;
mod rollouts;
mod route;
mod traffic;
mod world;
