//! `keyferry store backup`.

use std::fs::File;
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use tempfile::NamedTempFile;

use super::secrets;
use crate::cli::{Failure, Out};
use crate::operation::audit::verify::MOST_TOLD;
use crate::operation::{Bar, Operator};
use crate::store::Epoch;
use crate::store::backup::{Contents, Made, NotMade, make};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The file to make, for its owner only; `-` for standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What `--output json` prints.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    #[serde(flatten)]
    made: Made,
}

pub(super) async fn run(
    args: &Args,
    operator: &Operator,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let file = &args.file;
    let failed = || format!("cannot write {}", file.display());
    let made = if file.as_os_str() == "-" {
        write(operator, BufWriter::new(io::stdout())).await?.1
    } else {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if file.try_exists().with_context(failed)? {
            let why = format!("{} exists; name a new file", file.display());
            return Err(Failure::Usage(why));
        }
        let new = NamedTempFile::new_in(folder).with_context(failed)?;
        let (to, made) = write(operator, BufWriter::new(new)).await?;
        let new = to.into_inner().map_err(IntoInnerError::into_error);
        let new = new.with_context(failed)?;
        new.as_file().sync_all().with_context(failed)?;
        new.persist_noclobber(file).with_context(failed)?;
        let folder = File::open(folder).and_then(|folder| folder.sync_all());
        folder.with_context(failed)?;
        made
    };
    let status = ExitCode::from(u8::from(!tell(&made, out)));
    let report = Report { file, made };
    let text = text(&report);
    if file.as_os_str() == "-" {
        out.note(text);
    } else {
        out.show(&report, text)?;
    }
    Ok(status)
}

/// Writes everything that the store holds.
pub(super) async fn write<W: Write + Send>(
    operator: &Operator,
    mut to: W,
) -> Result<(W, Made), Failure> {
    let config = &operator.settings;
    let (store, name) = (operator.store.as_ref(), config.store.to_string());
    let head = store.head().await;
    let head = head.map_err(|error| operator.cannot_tell(&error))?;
    if head.epoch == Epoch::NONE {
        return Err(Failure::Refused(nothing_in(&name)));
    }
    let bar = operator.bar(|| Bar::of_bytes("writing"));
    let written = bar.writing(&mut to);
    let made = make(store, &name, &secrets(config), operator.now, written).await;
    let (_, made) = made.map_err(|error| match error {
        NotMade::Store(error) => operator.cannot_tell(&error),
        NotMade::Io(_) => Failure::Internal(error.into()),
    })?;
    Ok((to, made))
}

/// What to say of a store that nobody ever wrote to: most likely it is not the one that is meant.
pub(super) fn nothing_in(store: &str) -> String {
    format!(
        "nothing was ever written to this store ({store}); see that the configuration names the right one"
    )
}

fn text(report: &Report<'_>) -> String {
    let Made { head, contents, .. } = &report.made;
    format!(
        "{} is in {}, as of change {}",
        summary(contents),
        report.file.display(),
        head.epoch
    )
}

/// Tells what is left out; whether nothing is.
pub(super) fn tell(made: &Made, out: &mut Out) -> bool {
    for what in made.left_out.iter().take(MOST_TOLD) {
        out.note(format!("left out: {what}"));
    }
    let left_out = made.left_out.len();
    if left_out > 0 {
        out.note(format!("{left_out} left out in all"));
    }
    left_out == 0
}

/// What is in a backup, in a few words.
pub(super) fn summary(contents: &Contents) -> String {
    let mut parts: Vec<_> = contents
        .records
        .iter()
        .map(|(kind, number)| format!("{kind} records: {number}"))
        .collect();
    parts.push(format!("days with requests: {}", contents.days));
    parts.join(", ")
}
