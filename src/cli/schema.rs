//! `keyferry schema`: the JSON Schema of the configuration.

use std::process::ExitCode;

use super::{Failure, Globals, Out};
use crate::config::file::File;

/// Print the JSON Schema of the configuration, for editors
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, _: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    out.json(&File::schema())?;
    Ok(ExitCode::SUCCESS)
}
