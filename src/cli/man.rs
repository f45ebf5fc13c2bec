//! `keyferry man`: the manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::{Cli, Failure, Globals, Out};

/// Write the manual pages, one a command
///
/// For everybody: keyferry man /usr/local/share/man/man1. Afterwards `man keyferry` is the first of them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder that they are written into; it is made when it is missing
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, _: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let folder = &args.folder;
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), folder)
    });
    written.map_err(|error| {
        Failure::Usage(format!(
            "{} cannot be written into: {error}",
            folder.display()
        ))
    })?;
    out.note(format!(
        "next: man -l {}",
        folder.join("keyferry.1").display()
    ));
    Ok(ExitCode::SUCCESS)
}
