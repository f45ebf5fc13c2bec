//! `keyferry store`: which secrets what is stored depends on, and signing it anew.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;

use super::open::{Operator, operate};
use super::{Failure, Globals, Out};
use crate::key::PepperVersion;
use crate::store::{Epoch, RecordKeyVersion, Reseal, Resealed};

/// The store: which secrets it depends on, and signing its records anew
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show how many records each record key signed, and how many keys need which pepper
    Status,
    /// Sign every record with the first of `store.record_keys` that it did not sign, while
    /// gateways run; can be broken off and done again
    Reseal,
}

/// What `--output json` prints of the status.
#[derive(Serialize)]
struct Status {
    epoch: Epoch,
    records: Signed,
    /// How many keys that can still be used have a digest under each pepper.
    keys_by_pepper: BTreeMap<PepperVersion, u64>,
}

/// Who signed the records.
#[derive(Serialize)]
struct Signed {
    /// The record key that signs now.
    current: Option<RecordKeyVersion>,
    by_key: BTreeMap<RecordKeyVersion, u64>,
    unsigned: u64,
    refused: u64,
}

/// What `--output json` prints of signing anew.
#[derive(Serialize)]
struct Report {
    action: &'static str,
    record_key: RecordKeyVersion,
    written: u64,
    refused: u64,
}

pub(super) fn run(command: Command, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    operate(globals, out, async |operator, out| match command {
        Command::Status => status(operator, out).await,
        Command::Reseal => reseal(operator, out).await,
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn status(operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let found = through(operator, Reseal::Count).await?;
    let records = operator.records().await?;
    let mut keys_by_pepper = BTreeMap::new();
    for (_, key) in records.keys.values() {
        let digest = key.digest.filter(|_| key.usable(operator.now).is_ok());
        if let Some(digest) = digest {
            let keys: &mut u64 = keys_by_pepper.entry(digest.pepper()).or_default();
            *keys = keys.saturating_add(1);
        }
    }
    let status = Status {
        epoch: records.epoch,
        records: Signed {
            current: operator.config.store.record_keys().current(),
            by_key: found.by_key,
            unsigned: found.unsigned,
            refused: found.refused,
        },
        keys_by_pepper,
    };
    out.show(&status, text(&status))
}

fn text(status: &Status) -> String {
    let mut lines = vec![format!("changes so far      {}", status.epoch)];
    let mut line = |what: String, number: u64| lines.push(format!("{what:<20}{number}"));
    let records = &status.records;
    for (key, number) in &records.by_key {
        let is_current = records.current == Some(*key);
        let mark = if is_current { " (current)" } else { "" };
        line(format!("record key {key}{mark}"), *number);
    }
    line("unsigned records".to_owned(), records.unsigned);
    line("refused records".to_owned(), records.refused);
    for (pepper, number) in &status.keys_by_pepper {
        line(format!("keys of pepper {pepper}"), *number);
    }
    lines.join("\n")
}

async fn reseal(operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let Some(record_key) = operator.config.store.record_keys().current() else {
        return Err(Failure::Usage(
            "there is no record key to sign with: name one in store.record_keys".to_owned(),
        ));
    };
    let found = through(operator, Reseal::Write).await?;
    let report = Report {
        action: "resealed",
        record_key,
        written: found.written,
        refused: found.refused,
    };
    let mut text = format!(
        "{} records were signed anew with record key {record_key}",
        found.written
    );
    if found.refused > 0 {
        let refused = format!("; {} are not believed and left as they are", found.refused);
        text.push_str(&refused);
    }
    out.show(&report, text)
}

async fn through(operator: &Operator, reseal: Reseal) -> Result<Resealed, Failure> {
    let found = Resealed::all(operator.store.as_ref(), reseal).await;
    found.map_err(|error| operator.cannot_tell(&error))
}
