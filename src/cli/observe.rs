//! `keyferry observe`: what would happen if the gateway enforced.

use std::process::ExitCode;

use serde::Serialize;

use super::ask::ask;
use super::{Failure, Globals, Out};
use crate::clock::{self, Timestamp};
use crate::observe::{HeaderText, IdentityRow, RefusalRow, Report, Snapshot, Times};
use crate::operation::table::{count, relative, table};

/// A gateway that only observes, behind or beside an existing one
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show what the running gateway would have refused, and where it differs from the existing one
    ///
    /// Ends with status 1 when it would have refused something, or differs.
    Report,
}

/// What `--output json` prints.
#[derive(Serialize)]
struct Told {
    since: Timestamp,
    requests: u64,
    identity_header: Option<String>,
    /// Requests that found no place in the rows.
    left_out: u64,
    clean: bool,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(
    command: &Command,
    globals: &Globals,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let Command::Report = command;
    let answer = ask(globals, "/observations", &[])?;
    let snapshot: Snapshot = serde_json::from_value(answer)
        .map_err(|error| anyhow::anyhow!("{error}; is the gateway of another version?"))?;
    let (since, requests) = (snapshot.since, snapshot.requests);
    let (identity_header, left_out) = (snapshot.identity_header.clone(), snapshot.left_out);
    let report = Report::of(snapshot);
    let told = Told {
        since,
        requests,
        identity_header,
        left_out,
        // Rows that found no place may hold anything.
        clean: report.is_clean() && left_out == 0,
        report,
    };
    out.show(&told, text(&told, clock::now()))?;
    Ok(ExitCode::from(u8::from(!told.clean)))
}

fn text(told: &Told, now: Timestamp) -> String {
    let report = &told.report;
    let mut parts = vec![format!(
        "observed {} requests since the gateway started, {}",
        count(told.requests),
        relative(told.since, now)
    )];
    if !report.refusals.is_empty() {
        parts.push(format!(
            "would have been refused:\n{}",
            refusals(report, now)
        ));
    }
    if let Some(header) = &told.identity_header {
        let named = [
            (
                "with a name, but would be refused",
                &report.named_but_refused,
            ),
            ("known here, but without a name", &report.known_but_unnamed),
        ];
        for (title, rows) in named.into_iter().filter(|(_, rows)| !rows.is_empty()) {
            parts.push(format!("{title} ({header}):\n{}", identities(rows, now)));
        }
        for shared in &report.shared_values {
            let clients = list(&shared.client_ids);
            parts.push(format!(
                "{} stands for several clients: {clients}",
                shared.value
            ));
        }
        for split in &report.split_clients {
            let values = list(&split.values);
            parts.push(format!("{} has several names: {values}", split.client_id));
        }
        parts.push(format!(
            "agreed: {} names and clients stand for each other, in {} requests",
            report.agreed_pairs,
            count(report.agreed_requests)
        ));
    }
    if told.left_out > 0 {
        parts.push(format!(
            "{} requests found no place in this report: it keeps {} rows of each kind",
            count(told.left_out),
            crate::observe::MOST_ROWS
        ));
    }
    if told.clean {
        parts.push("nothing would have been refused, and nothing differs".to_owned());
    }
    parts.join("\n\n")
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(" · ")
}

fn refusals(report: &Report, now: Timestamp) -> String {
    let header = ["reason", "who", "address", "count", "since", "last"];
    let rows = report.refusals.iter().map(|row: &RefusalRow| {
        let [count, first, last] = times(row.seen, now);
        [
            row.reason.clone(),
            who(row),
            row.address.to_string(),
            count,
            first,
            last,
        ]
    });
    table(header, rows)
}

fn who(row: &RefusalRow) -> String {
    let short = |text: String| text.chars().take(16).collect::<String>();
    let who = &row.who;
    let client = who.client_id.as_ref().map(|id| format!("client {id}"));
    let certificate = who.fingerprint.map(|f| short(f.to_string()));
    let key = who.key_id.map(|id| format!("key {id}"));
    let certificate = certificate.map(|short| format!("certificate {short}"));
    client.or(certificate).or(key).unwrap_or_default()
}

fn identities(rows: &[IdentityRow], now: Timestamp) -> String {
    let header = ["name", "client", "reason", "count", "since", "last"];
    let rows = rows.iter().map(|row| {
        let [count, first, last] = times(row.seen, now);
        [
            row.value
                .as_ref()
                .map(HeaderText::to_string)
                .unwrap_or_default(),
            row.client_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            row.reason.clone().unwrap_or_default(),
            count,
            first,
            last,
        ]
    });
    table(header, rows)
}

fn times(seen: Times, now: Timestamp) -> [String; 3] {
    [
        count(seen.count),
        relative(seen.first, now),
        relative(seen.last, now),
    ]
}
