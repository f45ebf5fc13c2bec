//! `keyferry demo`: a migration from start to end, with real programs and real requests.

mod scene;
mod stop;
mod story;
mod teller;

use std::net::SocketAddr;
use std::process::ExitCode;

use super::{Failure, Globals, Out};
use crate::server;

/// Show a migration from certificate to key, on this machine and with real requests
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End after the story, instead of staying up to be tried
    #[arg(long)]
    once: bool,
    /// Only be the backends of the story: one that answers with what it was sent, and an old one
    #[arg(long, hide = true, value_name = "ADDRESS", num_args = 2)]
    backends: Vec<SocketAddr>,
}

pub(super) fn run(args: &Args, _: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    if let [echoing, old] = args.backends[..] {
        server::echo(echoing, old);
        return Ok(ExitCode::SUCCESS);
    }
    play(args.once, out).map_err(|error| match error.downcast_ref() {
        Some(stop::Stopped) => Failure::Refused(error.to_string()),
        None => error.into(),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn play(once: bool, out: &mut Out) -> anyhow::Result<()> {
    let mut stop = stop::Stop::watch()?;
    let scene = scene::Scene::set(&mut stop)?;
    story::tell(&scene, &mut stop, out)?;
    if !once {
        out.line(story::farewell(&scene))?;
        stop.wait();
    }
    Ok(())
}
