//! `keyferry audit export`.

use std::fs::OpenOptions;
use std::io::{BufWriter, IntoInnerError, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use super::each_event;
use crate::operation::Operator;
use crate::operation::{Failure, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to make. It holds digests of keys, so only its owner may read it
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a PathBuf,
    events: u64,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let failed = || format!("cannot write {}", args.file.display());
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.file);
    let mut file = BufWriter::new(file.with_context(failed)?);
    let mut events = 0u64;
    each_event(operator, |event| {
        events = events.saturating_add(1);
        let line = file.write_all(event.stored.as_bytes());
        line.and_then(|()| file.write_all(b"\n"))
            .with_context(failed)?;
        Ok(())
    })
    .await?;
    let file = file.into_inner().map_err(IntoInnerError::into_error);
    file.and_then(|file| file.sync_all()).with_context(failed)?;
    let report = Report {
        file: &args.file,
        events,
    };
    let text = format!("{events} changes are in {}", args.file.display());
    out.show(&report, text)
}
