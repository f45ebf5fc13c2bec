//! `keyferry phase undo`.

use crate::cli::open::{Edit, Operator};
use crate::cli::records::Records;
use crate::cli::{Failure, Out};
use crate::phase::{self, PhaseRecord, Target};
use crate::store::{Action, Epoch, Record};

use super::aim::MaybeAim;
use super::set::{concerned, read};
use super::show::{Report, SettingView};

/// Take the last change back: what was set before holds again, exactly as it was
///
/// Without a target, the most recent change of all. Repeat it to go further back.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    aim: MaybeAim,
    #[command(flatten)]
    edit: Edit,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let decide = async || {
        let records = operator.records().await?;
        let (version, record) = find(args, &records)?;
        let target = record.target.clone();
        let change = phase::undo((version, record), operator.actor.clone(), operator.now);
        let change = change.map_err(|error| Failure::Refused(error.to_string()))?;
        let clients = concerned(&target, &change, &records, operator).await?;
        let restored = change.writes.iter().find_map(|write| match &write.record {
            Record::Phase(record) => record.present(),
            _ => None,
        });
        let setting = restored.map(|setting| SettingView::of(setting, operator.now));
        Ok((Some(change), (target, setting, clients)))
    };
    let done = operator
        .change(Action::PhaseUndone, &args.edit, decide)
        .await?;
    let (did, (target, setting, clients)) = done;
    let report = Report {
        did,
        target: &target,
        setting,
        clients,
    };
    report.show("", operator, out)
}

/// The record whose setting is to be taken back.
fn find(args: &Args, records: &Records) -> Result<(Epoch, PhaseRecord), Failure> {
    let nothing = |target: Target| Failure::Refused(phase::NothingToUndo(target).to_string());
    if let Some(target) = args.aim.target() {
        return read(records, &target).ok_or_else(|| nothing(target));
    }
    let set = records.phases.values();
    let last = set.filter_map(|(version, record)| {
        let present = record.present()?;
        Some(((present.since, *version), record))
    });
    let last = last.max_by_key(|(when, _)| *when);
    let ((_, version), record) = last.ok_or_else(|| nothing(Target::All))?;
    Ok((version, record.clone()))
}
