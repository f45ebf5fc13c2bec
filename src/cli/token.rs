//! `keyferry token`.

use std::process::ExitCode;

use serde::Serialize;

use super::{Failure, Globals, Out};
use crate::admin::Token;
use crate::operation::Role;
use crate::secret::Secret;

/// Make a token for the admin API, and show it once
///
/// The token alone goes to standard output. The configuration gets the lines that go to standard error,
/// with no more than its SHA-256; a running gateway takes them over.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Who gets it, for the record of changes: 1 to 64 characters of a-z 0-9 . _ -
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// How much may be done by it
    #[arg(long, value_enum)]
    role: Role,
}

#[derive(Serialize)]
struct Report<'a> {
    name: &'a str,
    role: Role,
    token: &'a str,
    sha256: String,
}

pub(super) fn run(args: &Args, _: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let (token, digest) = Token::make().map_err(anyhow::Error::from)?;
    let (name, role, sha256) = (&args.name, args.role, hex::encode(digest));
    let lost = "it is worth nothing until the configuration has it; make another one".to_owned();
    if out.is_json() {
        let token = token.expose();
        let report = Report {
            name,
            role,
            token,
            sha256,
        };
        let text = serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?;
        out.secret(Secret::new(text), lost)?;
    } else {
        let role = serde_json::to_string(&role).map_err(anyhow::Error::from)?;
        out.note(format!(
            "for the configuration:\n\n[[admin.tokens]]\nname = \"{name}\"\nrole = {role}\nsha256 = \
             \"{sha256}\"\n\nthis is the only time that the token is shown:"
        ));
        out.secret(token, lost)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("write 1 to 64 characters of a-z 0-9 . _ -".to_owned())
    }
}
