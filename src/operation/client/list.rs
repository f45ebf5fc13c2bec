//! `keyferry client list`.

use std::collections::HashMap;

use clap::builder::PossibleValuesParser;
use serde::Serialize;

use crate::certificate::Mapping;
use crate::client::{ClientId, Flag, Stage};
use crate::operation::Operator;
use crate::operation::page::{Page, tell_next};
use crate::operation::progress::Progress;
use crate::operation::table::table;
use crate::operation::view::ClientView;
use crate::operation::{Failure, Out};
use crate::phase::Selector;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only clients at this stage
    #[arg(long, value_parser = PossibleValuesParser::new(Stage::ALL.map(Stage::as_str)))]
    stage: Option<String>,
    /// Only clients with this flag
    #[arg(long, value_parser = PossibleValuesParser::new(Flag::ALL.map(Flag::as_str)))]
    flag: Option<String>,
    /// Only clients with these tags: mobile, or mobile,!beta
    #[arg(long, value_name = "SELECTOR")]
    cohort: Option<Selector>,
    #[command(flatten)]
    page: Page,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    clients: Vec<Line>,
    /// After which one the next part begins, when there is one.
    next: Option<String>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ListedClient")]
struct Line {
    #[serde(flatten)]
    client: ClientView,
    /// How many certificates identify it.
    certificates: usize,
    /// How many keys it can use.
    keys: usize,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let records = operator.records().await?;
    let progress = Progress::read(operator, &records).await?;
    let mut certificates = HashMap::<&ClientId, usize>::new();
    for (_, certificate) in records.certificates.values() {
        if let Mapping::Mapped { client, .. } = &certificate.mapping {
            count(&mut certificates, client);
        }
    }
    let mut keys = HashMap::<&ClientId, usize>::new();
    for (_, key) in records.keys.values() {
        if key.is_issued() && key.usable(operator.now).is_ok() {
            count(&mut keys, &key.client);
        }
    }
    let is_asked_for = |client: &ClientView| {
        let (stage, flag) = (args.stage.as_deref(), args.flag.as_deref());
        let has = |flag: &str| client.flags.iter().any(|own| own.as_str() == flag);
        let cohort = args.cohort.as_ref();
        stage.is_none_or(|stage| stage == client.stage.as_str())
            && flag.is_none_or(has)
            && cohort.is_none_or(|cohort| cohort.matches(&client.tags))
    };
    let views = records
        .clients
        .values()
        .map(|(_, client)| progress.view(client));
    let lines = views.filter(is_asked_for).map(|client| Line {
        certificates: certificates.get(&client.client_id).copied().unwrap_or(0),
        keys: keys.get(&client.client_id).copied().unwrap_or(0),
        client,
    });
    let lines = lines.map(|line| (line.client.client_id.clone(), line));
    let (clients, next) = args.page.of(lines)?;
    let report = Report { clients, next };
    if report.clients.is_empty() && !out.is_json() {
        out.note("no such client");
        return Ok(());
    }
    out.show(&report, text(&report, operator))?;
    tell_next(report.next.as_deref(), out);
    Ok(())
}

fn count<'a>(counts: &mut HashMap<&'a ClientId, usize>, client: &'a ClientId) {
    let count = counts.entry(client).or_default();
    *count = count.saturating_add(1);
}

fn text(report: &Report, operator: &Operator) -> String {
    let header = [
        "client",
        "stage",
        "flags",
        "phase",
        "by certificate",
        "by key",
        "certificates",
        "keys",
        "description",
    ];
    let rows = report.clients.iter().map(|line| {
        let seen = line.client.last_seen;
        [
            line.client.client_id.to_string(),
            line.client.stage.as_str().to_owned(),
            line.client.flags(),
            line.client.phase.as_str().to_owned(),
            seen.since(seen.by_certificate, operator.now),
            seen.since(seen.by_key, operator.now),
            line.certificates.to_string(),
            line.keys.to_string(),
            line.client.description.clone().unwrap_or_default(),
        ]
    });
    table(header, rows)
}
