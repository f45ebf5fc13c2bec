//! The `keyferry` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyferry::cli::run(std::env::args_os())
}
