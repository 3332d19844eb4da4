//! Tests of the whole way: text to config and back, errors as people see them, and the tables against what is written
//! from them.

mod errors;
mod files;
mod laws;
mod rollouts;
mod sample;
mod scalars;
mod shorthands;
mod validator;

use super::{Config, Diagnostics, Loaded, Look, parse};

/// A file that is right, with a place for a bit that may not be.
const HEAD: &str = "\
listeners:
  - { name: http, bind: 127.0.0.1:8080 }
backends:
  stable: { endpoints: [ { address: 127.0.0.1:9001 } ] }
  canary: { endpoints: [ { address: 127.0.0.1:9002 } ] }
";

const ROUTES: &str = "\
routes:
  - name: shop
    split: { backends: { stable: 95, canary: 5 } }
";

fn good(text: &str) -> Loaded {
    match parse(text, "weir.yaml") {
        Ok(loaded) => loaded,
        Err(errors) => panic!("{}", errors.render(Look::default())),
    }
}

fn config(text: &str) -> Config {
    good(text).config
}

fn bad(text: &str) -> Diagnostics {
    match parse(text, "weir.yaml") {
        Ok(loaded) => panic!("accepted:\n{}", loaded.config.to_yaml()),
        Err(errors) => errors,
    }
}
