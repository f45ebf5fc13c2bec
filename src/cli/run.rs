//! `keyferry run`: the gateway itself.

use std::process::ExitCode;

use super::{Failure, Globals, Out};
use crate::{server, telemetry};

/// Run the gateway until SIGTERM or SIGINT
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, globals: &Globals, _: &mut Out) -> Result<ExitCode, Failure> {
    let config = globals.load_config()?;
    telemetry::start_log(&config.telemetry.log).map_err(anyhow::Error::from)?;
    server::run(config).map_err(|error| Failure::Unavailable(error.into()))?;
    Ok(ExitCode::SUCCESS)
}
