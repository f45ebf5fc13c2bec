//! `keyferry completions`: what makes a shell complete the commands.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Failure, Globals, Out};

const WHERE: &str = "\
bash: keyferry completions bash > /etc/bash_completion.d/keyferry
zsh:  keyferry completions zsh > \"${fpath[1]}/_keyferry\"
fish: keyferry completions fish > ~/.config/fish/completions/keyferry.fish";

/// Print the script by which a shell completes the commands and their options
#[derive(Debug, clap::Args)]
#[command(after_help = WHERE)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, _: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "keyferry", &mut script);
    out.line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
