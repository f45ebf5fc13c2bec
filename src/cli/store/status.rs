//! `keyferry store status`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::through;
use crate::cli::{Failure, Out};
use crate::key::PepperVersion;
use crate::operation::Operator;
use crate::store::{Epoch, RecordKeyVersion, Reseal};

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

pub(super) async fn run(operator: &Operator, out: &mut Out) -> Result<(), Failure> {
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
            current: operator.settings.store.record_keys().current(),
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
