//! `keyferry client`: who may call.

mod activity;
pub(crate) mod add;
mod filter;
pub(crate) mod list;
pub(crate) mod several;
pub(crate) mod show;
pub(crate) mod switch;
pub(crate) mod tag;

pub(crate) use filter::Filter;

use super::{Failure, Operator, Out};

/// Clients: who may call, and how far each has moved
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
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

impl Command {
    /// Does it.
    pub(super) async fn run(self, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Add(args) => add::run(args, operator, out).await,
            Self::List(args) => list::run(&args, operator, out).await,
            Self::Tag(args) => tag::run(&args, operator, out).await,
            Self::Show(args) => show::run(&args, operator, out).await,
            Self::Disable(args) => switch::disable(&args, operator, out).await,
            Self::Enable(args) => switch::enable(&args, operator, out).await,
        }
    }
}
