//! What `status` tells; the names of the fields are what scripts rely on.

use std::collections::BTreeMap;

use serde::Serialize;

use super::debt::Debt;
use super::inventory::{Certificates, Keys};
use crate::client::{Counts, Flag, History, Stage};
use crate::clock::{Day, Timestamp};
use crate::foresight::{Burndown, Cliff, DayStages, Forecast, forecast};
use crate::operation::Failure;
use crate::operation::Operator;
use crate::operation::progress::Progress;
use crate::operation::records::Records;
use crate::operation::table::add_one;
use crate::operation::traffic::Traffic;
use crate::operation::view::{moment, rfc_3339};
use crate::phase::Phase;
use crate::store::Epoch;

/// How many days of the past are told, today among them.
const DAYS: u32 = 57;
/// How many days a week has.
const WEEK: u32 = 7;

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    pub(super) clients: Clients,
    pub(super) certificates: Certificates,
    pub(super) keys: Keys,
    pub(super) traffic: Recent,
    /// The last weeks, since requests are counted.
    pub(super) burndown: Vec<Remaining>,
    pub(super) forecast: Forecast,
    /// When clients that have not moved lose their last certificate.
    pub(super) expiry_cliff: Cliff,
    pub(super) flags: BTreeMap<Flag, usize>,
    pub(super) refused_today: Refused,
    pub(super) phases: Vec<InForce>,
    /// Backends that still get the headers of an old proxy.
    pub(super) debt: Debt,
    pub(super) store: String,
    pub(super) epoch: Epoch,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ClientsByStage")]
pub(super) struct Clients {
    pub(super) total: usize,
    pub(super) by_stage: BTreeMap<Stage, usize>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Recent {
    pub(super) today: Traffic,
    pub(super) last_7_days: Traffic,
}

/// One day of the burndown.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Remaining {
    #[serde(flatten)]
    pub(super) stages: DayStages,
    /// Clients that call by certificate and have not moved.
    pub(super) remaining: usize,
}

/// Clients that were refused today, by the last reason of each.
#[derive(Default, Serialize, schemars::JsonSchema)]
#[schemars(rename = "RefusedClients")]
pub(super) struct Refused {
    pub(super) clients: usize,
    pub(super) by_reason: BTreeMap<String, usize>,
}

/// A phase that was set.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct InForce {
    pub(super) target: String,
    pub(super) phase: Phase,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(super) since: Option<Timestamp>,
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    pub(super) sunset: Option<Timestamp>,
}

pub(super) async fn read(operator: &Operator) -> Result<Report, Failure> {
    let records = operator.records().await?;
    let progress = operator.progress(&records).await?;
    let today = operator.now.day();
    let totals = operator
        .totals(today.minus(Counts::DAYS.saturating_sub(1))..=today)
        .await?;
    let lives = operator.lives(&records, &progress).await?;

    let mut burndown = Burndown::of(lives.values(), progress.window(), today, DAYS);
    let by_stage = by_stage(&records, &progress);
    burndown.now(by_stage.clone());
    let counted = totals.keys().next().copied().unwrap_or(today);
    let remaining = burndown.remaining_since(counted);
    let flags = flags(&records, &progress);
    let days = burndown.days().iter().filter(|day| day.day >= counted);
    Ok(Report {
        clients: Clients {
            total: records.clients.len(),
            by_stage,
        },
        certificates: Certificates::of(&records, operator.now),
        keys: Keys::of(&records, &progress, operator.now),
        traffic: Recent {
            today: traffic(&totals, today),
            last_7_days: traffic(&totals, today.minus(WEEK.saturating_sub(1))),
        },
        burndown: days
            .map(|stages| Remaining {
                remaining: stages.remaining(),
                stages: stages.clone(),
            })
            .collect(),
        forecast: forecast(&remaining, today),
        expiry_cliff: cliff(&records, &progress, operator.now),
        flags,
        refused_today: refused(&records, &progress, today),
        phases: phases(&records),
        debt: Debt::of(operator, &records, &progress),
        store: operator.settings.store.to_string(),
        epoch: records.epoch,
    })
}

fn by_stage(records: &Records, progress: &Progress) -> BTreeMap<Stage, usize> {
    let mut by_stage: BTreeMap<_, _> = Stage::ALL.map(|stage| (stage, 0)).into();
    for (_, client) in records.clients.values() {
        add_one(by_stage.entry(progress.stage(client)).or_default());
    }
    by_stage
}

fn flags(records: &Records, progress: &Progress) -> BTreeMap<Flag, usize> {
    let mut flags: BTreeMap<_, _> = Flag::ALL.map(|flag| (flag, 0)).into();
    for (_, client) in records.clients.values() {
        for flag in progress.flags(client) {
            add_one(flags.entry(flag).or_default());
        }
    }
    flags
}

fn traffic(totals: &History, since: Day) -> Traffic {
    let counts = totals.range(since..).map(|(_, counts)| *counts);
    Traffic::of(counts.fold(Counts::default(), Counts::plus))
}

/// The last ends of clients that have not moved.
fn cliff(records: &Records, progress: &Progress, now: Timestamp) -> Cliff {
    let clients = records.clients.values().map(|(_, client)| client);
    let unmoved = clients.filter(|client| {
        let stage = progress.stage(client);
        !matches!(stage, Stage::KeyOnly | Stage::Retired)
    });
    Cliff::of(
        unmoved.filter_map(|client| progress.certificates_end(&client.id)),
        now,
    )
}

fn refused(records: &Records, progress: &Progress, today: Day) -> Refused {
    let mut refused = Refused::default();
    for id in records.clients.keys() {
        let last = progress.sighting(id).and_then(|s| s.refused.as_ref());
        if let Some(last) = last.filter(|last| last.at.day() == today) {
            add_one(&mut refused.clients);
            let reason = last.code.as_str().to_owned();
            add_one(refused.by_reason.entry(reason).or_default());
        }
    }
    refused
}

fn phases(records: &Records) -> Vec<InForce> {
    let records = records.phases.values();
    let present = records.filter_map(|(_, record)| Some((record, record.present()?)));
    present
        .map(|(record, setting)| InForce {
            target: record.target.to_string(),
            phase: setting.phase(),
            since: Some(setting.since),
            sunset: setting.sunset,
        })
        .collect()
}
