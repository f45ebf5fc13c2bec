//! `keyferry schema`: the JSON Schema of the configuration, or its reference for people.

use std::process::ExitCode;

use super::{Failure, Globals, Out};
use crate::config::{self, file::File};

/// Print the JSON Schema of the configuration, for editors, or every option, for people
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// JSON Schema, draft 2020-12
    #[default]
    Json,
    /// Tables of all options, as in docs/CONFIGURATION.md
    Markdown,
}

pub(super) fn run(args: &Args, _: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    match args.format {
        Format::Json => out.json(&File::schema())?,
        Format::Markdown => out.line(config::reference().trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}
