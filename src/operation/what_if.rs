//! `keyferry what-if`: who would break without certificates, from what was seen.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::Operator;
use super::progress::Progress;
use super::records::Records;
use super::table::{add_one, count, number, relative_or, table};
use super::traffic::{percent, share};
use super::view::{moment, rfc_3339};
use super::{Failure, Out};
use crate::client::{ClientId, Counts, Stage};
use crate::clock::{Day, Timestamp};
use crate::foresight::{Outcome, Used};
use crate::phase::Selector;

/// Show who would break if certificates were refused from a day on, from what was seen
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The first day without certificates, such as 2027-06-30
    #[arg(long, value_name = "DATE")]
    certificates_off: Day,
    /// Only clients of this cohort: tags joined by commas, ! before a tag that must be absent
    #[arg(long, value_name = "SELECTOR")]
    cohort: Option<Selector>,
    /// How many days are looked back
    #[arg(long, value_name = "N", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(Counts::DAYS)))]
    days: u32,
    /// Name every client that would not simply go on
    #[arg(long)]
    list: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    certificates_off: Day,
    cohort: Option<Selector>,
    days: u32,
    clients: usize,
    outcomes: BTreeMap<Outcome, Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Vec<Line>>,
}

/// The clients with one outcome.
#[derive(Default, Serialize, schemars::JsonSchema)]
#[schemars(rename = "ClientsOfOutcome")]
struct Group {
    clients: usize,
    /// Those of them that have no key.
    without_key: usize,
    requests_by_certificate: u64,
    /// How much of all that these clients and the others sent: 0 to 1; null when nothing came.
    traffic_share: Option<f64>,
}

/// One client.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ClientOutcome")]
struct Line {
    client_id: ClientId,
    outcome: Outcome,
    stage: Stage,
    has_key: bool,
    requests_by_certificate: u64,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    last_by_certificate: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    certificates_end: Option<Timestamp>,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    if args.certificates_off < operator.now.day() {
        return Err(Failure::Usage(format!(
            "{} is over; name a day to come",
            args.certificates_off
        )));
    }
    let report = read(args, operator).await?;
    out.show(&report, text(&report, operator.now))?;
    if !args.list && !out.is_json() {
        out.note("who they are: the same with --list");
    }
    Ok(())
}

async fn read(args: &Args, operator: &Operator) -> Result<Report, Failure> {
    let records = operator.records().await?;
    let progress = operator.progress(&records).await?;
    let used = used(args, operator).await?;
    let mut lines = lines(args, &records, &progress, &used);
    let mut outcomes: BTreeMap<_, Group> = Outcome::ALL
        .map(|outcome| (outcome, Group::default()))
        .into();
    for line in &lines {
        let group = outcomes.entry(line.outcome).or_default();
        add_one(&mut group.clients);
        if !line.has_key {
            add_one(&mut group.without_key);
        }
        let requests = &mut group.requests_by_certificate;
        *requests = requests.saturating_add(line.requests_by_certificate);
    }
    let all = used.values().fold(0u64, |sum, used| {
        sum.saturating_add(used.by_certificate)
            .saturating_add(used.by_key)
    });
    for group in outcomes.values_mut() {
        group.traffic_share = share(group.requests_by_certificate, all);
    }
    let clients = lines.len();
    lines.retain(|line| line.outcome != Outcome::Moved);
    lines.sort_by(|a, b| {
        let rank = |line: &Line| {
            (
                line.outcome,
                std::cmp::Reverse(line.requests_by_certificate),
            )
        };
        (rank(a), &a.client_id).cmp(&(rank(b), &b.client_id))
    });
    Ok(Report {
        certificates_off: args.certificates_off,
        cohort: args.cohort.clone(),
        days: args.days,
        clients,
        outcomes,
        list: args.list.then_some(lines),
    })
}

/// What every client sent within the days that are looked back.
async fn used(args: &Args, operator: &Operator) -> Result<HashMap<ClientId, Used>, Failure> {
    let today = operator.now.day();
    let days = today.minus(args.days.saturating_sub(1))..=today;
    let mut used = HashMap::<ClientId, Used>::new();
    operator
        .all_counts(days, &mut |client, history| {
            let used = used.entry(client).or_default();
            for counts in history.values() {
                used.by_certificate = used.by_certificate.saturating_add(counts.by_certificate);
                used.by_key = used.by_key.saturating_add(counts.by_key);
            }
        })
        .await?;
    Ok(used)
}

fn lines(
    args: &Args,
    records: &Records,
    progress: &Progress,
    used: &HashMap<ClientId, Used>,
) -> Vec<Line> {
    let clients = records.clients.values().map(|(_, client)| client);
    let asked = clients.filter(|client| {
        let cohort = args.cohort.as_ref();
        client.is_active() && cohort.is_none_or(|cohort| cohort.matches(&client.tags))
    });
    let line = asked.map(|client| {
        let used = used.get(&client.id).copied().unwrap_or_default();
        let certificates_end = progress.certificates_end(&client.id);
        Line {
            client_id: client.id.clone(),
            outcome: Outcome::of(used, certificates_end, args.certificates_off.start()),
            stage: progress.stage(client),
            has_key: progress.has_key(&client.id),
            requests_by_certificate: used.by_certificate,
            last_by_certificate: progress.seen(&client.id).by_certificate,
            certificates_end,
        }
    });
    line.collect()
}

fn text(report: &Report, now: Timestamp) -> String {
    let days = report.days;
    let means = |outcome| match outcome {
        Outcome::WouldBreak => "called by certificate alone",
        Outcome::EndsBefore => "so too, and the last certificate ends before",
        Outcome::Dual => "called by both: refused by certificate only, likely fine",
        Outcome::Moved => "called by key alone: nothing changes",
        Outcome::Silent => "did not call: nobody knows",
    };
    let rows = report.outcomes.iter().map(|(outcome, group)| {
        [
            outcome.as_str().to_owned(),
            number(group.clients),
            number(group.without_key),
            count(group.requests_by_certificate),
            percent(group.traffic_share),
            means(*outcome).to_owned(),
        ]
    });
    let header = [
        "outcome",
        "clients",
        "no key",
        "requests",
        "of all",
        "in these days",
    ];
    let cohort = report.cohort.as_ref();
    let cohort = cohort.map_or_else(String::new, |cohort| format!(" of the cohort {cohort}"));
    let mut parts = vec![
        format!(
            "{} clients{cohort}, if certificates were refused from {} on, by the last {days} days:",
            number(report.clients),
            report.certificates_off
        ),
        table(header, rows),
    ];
    if let Some(lines) = report.list.as_ref().filter(|lines| !lines.is_empty()) {
        parts.push(list(lines, now));
    }
    parts.join("\n\n")
}

fn list(lines: &[Line], now: Timestamp) -> String {
    let header = [
        "client",
        "outcome",
        "stage",
        "key",
        "requests",
        "by certificate",
        "certificate ends",
    ];
    let rows = lines.iter().map(|line| {
        [
            line.client_id.to_string(),
            line.outcome.as_str().to_owned(),
            line.stage.as_str().to_owned(),
            if line.has_key { "yes" } else { "no" }.to_owned(),
            count(line.requests_by_certificate),
            relative_or(line.last_by_certificate, now, "never"),
            relative_or(line.certificates_end, now, "unknown"),
        ]
    });
    table(header, rows)
}
