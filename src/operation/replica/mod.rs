//! `keyferry replica`: the gateways that share the store.

pub(crate) mod list;

use super::{Failure, Operator, Out};

/// Replicas: the gateways that share the store
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    List(list::Args),
}

impl Command {
    /// Does it.
    pub(super) async fn run(self, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::List(args) => list::run(&args, operator, out).await,
        }
    }
}
