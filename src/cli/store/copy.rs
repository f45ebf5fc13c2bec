//! `keyferry store copy`: a backup that is restored at once.

use std::io::{BufWriter, IntoInnerError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::restore::{restore, tell};
use super::{backup, secrets};
use crate::cli::{Failure, Out, open, source};
use crate::operation::{Edit, Operator};
use crate::store::backup::{Backup, Revocations};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The configuration whose store gets everything
    #[arg(long, value_name = "CONFIG")]
    to: PathBuf,
    #[command(flatten)]
    edit: Edit,
}

pub(super) async fn run(
    args: &Args,
    operator: &Operator,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let config = source(args.to.clone()).read().config?;
    if config.store.to_string() == operator.settings.store.to_string() {
        let why = format!("both configurations have the same store: {}", config.store);
        return Err(Failure::Usage(why));
    }
    // It has no name, and goes with the process.
    let file = tempfile::tempfile().context("cannot make a temporary file")?;
    let (to, made) = backup::write(operator, BufWriter::new(file)).await?;
    let file = to.into_inner().map_err(IntoInnerError::into_error);
    let file = file.context("cannot write a temporary file")?;
    let name = Path::new("the copy");
    let backup = Backup::of(file, name, &secrets(&operator.settings))?;
    let target = open::operator(&config).await?;
    let report = restore(
        &target,
        &backup,
        Revocations::default(),
        &args.edit,
        "copied",
    )
    .await?;
    let is_all = backup::tell(&made, out);
    let status = tell(&report, &target, out)?;
    target.tell_replicas(out)?;
    Ok(if is_all { status } else { ExitCode::FAILURE })
}
