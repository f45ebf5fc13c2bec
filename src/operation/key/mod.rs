//! `keyferry key`: API keys.

pub(crate) mod issue;
pub(crate) mod list;
pub(crate) mod restore;
pub(crate) mod revoke;
pub(crate) mod rotate;
mod term;

use super::{Failure, Operator, Out};

/// Keys: issue, show, rotate and revoke them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Issue(issue::Args),
    /// Show all keys, without their secrets
    List(list::Args),
    Restore(restore::Args),
    Revoke(revoke::Args),
    Rotate(rotate::Args),
}

impl Command {
    /// Does it.
    pub(super) async fn run(self, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Issue(args) => issue::run(&args, operator, out).await,
            Self::List(args) => list::run(&args, operator, out).await,
            Self::Restore(args) => restore::run(&args, operator, out).await,
            Self::Revoke(args) => revoke::run(&args, operator, out).await,
            Self::Rotate(args) => rotate::run(&args, operator, out).await,
        }
    }
}
