//! The `keyferry` program.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request allocates some 190 times (docs/PERFORMANCE.md). What is not Rust keeps the system's: few of them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    keyferry::cli::run(std::env::args_os())
}
