//! `keyferry audit list`.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::each_event;
use crate::certificate::Mapping;
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::operation::Operator;
use crate::operation::page::tell_next;
use crate::operation::phase::Moment;
use crate::operation::table::table;
use crate::operation::{Failure, Out};
use crate::phase::Target;
use crate::store::{Action, Actor, Epoch, Event, Origin, Reason, Record, RecordId};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only changes by this client, or to what is its own
    #[arg(long, value_name = "ID")]
    client: Option<ClientId>,
    /// Only changes since then: a day (2027-06-30) or a moment (2027-06-30T12:00:00Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<Moment>,
    /// How many: the latest, or the first after the one that `--after` names
    #[arg(
        long,
        visible_alias = "most",
        value_name = "NUMBER",
        default_value_t = 100
    )]
    limit: usize,
    /// Only changes after the one of this number
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
}

/// What `--output json` prints.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    changes: VecDeque<Change>,
    /// After which one the next part begins, when `after` was asked for and there is one.
    next: Option<Epoch>,
    /// Changes that are not believed, and left out: see `audit verify`.
    refused: u64,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ListedChange")]
struct Change {
    epoch: Epoch,
    at: Timestamp,
    action: Action,
    actor: Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    records: Vec<Changed>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Changed {
    id: RecordId,
    /// What it was, when a change that is still kept made it so.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    before: Option<Record>,
    /// As it is stored; its `kind` is client, certificate, alias, key or phase.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    after: Record,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let keys = operator.settings.store.record_keys();
    let mut known: BTreeMap<RecordId, Record> = BTreeMap::new();
    let mut report = Report {
        changes: VecDeque::new(),
        next: None,
        refused: 0,
    };
    each_event(operator, |stored| {
        let Ok(event) = Event::decode(stored.epoch, stored.stored.as_bytes(), keys) else {
            report.refused = report.refused.saturating_add(1);
            return Ok(());
        };
        let is_wanted = args.wants(&event, operator.now);
        let mut records = Vec::new();
        for after in event.records {
            let id = after.id();
            let before = known.insert(id.clone(), after.clone());
            records.push(Changed { id, before, after });
        }
        if is_wanted && args.after.is_some() && report.changes.len() >= args.limit {
            report.next = report.changes.back().map(|last| last.epoch);
        } else if is_wanted {
            report.changes.push_back(Change {
                epoch: event.epoch,
                at: event.at,
                action: event.action,
                actor: event.actor,
                origin: event.origin,
                reason: event.reason,
                records,
            });
            while report.changes.len() > args.limit {
                report.changes.pop_front();
            }
        }
        Ok(())
    })
    .await?;
    if report.refused > 0 {
        let refused = report.refused;
        out.note(format!(
            "{refused} changes are not believed: keyferry audit verify"
        ));
    }
    out.show(&report, text(&report))?;
    let next = report.next.map(|next| next.to_string());
    tell_next(next.as_deref(), out);
    Ok(())
}

impl Args {
    fn wants(&self, event: &Event, now: Timestamp) -> bool {
        let since = self.since.map(|since| since.at(now));
        let is_about = |client: &ClientId| {
            matches!(&event.actor, Actor::Client { id } if id == client)
                || event.records.iter().any(|record| belongs(record, client))
        };
        self.after.is_none_or(|after| event.epoch > Epoch(after))
            && since.is_none_or(|since| event.at >= since)
            && self.client.as_ref().is_none_or(is_about)
    }
}

/// Whether the record is the client's own.
fn belongs(record: &Record, client: &ClientId) -> bool {
    match record {
        Record::Client(record) => record.id == *client,
        Record::Key(record) => record.client == *client,
        Record::Certificate(record) => match &record.mapping {
            Mapping::Mapped { client: owner, .. } | Mapping::Superseded { client: owner, .. } => {
                owner == client
            }
            Mapping::Pending | Mapping::Removed { .. } | Mapping::Twin { .. } => false,
        },
        Record::Alias(record) => record.client == *client,
        Record::Phase(record) => matches!(&record.target, Target::Client(id) if id == client),
    }
}

fn text(report: &Report) -> String {
    let header = ["change", "at", "what", "by", "from", "records", "reason"];
    let rows = report.changes.iter().map(|change| {
        let ids = change.records.iter().map(|changed| changed.id.to_string());
        [
            change.epoch.to_string(),
            change.at.to_string(),
            change.action.to_string(),
            change.actor.to_string(),
            change
                .origin
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            ids.collect::<Vec<_>>().join(", "),
            change
                .reason
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
        ]
    });
    table(header, rows)
}
