//! The `keyferry` program.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// For OpenSSL as well: it allocates several times a request (docs/PERFORMANCE.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    keyferry::cli::run(std::env::args_os())
}
