//! `keyferry client list`.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Serialize;

use super::filter::Filter;
use crate::certificate::Mapping;
use crate::client::{ClientId, ClientRecord};
use crate::clock::Timestamp;
use crate::operation::Operator;
use crate::operation::page::tell_next;
use crate::operation::progress::Progress;
use crate::operation::records::{Records, no_client};
use crate::operation::table::table;
use crate::operation::view::{ClientView, moment, rfc_3339};
use crate::operation::{Failure, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// In which order
    #[arg(long, value_enum, default_value_t)]
    sort: Order,
    /// At most so many
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Go on after this client, where a list that was limited ended
    #[arg(long, value_name = "ID")]
    after: Option<ClientId>,
}

/// The order of clients.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Order {
    /// By id.
    #[default]
    Id,
    /// Who called by certificate last comes first.
    ByCertificate,
    /// Who called by key last comes first.
    ByKey,
    /// Who became known last comes first.
    Created,
    /// Whose last certificate ends first comes first.
    Expiry,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct Report {
    clients: Vec<Line>,
    /// After whom the list goes on, when it was limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<ClientId>,
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
    /// When the last of its certificates ends, when that is known of all.
    #[serde(serialize_with = "rfc_3339")]
    #[schemars(schema_with = "moment")]
    certificates_end: Option<Timestamp>,
}

pub(super) async fn run(args: &Args, operator: &Operator, out: &mut Out) -> Result<(), Failure> {
    let records = operator.records().await?;
    let progress = operator.progress(&records).await?;
    let (chosen, next) = args.page(&records, &progress)?;
    let mut certificates = HashMap::<&ClientId, usize>::new();
    for (_, certificate) in records.certificates.values() {
        if let Mapping::Mapped { client, .. } = &certificate.mapping {
            count(&mut certificates, client);
        }
    }
    let mut keys = HashMap::<&ClientId, usize>::new();
    for (_, key) in records.keys.values() {
        if key.is_good(operator.now) {
            count(&mut keys, &key.client);
        }
    }
    let lines = chosen.into_iter().map(|client| Line {
        certificates: certificates.get(&client.id).copied().unwrap_or(0),
        keys: keys.get(&client.id).copied().unwrap_or(0),
        certificates_end: progress.certificates_end(&client.id),
        client: progress.view(client),
    });
    let report = Report {
        clients: lines.collect(),
        next,
    };
    if report.clients.is_empty() && !out.is_json() {
        out.note("no such client");
        return Ok(());
    }
    if out.is_json() {
        return out.json(&report);
    }
    out.line(text(&report, operator))?;
    tell_next(report.next.as_ref().map(ClientId::as_str), out);
    Ok(())
}

impl Args {
    /// The part of the clients that is asked for, in their order, and after whom the rest comes.
    fn page<'a>(
        &self,
        records: &'a Records,
        progress: &Progress,
    ) -> Result<(Vec<&'a ClientRecord>, Option<ClientId>), Failure> {
        let mut all: Vec<_> = records.clients.values().map(|(_, client)| client).collect();
        self.sort(&mut all, progress);
        let from = match &self.after {
            None => 0,
            Some(after) => all
                .iter()
                .position(|client| client.id == *after)
                .map(|at| at.saturating_add(1))
                .ok_or_else(|| no_client(after))?,
        };
        // Only now: the last of a part may no longer be one of those who are asked for.
        let is_asked_for = self.filter.is_asked_for(records, progress);
        let rest = all
            .into_iter()
            .skip(from)
            .filter(|client| is_asked_for(client));
        let Some(limit) = self.limit.and_then(|limit| usize::try_from(limit).ok()) else {
            return Ok((rest.collect(), None));
        };
        let mut part: Vec<_> = rest.take(limit.saturating_add(1)).collect();
        let is_cut = part.len() > limit;
        part.truncate(limit);
        let next = part.last().filter(|_| is_cut);
        let next = next.map(|client| client.id.clone());
        Ok((part, next))
    }

    /// Puts them, who are in the order of their ids, into the order that is asked for.
    fn sort(&self, clients: &mut [&ClientRecord], progress: &Progress) {
        // Sorting keeps those by id that are equal.
        match self.sort {
            Order::Id => {}
            Order::ByCertificate => {
                clients.sort_by_key(|client| Reverse(progress.seen(&client.id).by_certificate));
            }
            Order::ByKey => clients.sort_by_key(|client| Reverse(progress.seen(&client.id).by_key)),
            Order::Expiry => clients.sort_by_key(|client| {
                let end = progress.certificates_end(&client.id);
                (end.is_none(), end)
            }),
            Order::Created => clients.sort_by_key(|client| Reverse(client.created_at)),
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::{ClientStatus, Tags};
    use crate::operation::Settings;
    use crate::store::embedded::{self, Embedded};
    use crate::store::{Actor, Epoch, Legible, Origin, Record, Versioned};

    fn client(id: &str, created: i64, tags: &[&str]) -> Versioned {
        Versioned {
            version: Epoch(1),
            record: Record::Client(ClientRecord {
                id: id.parse().unwrap(),
                status: ClientStatus::Active,
                created_at: Timestamp::from_unix(created),
                description: None,
                tags: tags
                    .iter()
                    .map(|tag| tag.parse().unwrap())
                    .collect::<Tags>(),
            }),
        }
    }

    #[test]
    fn nobody_is_left_out_when_the_last_of_a_part_is_no_longer_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let settings = embedded::Settings::new(folder.path().join("keyferry.redb"));
        let store = Arc::new(Embedded::open_with(&settings).unwrap());
        let by = (Actor::Gateway, Origin::here());
        let operator = Operator::new(Arc::new(Settings::for_tests(settings)), store, by);
        let mut records = Records::default();
        let all = [("d", 5), ("k", 4), ("c", 3), ("p", 2), ("m", 1)];
        for (id, created) in all {
            records.take(client(id, created, &["asked"]));
        }
        let part = |records: &Records, after: Option<&str>| {
            let args = Args {
                filter: Filter::of_cohort("asked".parse().unwrap()),
                sort: Order::Created,
                limit: Some(2),
                after: after.map(|id| id.parse().unwrap()),
            };
            let progress = Progress::of(records, Legible::default(), &[], &operator);
            let part = args.page(records, &progress);
            part.map(|(part, next)| {
                let part: Vec<_> = part.into_iter().map(|one| one.id.to_string()).collect();
                (part.join(" "), next.map(|id| id.to_string()))
            })
        };
        let told = |part: &str, next: Option<&str>| (part.to_owned(), next.map(str::to_owned));
        assert_eq!(part(&records, None).unwrap(), told("d k", Some("k")));
        records.take(client("k", 4, &[]));
        assert_eq!(part(&records, Some("k")).unwrap(), told("c p", Some("p")));
        assert_eq!(part(&records, Some("p")).unwrap(), told("m", None));
        assert!(part(&records, Some("nobody")).is_err());
    }
}
