//! `keyferry status`: how far the move is, how it went, and what is ahead.

mod chart;
mod debt;
mod inventory;
pub(crate) mod report;
mod text;

use super::{Failure, Operator, Out};

/// Show how far the move is: stages, traffic, a forecast, what is about to expire
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) async fn run(_: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let report = report::read(operator).await?;
    out.show(&report, text::of(&report, operator.now))
}
