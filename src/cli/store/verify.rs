//! `keyferry store verify`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::backup::{nothing_in, summary};
use super::references::References;
use super::secrets;
use crate::cli::open::operate;
use crate::cli::{Failure, Globals, Out};
use crate::client::ClientId;
use crate::config::StoreSettings;
use crate::operation::audit::verify::{MOST_TOLD, of_store};
use crate::operation::{Operator, Settings};
use crate::store::backup::{Backup, BackupError, Contents, Line};
use crate::store::embedded::{OpenError, check};
use crate::store::{Epoch, Head, Loaded, RecordId, Selection, StoreError, Versioned};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A backup to check, instead of the store
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// What `--output json` prints.
#[derive(Default, Serialize)]
struct Report {
    ok: bool,
    /// Where the history stands, or stood when the backup was made.
    head: Head,
    contents: Contents,
    /// Whether the embedded store's file was checked by itself: only while nobody has it open.
    #[serde(skip_serializing_if = "Option::is_none")]
    file_checked: Option<bool>,
    /// What is wrong, as far as it is told.
    wrong: Vec<String>,
    /// How much is wrong.
    wrong_in_all: u64,
}

pub(super) fn run(args: &Args, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    let mut report = Report::default();
    if let Some(file) = &args.file {
        let config = globals.load_config()?;
        match Backup::open(file, &secrets(&Settings::from(&config))) {
            Ok(backup) => report.backup(&backup)?,
            Err(error @ BackupError::Io { .. }) => return Err(error.into()),
            Err(error) => report.wrong(error.to_string()),
        }
    } else if report.file(&globals.load_config()?.store) {
        operate(globals, out, async |operator, _| {
            report.store(operator).await
        })?;
    }
    report.ok = report.wrong_in_all == 0;
    out.show(&report, text(&report))?;
    Ok(ExitCode::from(u8::from(!report.ok)))
}

impl Report {
    fn wrong(&mut self, what: String) {
        self.wrong_in_all = self.wrong_in_all.saturating_add(1);
        if self.wrong.len() < MOST_TOLD {
            self.wrong.push(what);
        }
    }

    /// Checks the embedded store's file; whether it can be used.
    fn file(&mut self, store: &StoreSettings) -> bool {
        let StoreSettings::Embedded(settings) = store else {
            return true;
        };
        let checked = check(&settings.path);
        let is_in_use = matches!(checked, Err(OpenError::InUse { .. }));
        self.file_checked = Some(!is_in_use);
        match checked {
            Err(error) if !is_in_use => {
                self.wrong(error.to_string());
                false
            }
            Ok(()) | Err(_) => true,
        }
    }

    fn missing(&mut self, id: &RecordId, named: &RecordId) {
        self.wrong(format!("{id} names {named}, which is missing"));
    }

    fn foreign(&mut self, references: &References) {
        for (id, named) in references.foreign() {
            self.wrong(format!("{id} names {named}, which is another client's"));
        }
    }

    fn backup(&mut self, backup: &Backup) -> Result<(), Failure> {
        let mut references = References::default();
        for line in backup.lines()? {
            match line? {
                Line::Record { record, .. } => references.take(&record),
                Line::LeftOut { what } => self.wrong(format!("left out: {what}")),
                Line::Sighting { .. } | Line::Use { .. } | Line::Days { .. } => {}
            }
        }
        (self.head, self.contents) = (backup.header().head, backup.contents().clone());
        for (id, named) in references.missing() {
            self.missing(id, named);
        }
        self.foreign(&references);
        Ok(())
    }

    async fn store(&mut self, operator: &Operator) -> Result<(), Failure> {
        let mut references = References::default();
        let contents = &mut self.contents;
        let mut each = |loaded: Loaded| {
            // What is not believed is among what the chain of changes tells.
            if let Ok(Versioned { version, record }) = loaded {
                references.take(&record);
                let record = Box::new(record);
                contents.count(&Line::Record { version, record });
            }
        };
        let loaded = operator.store.load(&mut each).await;
        self.head = loaded.map_err(|error| operator.cannot_tell(&error))?;
        if self.head.epoch == Epoch::NONE {
            self.wrong(nothing_in(&operator.settings.store.to_string()));
        }
        for (id, named) in references.missing() {
            // It may have come while the others were read.
            if let Ok(None) = operator.store.get(named).await {
                self.missing(id, named);
            }
        }
        self.foreign(&references);
        self.index(operator, &references).await?;
        let chain = of_store(operator).await?;
        let untold = chain.wrong_in_all;
        let told = u64::try_from(chain.wrong.len()).unwrap_or(u64::MAX);
        chain.wrong.into_iter().for_each(|what| self.wrong(what));
        let untold = untold.saturating_sub(told);
        self.wrong_in_all = self.wrong_in_all.saturating_add(untold);
        Ok(())
    }

    /// Whether everything that is a client's is found by asking for what is the client's.
    async fn index(&mut self, operator: &Operator, references: &References) -> Result<(), Failure> {
        for (client, own) in references.owned() {
            let which = Selection::OwnedBy(client.clone());
            let found: Vec<_> = match operator.store.select(&which).await {
                Ok(found) => found.iter().map(|found| found.record.id()).collect(),
                // What is not believed is told of elsewhere.
                Err(StoreError::Refused(_)) => continue,
                Err(StoreError::Unreadable(damaged)) => {
                    self.wrong(damaged.to_string());
                    continue;
                }
                Err(error) => return Err(operator.cannot_tell(&error)),
            };
            for id in own.into_iter().filter(|id| !found.contains(id)) {
                if is_still(operator, id, client).await? {
                    self.wrong(format!(
                        "{id} is not in the index of what is the client's {client}: commands do \
                         not see it"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether the record is the client's by now: others may have changed it.
async fn is_still(operator: &Operator, id: &RecordId, of: &ClientId) -> Result<bool, Failure> {
    match operator.store.get(id).await {
        Ok(found) => Ok(found.is_some_and(|found| found.record.owner() == Some(of))),
        Err(StoreError::Refused(_)) => Ok(false),
        Err(error) => Err(operator.cannot_tell(&error)),
    }
}

fn text(report: &Report) -> String {
    let mut lines = report.wrong.clone();
    let told = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    if report.wrong_in_all > told {
        let more = report.wrong_in_all.saturating_sub(told);
        lines.push(format!("and {more} more"));
    }
    if report.file_checked == Some(false) {
        lines.push("a gateway has the file open: the file by itself was not checked".to_owned());
    }
    let contents = summary(&report.contents);
    let end = match report.wrong_in_all {
        0 => format!("whole as of change {}: {contents}", report.head.epoch),
        wrong => format!("{wrong} things are wrong; {contents}"),
    };
    lines.push(end);
    lines.join("\n")
}
