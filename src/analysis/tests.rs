//! The statistics against reference numbers, single cases, laws, and simulations of whole rollouts.

mod cases;
mod laws;
mod simulation;
mod vectors;
