//! Fuzzing on stable Rust: structured and mutated inputs against laws, by the crate `proptest`.
//!
//! Each target is a test: it replays its corpus, then makes inputs until its share of the time is over. `WEIR_FUZZ_SECONDS` is the
//! time of all targets together (default 30 s), `WEIR_FUZZ_SEED` the seed (default 1, or the clock's when the time is given). An
//! input that breaks a law is made small, written to `corpus/TARGET/`, and replayed from then on. docs/fuzzing.md tells the rest.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it means by failing"
)]

mod chunked;
mod config;
mod cookies;
mod engine;
mod forwarded;
mod h2;
mod head;
mod jwt;
mod requests;
mod responses;
mod routing;
mod stage;
mod strict;
#[allow(unused_imports, reason = "a vocabulary; not every word is used here")]
#[path = "../it/support/mod.rs"]
mod support;
