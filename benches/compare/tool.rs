//! The tool of `make bench-compare`: prepares what all gateways need, and makes load.

mod client;
mod hold;
mod identities;
mod load;
#[path = "../../tests/support/pki.rs"]
#[expect(
    clippy::indexing_slicing,
    reason = "a fixture of the tests, where that is fine"
)]
mod pki;
mod seed;

use clap::Parser;

/// Prepare and measure the comparison of gateways; compare.py runs it
#[derive(Debug, Parser)]
enum Tool {
    Seed(seed::Args),
    Load(load::Args),
    Hold(hold::Args),
}

fn main() -> anyhow::Result<()> {
    match Tool::parse() {
        Tool::Seed(args) => seed::run(&args),
        Tool::Load(args) => load::run(&args),
        Tool::Hold(args) => hold::run(&args),
    }
}
