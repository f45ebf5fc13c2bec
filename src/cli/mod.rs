//! The commands. Each has a file of its own with `Args` and `run`.
//!
//! Exit status: 0 done (or nothing to do), 1 refused (there is no such client, certificate or key,
//! or what there is does not allow it; `doctor`: there is an error; `probe`: not everything was refused), 3 done, but no replica of the
//! store has it yet, 64 called wrongly, 65 a file holds something else than it should, 69 something
//! needed does not answer, 70 internal, 78 the configuration is wrong.

mod ask;
mod check;
mod completions;
mod demo;
pub mod development;
mod failures;
mod health;
mod import;
mod init;
mod login;
mod man;
mod observe;
mod open;
mod probe;
mod reload;
mod remote;
mod run;
mod schema;
mod store;
mod token;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Config, Problems, Source};
use crate::operation::{Failure, Operation, Out, Output, audit};
use remote::Server;

/// Carries the clients of an API from TLS client certificates to API keys.
#[derive(Debug, Parser)]
#[command(name = "keyferry", version, propagate_version = true)]
#[command(arg_required_else_help = true, next_display_order = None)]
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
    #[command(flatten)]
    remote: remote::Args,
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

    /// The gateway that does it in the place of this program, if one is to.
    fn server(&self) -> Result<Option<Server>, Failure> {
        self.remote.server(self.config.is_some())
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
    #[command(flatten)]
    Operation(Operation),
    Check(check::Args),
    Completions(completions::Args),
    Demo(demo::Args),
    Failures(failures::Args),
    Health(health::Args),
    Import(import::Args),
    Init(Box<init::Args>),
    Man(man::Args),
    #[command(subcommand)]
    Observe(observe::Command),
    Probe(probe::Args),
    Reload(reload::Args),
    Run(run::Args),
    Schema(schema::Args),
    #[command(subcommand)]
    Store(store::Command),
    Token(token::Args),
    Verify(Box<verify::Args>),
}

/// Runs the command that `args` name, and says with which status the program ends.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = Cli::command().try_get_matches_from(args);
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
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
        command if globals.remote.is_given() && !command.is_done_by_a_gateway() => {
            Err(Failure::Usage(
                "this is not done by the admin API; run it where the gateway's configuration is, without \
                 --server"
                    .to_owned(),
            ))
        }
        Command::Operation(operation) => operate(operation, &matches, globals, out_ref),
        Command::Check(args) => check::run(&args, globals, out_ref),
        Command::Completions(args) => completions::run(&args, globals, out_ref),
        Command::Demo(args) => demo::run(&args, globals, out_ref),
        Command::Failures(args) => failures::run(&args, globals, out_ref),
        Command::Health(args) => health::run(&args, globals, out_ref),
        Command::Import(args) => import::run(&args, globals, out_ref),
        Command::Init(args) => init::run(&args, globals, out_ref),
        Command::Man(args) => man::run(&args, globals, out_ref),
        Command::Observe(command) => observe::run(&command, globals, out_ref),
        Command::Probe(args) => probe::run(&args, out_ref),
        Command::Reload(args) => reload::run(&args, globals, out_ref),
        Command::Run(args) => run::run(&args, globals, out_ref),
        Command::Schema(args) => schema::run(&args, globals, out_ref),
        Command::Store(command) => store::run(command, globals, out_ref),
        Command::Token(args) => token::run(&args, globals, out_ref),
        Command::Verify(args) => verify::run(*args),
    };
    done.unwrap_or_else(|failure| {
        out.failure(&failure);
        failure.exit_code()
    })
}

impl Command {
    /// Whether a gateway can do it in the place of this program.
    const fn is_done_by_a_gateway(&self) -> bool {
        matches!(
            self,
            Self::Operation(_) | Self::Failures(_) | Self::Observe(_) | Self::Reload(_)
        )
    }
}

/// Does `operation` on the store of the configuration, or has a gateway do it.
fn operate(
    operation: Operation,
    matches: &ArgMatches,
    globals: &Globals,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    if let Some(server) = globals.server()? {
        return match &operation {
            Operation::Letter(args) => remote::letters(&server, matches, args, out),
            _ => remote::operate(&server, matches, out),
        };
    }
    if let Operation::Audit(audit::Command::Verify(args)) = &operation {
        let config = globals.load_config()?;
        if let Some(done) = args.without_store(config.store.record_keys(), out) {
            return done.map(ExitCode::from);
        }
    }
    if let Operation::Doctor(args) = &operation {
        let done = args.here(&source(globals.config_file()), out);
        return done.map(ExitCode::from);
    }
    if let Operation::Explain(args) = &operation {
        let done = args.here(|| globals.load_config(), out);
        return done.map(ExitCode::from);
    }
    let status = open::operate(globals, out, async |operator, out| {
        operation.run(operator, out).await
    })?;
    Ok(ExitCode::from(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
