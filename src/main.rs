//! The `weir` binary: hands its arguments over and exits with the code that comes back.

use std::process::ExitCode;

fn main() -> ExitCode {
    weir::cli::main(std::env::args_os())
}
