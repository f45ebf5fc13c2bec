//! `keyferry key`: API keys.

mod issue;
mod list;
mod restore;
mod revoke;
mod rotate;
mod term;

use std::process::ExitCode;

use super::open::operate;
use super::{Failure, Globals, Out};

/// Keys: issue, show, rotate and revoke them
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Issue(issue::Args),
    /// Show all keys, without their secrets
    List(list::Args),
    Restore(restore::Args),
    Revoke(revoke::Args),
    Rotate(rotate::Args),
}

pub(super) fn run(command: Command, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    operate(globals, out, async |operator, out| match command {
        Command::Issue(args) => issue::run(&args, operator, out).await,
        Command::List(args) => list::run(&args, operator, out).await,
        Command::Restore(args) => restore::run(&args, operator, out).await,
        Command::Revoke(args) => revoke::run(&args, operator, out).await,
        Command::Rotate(args) => rotate::run(&args, operator, out).await,
    })?;
    Ok(ExitCode::SUCCESS)
}
