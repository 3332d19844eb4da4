//! What a person writes: the control file, validated as a whole.

pub mod model;

pub use model::Config;
