//! `keyferry phase undo`.

use crate::operation::progress::Progress;
use crate::operation::records::Records;
use crate::operation::{Edit, Operator};
use crate::operation::{Failure, Out};
use crate::phase::{self, Phase, PhaseRecord, Proposal, Step, Target};
use crate::store::{Action, Actor, Epoch, Reason, Record};

use super::aim::{Force, MaybeAim, arguments};
use super::brownout::told;
use super::outlook::Outlook;
use super::set::{read, still_calling};
use super::show::{Report, SettingView};

/// Take the last change back: what was set before holds again, exactly as it was
///
/// Without a target, the most recent change of all. Repeat it to go further back. What refuses more
/// than what holds now comes back only as it would be set: with notice, or with --force.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    aim: MaybeAim,
    #[command(flatten)]
    force: Force,
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
        let progress = operator.progress(&records).await?;
        let after = Outlook::after(&records, &change);
        let objections = objections(&target, &after, &records, &progress, operator);
        args.force.over(&objections)?;
        let clients = after.concerned(&target, &records, &progress, operator);
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
    report.show(operator, out)
}

/// What speaks against what would hold for `target` again, as it would against setting it. Nothing
/// does when certificates are refused there now: undoing that is the way out.
fn objections(
    target: &Target,
    after: &Outlook,
    records: &Records,
    progress: &Progress,
    operator: &Operator,
) -> Vec<String> {
    let (before, now) = (Outlook::of(records), operator.now);
    let is_retired = before
        .of_target(target, records)
        .is_some_and(|held| held.phase() == Phase::Retired);
    let Some(held) = after.of_target(target, records).filter(|_| !is_retired) else {
        return Vec::new();
    };
    let objections = match &held.step {
        Step::Accept | Step::Announce => Vec::new(),
        // One that is over refuses nobody.
        Step::Brownout(brownout) if brownout.plan.next(now).is_none() => Vec::new(),
        Step::Brownout(brownout) => told(
            &Proposal {
                plan: &brownout.plan,
                begin_was_said: true,
                notice: Proposal::NOTICE,
                announced: held.announced,
            },
            now,
        ),
        Step::Retired => {
            let concerned = after.newly_retired(&before, records, progress, operator);
            let objection = still_calling(&concerned, target, operator);
            objection.into_iter().collect()
        }
    };
    let back = format!("'{target}' would go back to {}", held.phase().as_str());
    objections
        .iter()
        .map(|objection| format!("{back}: {objection}"))
        .collect()
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
        Some((present, *version, record))
    });
    let last = last.max_by_key(|(present, version, _)| (present.since, *version));
    let (present, version, record) = last.ok_or_else(|| nothing(Target::All))?;
    // Whoever takes back "the last change" means one that somebody made.
    if present.actor == Actor::Gateway {
        let target = &record.target;
        return Err(Failure::Refused(format!(
            "the most recent change was the gateway's own: it stopped the brownout of '{target}'{}; \
             keyferry phase undo {} brings that back; for another change name its target \
             (keyferry phase list)",
            because(present.reason.as_ref()),
            arguments(target)
        )));
    }
    Ok((version, record.clone()))
}

fn because(reason: Option<&Reason>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}
