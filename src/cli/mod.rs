//! The commands. Each has a file of its own with `Args` and `run`.
//!
//! Exit status: 0 done (or nothing to do), 1 refused (there is no such client, certificate or key,
//! or what there is does not allow it; `doctor`: there is an error; `probe`: not everything was refused), 3 done, but no replica of the
//! store has it yet, 64 called wrongly, 65 a file holds something else than it should, 69 something
//! needed does not answer, 70 internal, 78 the configuration is wrong.

mod ask;
mod audit;
mod certificate;
mod check;
mod client;
mod completions;
mod demo;
pub mod development;
mod doctor;
mod explain;
mod failures;
mod health;
mod history;
mod init;
mod key;
mod login;
mod man;
mod observe;
mod open;
mod out;
mod phase;
mod probe;
mod progress;
mod records;
mod reload;
mod run;
mod schema;
mod status;
mod store;
mod table;
mod traffic;
mod verify;
mod view;
mod webhook;
mod what_if;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use out::{Failure, Out, Output};

use crate::config::{Config, Problems, Source};

/// Carries the clients of an API from TLS client certificates to API keys.
#[derive(Debug, Parser)]
#[command(name = "keyferry", version, propagate_version = true)]
#[command(arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub struct Globals {
    /// The configuration [default: `$KEYFERRY_CONFIG`, or keyferry.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How data is printed
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Output,
}

impl Globals {
    /// The file that holds the configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        let named = || std::env::var_os("KEYFERRY_CONFIG").filter(|file| !file.is_empty());
        self.config
            .clone()
            .or_else(|| named().map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("keyferry.toml"))
    }

    /// The configuration, with the overrides of the environment.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn load_config(&self) -> Result<Config, Problems> {
        source(self.config_file()).read().config
    }
}

fn source(file: PathBuf) -> Source {
    let text = |(name, value): (OsString, OsString)| {
        // A value that is no text stays recognizably wrong, instead of being passed over.
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    };
    Source::new(file, std::env::vars_os().filter_map(text))
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Audit(audit::Command),
    #[command(subcommand)]
    Certificate(certificate::Command),
    Check(check::Args),
    #[command(subcommand)]
    Client(client::Command),
    Completions(completions::Args),
    Demo(demo::Args),
    Doctor(doctor::Args),
    Explain(explain::Args),
    Failures(failures::Args),
    Health(health::Args),
    Init(Box<init::Args>),
    #[command(subcommand)]
    Key(key::Command),
    Man(man::Args),
    #[command(subcommand)]
    Observe(observe::Command),
    #[command(subcommand)]
    Phase(phase::Command),
    Probe(probe::Args),
    Reload(reload::Args),
    Run(run::Args),
    Schema(schema::Args),
    Status(status::Args),
    #[command(subcommand)]
    Store(store::Command),
    Verify(Box<verify::Args>),
    #[command(subcommand)]
    Webhook(webhook::Command),
    WhatIf(what_if::Args),
}

/// Runs the command that `args` name, and says with which status the program ends.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Asking for help or the version is no mistake.
            let status = if error.use_stderr() { 64 } else { 0 };
            // There is nobody left to tell when this fails.
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    let mut out = Out::new(cli.globals.output);
    let (globals, out_ref) = (&cli.globals, &mut out);
    let done = match cli.command {
        Command::Audit(command) => audit::run(command, globals, out_ref),
        Command::Certificate(command) => certificate::run(command, globals, out_ref),
        Command::Check(args) => check::run(&args, globals, out_ref),
        Command::Client(command) => client::run(command, globals, out_ref),
        Command::Completions(args) => completions::run(&args, globals, out_ref),
        Command::Demo(args) => demo::run(&args, globals, out_ref),
        Command::Doctor(args) => doctor::run(&args, globals, out_ref),
        Command::Explain(args) => explain::run(&args, globals, out_ref),
        Command::Failures(args) => failures::run(&args, globals, out_ref),
        Command::Health(args) => health::run(&args, globals, out_ref),
        Command::Init(args) => init::run(&args, globals, out_ref),
        Command::Key(command) => key::run(command, globals, out_ref),
        Command::Man(args) => man::run(&args, globals, out_ref),
        Command::Observe(command) => observe::run(&command, globals, out_ref),
        Command::Phase(command) => phase::run(command, globals, out_ref),
        Command::Probe(args) => probe::run(&args, out_ref),
        Command::Reload(args) => reload::run(&args, globals, out_ref),
        Command::Run(args) => run::run(&args, globals, out_ref),
        Command::Schema(args) => schema::run(&args, globals, out_ref),
        Command::Status(args) => status::run(&args, globals, out_ref),
        Command::Store(command) => store::run(command, globals, out_ref),
        Command::Verify(args) => verify::run(*args),
        Command::Webhook(command) => webhook::run(command, globals, out_ref),
        Command::WhatIf(args) => what_if::run(&args, globals, out_ref),
    };
    done.unwrap_or_else(|failure| {
        out.failure(&failure);
        failure.exit_code()
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
