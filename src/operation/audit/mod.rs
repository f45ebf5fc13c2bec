//! `keyferry audit`: who changed what, when, why and from where.

mod export;
pub(crate) mod list;
pub(crate) mod verify;

use super::{Bar, Failure, Operator, Out};
use crate::store::{Epoch, StoredEvent};

/// The changes: list them, export them, and check that none is missing or altered
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List changes, the latest last
    List(list::Args),
    /// Check that no change is missing or altered, in the store or in an export
    Verify(verify::Args),
    /// Write all changes that the store keeps into a new file, one a line
    Export(export::Args),
}

impl Command {
    /// Does it.
    pub(super) async fn run(self, operator: &Operator, out: &mut Out) -> Result<u8, Failure> {
        match self {
            Self::List(args) => list::run(&args, operator, out).await?,
            Self::Export(args) => export::run(&args, operator, out).await?,
            Self::Verify(args) => return verify::run(&args, operator, out).await,
        }
        Ok(0)
    }
}

/// Calls `each` with every event that the store keeps, in its order.
async fn each_event(
    operator: &Operator,
    mut each: impl FnMut(StoredEvent) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let head = operator.head().await?;
    let bar = operator.bar(|| Bar::new("reading changes", head.epoch.0));
    let mut after = Epoch::NONE;
    loop {
        let events = operator.trail(after).await?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        after = last.epoch;
        bar.reach(after.0);
        events.into_iter().try_for_each(&mut each)?;
    }
}
