//! `keyferry status`: how far the move is, how it went, and what is ahead.

mod chart;
mod debt;
mod inventory;
mod report;
mod text;

use std::process::ExitCode;

use super::open::operate;
use super::{Failure, Globals, Out};

/// Show how far the move is: stages, traffic, a forecast, what is about to expire
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    operate(globals, out, async |operator, out| {
        let report = report::read(operator).await?;
        out.show(&report, text::of(&report, operator.now))?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}
