//! `keyferry run`: the gateway itself.

use std::process::ExitCode;

use super::{Failure, Globals, Out, source};
use crate::config::Reading;
use crate::server::StartError;
use crate::{server, telemetry};

/// Run the gateway until SIGTERM or SIGINT; SIGHUP makes it read its configuration again
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Take over from the gateway that runs on this configuration's `shutdown.upgrade_socket`, if one does
    #[arg(long)]
    upgrade: bool,
}

pub(super) fn run(args: &Args, globals: &Globals, _: &mut Out) -> Result<ExitCode, Failure> {
    server::survive_hangups().map_err(anyhow::Error::from)?;
    let source = source(globals.config_file());
    let Reading { config, seen } = source.read();
    let config = config?;
    if args.upgrade && config.shutdown.upgrade_socket.is_none() {
        let why =
            "write shutdown.upgrade_socket into the configuration: through it gateways hand over";
        return Err(Failure::Usage(why.to_owned()));
    }
    let levels = telemetry::start_log(&config.telemetry.log).map_err(anyhow::Error::from)?;
    server::run(config, (source, seen), levels, args.upgrade).map_err(|error| match error {
        StartError::Lists(problems) => problems.into(),
        other => Failure::Unavailable(other.into()),
    })?;
    Ok(ExitCode::SUCCESS)
}
