//! `keyferry phase accept`, `announce` and `retire`.

use crate::config::Period;
use crate::operation::records::{Records, no_client};
use crate::operation::{Edit, Operator};
use crate::operation::{Failure, Out};
use crate::phase::{self, Setting, Step, Target};
use crate::store::Action;

use super::aim::{Aim, Force, Grace, Telling, setting};
use super::outlook::{Concerned, Outlook};
use super::show::{Report, SettingView, UNREADABLE, listed};

#[derive(Debug, clap::Args)]
pub(crate) struct Accept {
    #[command(flatten)]
    aim: Aim,
    #[command(flatten)]
    grace: Grace,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Announce {
    #[command(flatten)]
    aim: Aim,
    #[command(flatten)]
    telling: Telling,
    #[command(flatten)]
    grace: Grace,
    #[command(flatten)]
    edit: Edit,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Retire {
    #[command(flatten)]
    aim: Aim,
    #[command(flatten)]
    telling: Telling,
    #[command(flatten)]
    grace: Grace,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    edit: Edit,
}

pub(super) async fn accept(
    args: &Accept,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let (step, reason) = (Step::Accept, args.edit.reason.as_ref());
    let setting = setting(step, &args.grace, None, reason, operator);
    set(
        &args.aim.target(),
        &setting,
        &args.edit,
        operator,
        out,
        |_| Ok(()),
    )
    .await
}

pub(super) async fn announce(
    args: &Announce,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let (step, reason) = (Step::Announce, args.edit.reason.as_ref());
    let setting = setting(step, &args.grace, Some(&args.telling), reason, operator);
    set(
        &args.aim.target(),
        &setting,
        &args.edit,
        operator,
        out,
        |_| Ok(()),
    )
    .await
}

pub(super) async fn retire(
    args: &Retire,
    operator: &Operator,
    out: &mut Out,
) -> Result<(), Failure> {
    let (step, reason) = (Step::Retired, args.edit.reason.as_ref());
    let setting = setting(step, &args.grace, Some(&args.telling), reason, operator);
    let guard = |proposed: &Proposed<'_>| {
        let objection = still_calling(proposed.concerned, proposed.target, operator);
        args.force.over(objection.as_slice())
    };
    set(
        &args.aim.target(),
        &setting,
        &args.edit,
        operator,
        out,
        guard,
    )
    .await
}

/// What speaks against refusing the certificates of these clients of `target`.
pub(super) fn still_calling(
    concerned: &Concerned,
    target: &Target,
    operator: &Operator,
) -> Option<String> {
    let window = Period::from(operator.settings.window);
    let still = &concerned.by_certificate;
    let objection = format!(
        "{} client(s) of '{target}' still called by certificate in the last {window}{}{}",
        still.len(),
        listed(": ", still),
        listed(UNREADABLE, &concerned.unreadable)
    );
    (!still.is_empty()).then_some(objection)
}

/// A setting that is about to be put in force.
pub(super) struct Proposed<'a> {
    pub(super) target: &'a Target,
    /// What holds for the target before.
    pub(super) before: Option<&'a Setting>,
    pub(super) concerned: &'a Concerned,
}

/// Puts `setting` in force for `target`, unless `guard` objects.
pub(super) async fn set(
    target: &Target,
    setting: &Setting,
    edit: &Edit,
    operator: &Operator,
    out: &mut Out,
    guard: impl Fn(&Proposed<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let decide = async || {
        let records = operator.records().await?;
        if let Target::Client(id) = target
            && !records.clients.contains_key(id)
        {
            return Err(no_client(id));
        }
        let outlook = Outlook::of(&records);
        let before = outlook.of_target(target, &records);
        let before = before.map(|before| &before.setting);
        let setting = setting.clone().going_on_from(before);
        let change = phase::set(read(&records, target), target.clone(), setting.clone());
        let progress = operator.progress(&records).await?;
        let after = Outlook::after(&records, &change);
        let concerned = after.concerned(target, &records, &progress, operator);
        guard(&Proposed {
            target,
            before,
            concerned: &concerned,
        })?;
        let setting = SettingView::of(&setting, operator.now);
        Ok((Some(change), (setting, concerned)))
    };
    let done = operator.change(Action::PhaseSet, edit, decide).await?;
    let (did, (setting, clients)) = done;
    let report = Report {
        did,
        target,
        setting: Some(setting),
        clients,
    };
    report.show(operator, out)
}

/// The record of `target`.
pub(super) fn read(
    records: &Records,
    target: &Target,
) -> Option<(crate::store::Epoch, phase::PhaseRecord)> {
    records.phases.get(target).cloned()
}
