//! `keyferry store restore`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;

use super::secrets;
use crate::cli::{Failure, Out};
use crate::operation::{Bar, Edit, Operator};
use crate::store::backup::{self, Backup, NotRestored, Order, Restored, Revocations};
use crate::store::{Action, Change, Event, Head, Origin, RecordKeys, StoreError};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// An export of changes (`keyferry audit export`), later than the backup: what it says was
    /// revoked is revoked
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    #[command(flatten)]
    edit: Edit,
}

/// What `--output json` prints.
#[derive(Serialize)]
pub(super) struct Report {
    action: &'static str,
    changed: bool,
    dry_run: bool,
    #[serde(flatten)]
    restored: Restored,
}

pub(super) async fn run(
    args: &Args,
    operator: &Operator,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let backup = Backup::open(&args.file, &secrets(&operator.settings))?;
    let keys = operator.settings.store.record_keys();
    let revocations = match &args.audit {
        Some(file) => revocations(file, keys)?,
        None => Revocations::default(),
    };
    let report = restore(operator, &backup, revocations, &args.edit, "restored").await?;
    let status = tell(&report, operator, out)?;
    let left_out = backup.contents().left_out;
    if left_out == 0 {
        return Ok(status);
    }
    out.note(format!(
        "{left_out} left out when the backup was made, and so not restored: keyferry store verify {}",
        args.file.display()
    ));
    Ok(ExitCode::FAILURE)
}

/// What an export of changes says was revoked last.
fn revocations(file: &Path, keys: &RecordKeys) -> Result<Revocations, Failure> {
    let failed = || format!("cannot read {}", file.display());
    let (mut revocations, mut last) = (Revocations::default(), None::<Head>);
    for line in BufReader::new(File::open(file).with_context(failed)?).lines() {
        let stored = line.with_context(failed)?;
        let epoch = Event::epoch_of(&stored).unwrap_or_default();
        let wrong = |what: String| {
            let file = file.display();
            Failure::Data(format!(
                "{file}: {what}; see: keyferry audit verify --file {file}"
            ))
        };
        let event = Event::decode(epoch, stored.as_bytes(), keys);
        let event = event.map_err(|refused| wrong(refused.to_string()))?;
        // In another order, or without some, authentic events say that what was revoked is not.
        if last.is_some_and(|last| !last.leads_to(&event)) {
            let what = format!("change {epoch} does not follow on the one before it");
            return Err(wrong(what));
        }
        last = Some(last.unwrap_or_default().after(&event, stored.as_bytes()));
        revocations.take(event);
    }
    Ok(revocations)
}

/// Brings everything of a backup into the operator's store.
pub(super) async fn restore(
    operator: &Operator,
    backup: &Backup,
    revocations: Revocations,
    edit: &Edit,
    action: &'static str,
) -> Result<Report, Failure> {
    expect_peppers(operator, backup)?;
    let (actor, now) = (operator.actor.clone(), operator.now);
    let like = Change::new(Action::StoreRestoring, actor, now, Vec::new());
    let order = Order {
        like: like
            .because(edit.reason.clone())
            .caused_from(Origin::here()),
        today: now.day(),
        is_dry: edit.dry_run,
        record_keys: operator.settings.store.record_keys(),
        revocations,
    };
    let bar = operator.bar(|| Bar::new("restoring", backup.number_of_lines()));
    let done = |lines| bar.advance(lines);
    let restored = backup::restore(backup, operator.store.as_ref(), order, done).await;
    let restored = restored.map_err(|error| match error {
        NotRestored::Backup(error) => error.into(),
        NotRestored::Store(StoreError::Unavailable(why)) => Failure::Unavailable(anyhow::anyhow!(
            "{why} (store: {}); do it again: what was done stays, and is not done twice",
            operator.settings.store
        )),
        NotRestored::Store(error) => operator.cannot_tell(&error),
    })?;
    operator.note_replicas(restored.replicas);
    let changes = [restored.added, restored.revoked, restored.advanced];
    Ok(Report {
        action,
        changed: changes.iter().any(|number| *number > 0),
        dry_run: edit.dry_run,
        restored,
    })
}

/// Keys whose pepper is not known could never be used.
fn expect_peppers(operator: &Operator, backup: &Backup) -> Result<(), Failure> {
    let (there, here) = (
        &backup.header().peppers,
        secrets(&operator.settings).checks(),
    );
    for (pepper, keys) in &backup.contents().keys_by_pepper {
        // One that was not known there either is no loss.
        if there.contains_key(pepper) && there.get(pepper) != here.get(pepper) {
            return Err(Failure::Refused(format!(
                "{keys} keys need pepper {pepper}, which the configuration of {} does not have, or \
                 has another of; add it to [[key.pepper]] at every gateway first",
                operator.settings.store
            )));
        }
    }
    Ok(())
}

/// Says what was done, and what is left.
pub(super) fn tell(
    report: &Report,
    operator: &Operator,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let restored = &report.restored;
    for id in &restored.anothers {
        out.note(format!("{id} is another client's in the store, and stays"));
    }
    for target in &restored.phases_left {
        out.note(format!(
            "the phases of {target} are left as they are in the store, and differ: look with \
             keyferry phase show, and set what is meant"
        ));
    }
    for id in &restored.refused {
        out.note(format!(
            "{id} in the store is not believed, and in the way: docs/STORE.md"
        ));
    }
    if restored.damaged > 0 {
        let damaged = restored.damaged;
        out.note(format!(
            "{damaged} entries of what was seen are damaged in the store, and stay"
        ));
    }
    let word = if report.dry_run { "would be " } else { "" };
    let text = format!(
        "{}: {} records {word}added, {} revoked, {} brought further; {} stay as the store has them, \
         {} are the same",
        operator.settings.store,
        restored.added,
        restored.revoked,
        restored.advanced,
        restored.stay,
        restored.same
    );
    out.show(report, text)?;
    Ok(ExitCode::from(u8::from(!restored.is_whole())))
}
