//! The statistics against reference numbers, laws, and simulations of whole rollouts.

mod laws;
mod simulation;
mod vectors;
