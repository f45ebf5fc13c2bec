//! `keyferry phase list`.

use serde::Serialize;

use crate::operation::Operator;
use crate::operation::page::{Page, tell_next};
use crate::operation::table::{relative_or, table};
use crate::operation::{Failure, Out};
use crate::phase::Target;

use super::outlook::Outlook;
use super::show::SettingView;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    page: Page,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    phases: Vec<Line>,
    /// After which one the next part begins, when there is one.
    next: Option<String>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ListedPhase")]
struct Line {
    target: Target,
    #[serde(flatten)]
    setting: SettingView,
    /// How many clients it holds for.
    clients: usize,
    /// How many of them called by certificate lately.
    by_certificate: usize,
    /// What `undo` would go back through, the latest first.
    former: Vec<SettingView>,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let records = operator.records().await?;
    let progress = operator.progress(&records).await?;
    let outlook = Outlook::of(&records);
    let lines = records.phases.values().filter_map(|(_, record)| {
        let present = record.present()?;
        let concerned = outlook.concerned(&record.target, &records, &progress, operator);
        let former = record.former();
        let line = Line {
            target: record.target.clone(),
            setting: SettingView::of(present, operator.now),
            clients: concerned.total,
            by_certificate: concerned.by_certificate.len(),
            former: former
                .map(|setting| SettingView::of(setting, operator.now))
                .collect(),
        };
        Some((line.target.clone(), line))
    });
    let (phases, next) = args.page.of(lines)?;
    let report = Report { phases, next };
    if report.phases.is_empty() && !out.is_json() {
        out.note("no phase was set: all certificates are accepted as ever");
        return Ok(());
    }
    out.show(&report, text(&report, operator))?;
    tell_next(report.next.as_deref(), out);
    Ok(())
}

fn text(report: &Report, operator: &Operator) -> String {
    let header = [
        "target",
        "phase",
        "since",
        "by",
        "clients",
        "by certificate",
        "details",
        "reason",
    ];
    let rows = report.phases.iter().map(|line| {
        [
            line.target.to_string(),
            line.setting.phase.as_str().to_owned(),
            relative_or(line.setting.since, operator.now, ""),
            line.setting.by.clone(),
            line.clients.to_string(),
            line.by_certificate.to_string(),
            line.setting.details(),
            line.setting.reason.clone().unwrap_or_default(),
        ]
    });
    table(header, rows)
}
