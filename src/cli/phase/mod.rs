//! `keyferry phase`: how clients are taken from certificates to keys, and back.

mod aim;
mod brownout;
mod list;
mod moment;
mod outlook;
mod set;
mod show;
mod undo;

use std::process::ExitCode;

pub(super) use moment::Moment;
pub(super) use outlook::Outlook;

use super::open::operate;
use super::{Failure, Globals, Out};

/// Phases: announce the end of certificates, refuse them at times, refuse them; and take it back
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Accept certificates as ever; for a client or cohort, whatever is set for others
    Accept(set::Accept),
    /// Tell clients with every answer to a certificate that certificates end
    Announce(set::Announce),
    Brownout(brownout::Args),
    /// Refuse certificates; unless clients called by certificate lately
    Retire(set::Retire),
    Undo(undo::Args),
    /// Show what was set for whom, by whom, and why
    List(list::Args),
}

pub(super) fn run(command: Command, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    operate(globals, out, async |operator, out| match command {
        Command::Accept(args) => set::accept(&args, operator, out).await,
        Command::Announce(args) => set::announce(&args, operator, out).await,
        Command::Brownout(args) => brownout::run(args, operator, out).await,
        Command::Retire(args) => set::retire(&args, operator, out).await,
        Command::Undo(args) => undo::run(&args, operator, out).await,
        Command::List(args) => list::run(&args, operator, out).await,
    })?;
    Ok(ExitCode::SUCCESS)
}
