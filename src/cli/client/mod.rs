//! `keyferry client`: who may call.

mod activity;
mod add;
mod list;
mod several;
mod show;
mod switch;
mod tag;

use std::process::ExitCode;

use super::open::operate;
use super::{Failure, Globals, Out};

/// Clients: who may call, and how far each has moved
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Add(add::Args),
    /// Show all clients, how far each has moved, and when it was seen
    List(list::Args),
    /// Show everything of a client: certificates, keys, when it was seen and how often it called
    Show(show::Args),
    Tag(tag::Args),
    /// Refuse everything of clients: their certificates and their keys, from now on
    Disable(switch::Args),
    /// Accept disabled clients again, with the certificates and keys that they have
    Enable(switch::Args),
}

pub(super) fn run(command: Command, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    operate(globals, out, async |operator, out| match command {
        Command::Add(args) => add::run(args, operator, out).await,
        Command::List(args) => list::run(&args, operator, out).await,
        Command::Tag(args) => tag::run(&args, operator, out).await,
        Command::Show(args) => show::run(&args, operator, out).await,
        Command::Disable(args) => switch::disable(&args, operator, out).await,
        Command::Enable(args) => switch::enable(&args, operator, out).await,
    })?;
    Ok(ExitCode::SUCCESS)
}
