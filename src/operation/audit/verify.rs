//! `keyferry audit verify`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::each_event;
use crate::operation::Operator;
use crate::operation::history::Written;
use crate::operation::{Failure, Out};
use crate::store::{Epoch, Event, EventHash, Head, RecordId, RecordKeys, StoredEvent};

/// How many things that are wrong are told.
pub(crate) const MOST_TOLD: usize = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check an export instead of the store
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// What `--output json` prints.
#[derive(Default, Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    ok: bool,
    events: u64,
    /// From which change on none is missing; none when there is none.
    whole_from: Option<Epoch>,
    /// The last change, and the hash of its event.
    last: Option<Head>,
    /// How many records are older than all events that are kept, so that nothing tells of them.
    unchecked: u64,
    /// What is wrong, as far as it is told.
    pub(crate) wrong: Vec<String>,
    /// How much is wrong.
    pub(crate) wrong_in_all: u64,
}

/// The events so far, and what each record should be by now.
#[derive(Default)]
struct Walk {
    report: Report,
    written: BTreeMap<RecordId, Written>,
}

impl Args {
    /// Checks the export that is named, if one is: that needs no store. Gives the status of a command
    /// that does it.
    pub(crate) fn without_store(
        &self,
        keys: &RecordKeys,
        out: &mut Out,
    ) -> Option<Result<u8, Failure>> {
        let file = self.file.as_deref()?;
        Some(of_file(file, keys).and_then(|report| show(&report, out)))
    }
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<u8, Failure> {
    let keys = operator.settings.store.record_keys();
    match args.without_store(keys, out) {
        Some(done) => done,
        None => show(&of_store(operator).await?, out),
    }
}

fn show(report: &Report, out: &mut Out) -> Result<u8, Failure> {
    out.show(report, text(report))?;
    Ok(u8::from(!report.ok))
}

fn of_file(file: &Path, keys: &RecordKeys) -> Result<Report, Failure> {
    let failed = || format!("cannot read {}", file.display());
    let mut walk = Walk::default();
    for line in BufReader::new(File::open(file).with_context(failed)?).lines() {
        let stored = line.with_context(failed)?;
        let next = walk.report.last.unwrap_or_default().epoch.next();
        let epoch = Event::epoch_of(&stored).unwrap_or(next);
        walk.take(&StoredEvent { epoch, stored }, keys);
    }
    Ok(walk.end())
}

pub(crate) async fn of_store(operator: &Operator) -> Result<Report, Failure> {
    let keys = operator.settings.store.record_keys();
    let mut walk = Walk::default();
    let head = operator.head().await?;
    each_event(operator, |event| {
        walk.take(&event, keys);
        Ok(())
    })
    .await?;
    // More changes may have been made meanwhile.
    let last = walk.report.last.unwrap_or_default();
    if last.is_not_after(&head) {
        let Head { epoch, hash } = head;
        walk.wrong(format!(
            "the last change is not there: {epoch}, whose hash is {hash}"
        ));
    }
    let (records, refused) = operator.written().await?;
    for refused in refused {
        walk.wrong(refused);
    }
    walk.compare(&records, operator.head().await?.epoch);
    Ok(walk.end())
}

impl Walk {
    fn wrong(&mut self, what: String) {
        let report = &mut self.report;
        report.wrong_in_all = report.wrong_in_all.saturating_add(1);
        if report.wrong.len() < MOST_TOLD {
            report.wrong.push(what);
        }
    }

    /// Holds the records of a store, in which there are changes up to `newest` by now, against what
    /// the events say.
    fn compare(&mut self, records: &BTreeMap<RecordId, Written>, newest: Epoch) {
        let told_of = std::mem::take(&mut self.written);
        for (id, told) in &told_of {
            let version = told.by;
            match records.get(id) {
                None => self.wrong(format!("{id} is missing; change {version} wrote it")),
                Some(found) if found.by < version => self.wrong(format!(
                    "{id} is as change {} left it; change {version} wrote it later",
                    found.by
                )),
                Some(found) if found.by == version && found != told => {
                    self.wrong(format!("{id} is not what change {version} made of it"));
                }
                Some(_) => {}
            }
        }
        let (from, last) = (self.report.whole_from, self.report.last);
        let last = last.map_or(Epoch::NONE, |last| last.epoch);
        for (id, found) in records {
            let by = found.by;
            if by > newest {
                self.wrong(format!(
                    "{id} is said to be of change {by}, and there is none"
                ));
            } else if last == Epoch::NONE || (by <= last && !told_of.contains_key(id)) {
                if from.is_some_and(|from| by < from) {
                    self.report.unchecked = self.report.unchecked.saturating_add(1);
                } else {
                    self.wrong(format!("no change tells of {id}, which is of change {by}"));
                }
            }
        }
    }

    fn take(&mut self, StoredEvent { epoch, stored }: &StoredEvent, keys: &RecordKeys) {
        self.report.events = self.report.events.saturating_add(1);
        let before = self.report.last;
        let bytes = stored.as_bytes();
        let event = match Event::decode(*epoch, bytes, keys) {
            Ok(event) => event,
            Err(refused) => {
                let hash = EventHash::of(bytes);
                self.report.last = Some(Head {
                    epoch: *epoch,
                    hash,
                });
                self.report.whole_from = None;
                return self.wrong(refused.to_string());
            }
        };
        self.report.last = Some(before.unwrap_or_default().after(&event, bytes));
        match before {
            Some(before) if before.epoch.next() != *epoch => {
                self.report.whole_from = None;
                self.wrong(format!(
                    "what was between change {} and {epoch} is missing",
                    before.epoch
                ));
            }
            Some(before) if event.before.is_some_and(|it| it != before.hash) => {
                self.report.whole_from = None;
                self.wrong(format!(
                    "change {epoch} did not follow on the one that is before it"
                ));
            }
            _ => {}
        }
        self.report.whole_from.get_or_insert(*epoch);
        for record in &event.records {
            self.written
                .insert(record.id(), Written::new(*epoch, record));
        }
    }

    fn end(mut self) -> Report {
        self.report.ok = self.report.wrong_in_all == 0;
        self.report
    }
}

fn text(report: &Report) -> String {
    let mut lines = report.wrong.clone();
    let told = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    if report.wrong_in_all > told {
        lines.push(format!(
            "and {} more",
            report.wrong_in_all.saturating_sub(told)
        ));
    }
    if report.unchecked > 0 {
        lines.push(format!(
            "{} records are older than every event that is kept: only their MACs were checked",
            report.unchecked
        ));
    }
    lines.push(match (report.last, report.whole_from) {
        (Some(last), Some(from)) => format!(
            "whole from change {from} to {}, whose hash is {}",
            last.epoch, last.hash
        ),
        (Some(last), None) => format!("change {} is the last, and not believed", last.epoch),
        (None, _) => "there are no changes".to_owned(),
    });
    lines.join("\n")
}
