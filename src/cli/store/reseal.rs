//! `keyferry store reseal`.

use serde::Serialize;

use super::through;
use crate::cli::{Failure, Out};
use crate::operation::Operator;
use crate::store::{RecordKeyVersion, Reseal};

/// What `--output json` prints of signing anew.
#[derive(Serialize)]
struct Report {
    action: &'static str,
    record_key: RecordKeyVersion,
    written: u64,
    refused: u64,
}

pub(super) async fn run(operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let Some(record_key) = operator.settings.store.record_keys().current() else {
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
