//! `keyferry schema`: the JSON Schema of the configuration, its reference for people, or the admin API.

use std::process::ExitCode;

use super::{Failure, Globals, Out};
use crate::admin;
use crate::config::{self, file::File};

/// Print the JSON Schema of the configuration, for editors, every option, for people, or the admin API
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
    /// The admin API as OpenAPI 3.1, as in docs/openapi.json
    Openapi,
    /// Tables of all options, as in docs/CONFIGURATION.md
    Markdown,
}

pub(super) fn run(args: &Args, _: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    match args.format {
        Format::Json => out.json(&File::schema())?,
        Format::Openapi => out.json(&admin::openapi())?,
        Format::Markdown => out.line(config::reference().trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}
