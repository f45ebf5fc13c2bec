//! `keyferry health`: does the gateway run, and does it serve?

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;

use super::ask::get;
use super::{Failure, Globals, Out, source};
use crate::socket::reachable;

/// How long it may take to answer.
const WITHIN: Duration = Duration::from_secs(5);

/// Ask the gateway on this machine whether it serves
///
/// For health checks where there is no curl, as in a container. Ends with status 0 when it serves, and
/// 69 when it does not, does no longer, or does not answer within five seconds.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask only whether it runs, as before it is killed and started again
    #[arg(long)]
    live: bool,
    /// Where it is asked [default: the configuration's `telemetry.address`]
    #[arg(long, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
}

/// What `--output json` prints.
#[derive(Serialize)]
struct Report<'a> {
    address: SocketAddr,
    answer: &'a str,
}

pub(super) fn run(args: &Args, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let address = match args.address {
        Some(address) => address,
        // Nothing else of the configuration counts: a gateway goes on when its file is broken.
        None => source(globals.config_file()).telemetry_address()?,
    };
    let address = reachable(address);
    let (path, good) = if args.live {
        ("/livez", "ok")
    } else {
        ("/readyz", "ready")
    };
    let (status, body) = get(address, path, WITHIN).map_err(Failure::Unavailable)?;
    let answer = body.trim();
    if status != 200 || answer != good {
        let error = anyhow!("the gateway at {address} answers {path} with {status}: {answer}");
        return Err(Failure::Unavailable(error));
    }
    out.show(&Report { address, answer }, answer)?;
    Ok(ExitCode::SUCCESS)
}
