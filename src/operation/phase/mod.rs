//! `keyferry phase`: how clients are taken from certificates to keys, and back.

mod aim;
mod brownout;
pub(crate) mod list;
mod moment;
mod outlook;
mod set;
pub(crate) mod show;
mod undo;

pub(super) use moment::Moment;
pub(super) use outlook::Outlook;
pub(super) use show::listed;

use super::{Failure, Operator, Out};

/// Phases: announce the end of certificates, refuse them at times, refuse them; and take it back
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
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

impl Command {
    /// Does it.
    pub(super) async fn run(self, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Accept(args) => set::accept(&args, operator, out).await,
            Self::Announce(args) => set::announce(&args, operator, out).await,
            Self::Brownout(args) => brownout::run(args, operator, out).await,
            Self::Retire(args) => set::retire(&args, operator, out).await,
            Self::Undo(args) => undo::run(&args, operator, out).await,
            Self::List(args) => list::run(&args, operator, out).await,
        }
    }
}
