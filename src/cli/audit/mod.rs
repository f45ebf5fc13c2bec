//! `keyferry audit`: who changed what, when, why and from where.

mod export;
mod list;
pub(in crate::cli) mod verify;

use std::process::ExitCode;

use super::open::{Operator, operate};
use super::{Failure, Globals, Out};
use crate::store::{Epoch, StoredEvent};

/// The changes: list them, export them, and check that none is missing or altered
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List changes, the latest last
    List(list::Args),
    /// Check that no change is missing or altered, in the store or in an export
    Verify(verify::Args),
    /// Write all changes that the store keeps into a new file, one a line
    Export(export::Args),
}

pub(super) fn run(command: Command, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    match command {
        Command::List(args) => operate(globals, out, async |operator, out| {
            list::run(&args, operator, out).await
        })?,
        Command::Export(args) => operate(globals, out, async |operator, out| {
            export::run(&args, operator, out).await
        })?,
        Command::Verify(args) => return verify::run(&args, globals, out),
    }
    Ok(ExitCode::SUCCESS)
}

/// Calls `each` with every event that the store keeps, in its order.
async fn each_event(
    operator: &Operator,
    mut each: impl FnMut(StoredEvent) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = Epoch::NONE;
    loop {
        let events = operator.trail(after).await?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        after = last.epoch;
        events.into_iter().try_for_each(&mut each)?;
    }
}
