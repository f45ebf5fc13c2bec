//! `keyferry status`: how far the move is.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::open::{Operator, operate};
use super::progress::Progress;
use super::records::Records;
use super::table::number;
use super::{Failure, Globals, Out};
use crate::certificate::Mapping;
use crate::client::Stage;
use crate::clock::Timestamp;

const DAY: Duration = Duration::from_hours(24);

/// Show how many clients are at which stage, and what is about to expire
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

#[derive(Serialize)]
struct Report {
    clients: Clients,
    certificates: Certificates,
    keys: Keys,
    store: String,
    epoch: crate::store::Epoch,
}

#[derive(Serialize)]
struct Clients {
    total: usize,
    by_stage: BTreeMap<Stage, usize>,
}

/// Certificates of active clients by the time that they have left. What is within 7 days is
/// within 30 days too.
#[derive(Default, Serialize)]
struct Certificates {
    mapped: usize,
    expired: usize,
    expiring_within_7_days: usize,
    expiring_within_30_days: usize,
    /// Only their fingerprints are known.
    expiry_unknown: usize,
    /// Certificates that wait for the operator's word; they are nobody's yet.
    pending: usize,
}

/// Keys of active clients.
#[derive(Default, Serialize)]
struct Keys {
    issued: usize,
    /// Issued since their client last called by key.
    never_used: usize,
}

pub(super) fn run(_: &Args, globals: &Globals, out: &mut Out) -> Result<ExitCode, Failure> {
    operate(globals, out, async |operator, out| {
        let report = report(operator).await?;
        out.show(&report, text(&report))?;
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn report(operator: &Operator) -> Result<Report, Failure> {
    let records = operator.records().await?;
    let progress = Progress::read(operator, &records).await?;
    let mut by_stage: BTreeMap<_, _> = Stage::ALL.map(|stage| (stage, 0usize)).into();
    for (_, client) in records.clients.values() {
        count(by_stage.entry(progress.stage(client)).or_default());
    }
    Ok(Report {
        clients: Clients {
            total: records.clients.len(),
            by_stage,
        },
        certificates: certificates(&records, operator.now),
        keys: keys(&records, &progress, operator.now),
        store: operator.config.store.to_string(),
        epoch: records.epoch,
    })
}

fn certificates(records: &Records, now: Timestamp) -> Certificates {
    let mut counts = Certificates::default();
    for (_, certificate) in records.certificates.values() {
        match &certificate.mapping {
            Mapping::Mapped { client, .. } if records.is_active(client) => {}
            Mapping::Pending => {
                count(&mut counts.pending);
                continue;
            }
            Mapping::Mapped { .. }
            | Mapping::Superseded { .. }
            | Mapping::Removed { .. }
            | Mapping::Twin { .. } => continue,
        }
        count(&mut counts.mapped);
        match certificate.facts.as_ref().map(|facts| facts.not_after) {
            None => count(&mut counts.expiry_unknown),
            Some(end) if end <= now => count(&mut counts.expired),
            Some(end) => {
                if end <= now.plus(DAY.saturating_mul(7)) {
                    count(&mut counts.expiring_within_7_days);
                }
                if end <= now.plus(DAY.saturating_mul(30)) {
                    count(&mut counts.expiring_within_30_days);
                }
            }
        }
    }
    counts
}

fn keys(records: &Records, progress: &Progress, now: Timestamp) -> Keys {
    let mut counts = Keys::default();
    for (_, key) in records.keys.values() {
        if !key.is_issued() || key.usable(now).is_err() || !records.is_active(&key.client) {
            continue;
        }
        count(&mut counts.issued);
        if progress.seen(&key.client).by_key < key.issued_at {
            count(&mut counts.never_used);
        }
    }
    counts
}

fn count(counter: &mut usize) {
    *counter = counter.saturating_add(1);
}

fn text(report: &Report) -> String {
    let stages = report.clients.by_stage.iter();
    let stages: Vec<_> = stages
        .map(|(stage, count)| format!("{} {}", stage.as_str(), number(*count)))
        .collect();
    let certificates = &report.certificates;
    let mut expiry = vec![
        format!("expired {}", number(certificates.expired)),
        format!(
            "expiring within 30 days {} ({} of them within 7 days)",
            number(certificates.expiring_within_30_days),
            number(certificates.expiring_within_7_days)
        ),
    ];
    if certificates.expiry_unknown > 0 {
        expiry.push(format!(
            "expiry unknown {}",
            number(certificates.expiry_unknown)
        ));
    }
    let line = |name: &str, total: usize, parts: &[String]| {
        format!("{name:<13}{:>7}   {}", number(total), parts.join(" · "))
    };
    let never_used = format!("never used {}", number(report.keys.never_used));
    let mut lines = vec![
        line("clients", report.clients.total, &stages),
        line("certificates", certificates.mapped, &expiry),
        line("keys", report.keys.issued, &[never_used]),
    ];
    if certificates.pending > 0 {
        lines.push(line(
            "pending",
            certificates.pending,
            &["certificates wait for your word: keyferry certificate list --pending".to_owned()],
        ));
    }
    lines.push(format!("store: {}, change {}", report.store, report.epoch));
    lines.join("\n")
}
