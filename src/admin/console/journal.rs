//! The audit: who changed what, when, why and from where.

use axum::extract::Query;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::layout::{clipped, lines, number, number_of, time};
use super::{Page, Visitor};
use crate::clock::Timestamp;

/// How many records of a change are shown.
const SHOWN: usize = 10;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    client: String,
    since: String,
}

#[derive(Deserialize)]
struct Found {
    changes: Vec<Change>,
    refused: u64,
}

#[derive(Deserialize)]
struct Change {
    epoch: u64,
    at: i64,
    action: String,
    actor: Actor,
    origin: Option<Origin>,
    reason: Option<String>,
    records: Vec<Record>,
}

/// Who changed something.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub(super) enum Actor {
    Gateway,
    Client { id: String },
    Operator { name: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
enum Origin {
    Request { id: String, address: Option<String> },
    Host { name: String },
}

#[derive(Deserialize)]
struct Record {
    id: Value,
    before: Option<Value>,
    after: Value,
}

impl Actor {
    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Gateway => "the gateway".to_owned(),
            Self::Client { id } => format!("client {id}"),
            Self::Operator { name } => name.clone(),
        }
    }
}

pub(super) async fn page(visitor: Visitor, Query(wanted): Query<Wanted>) -> Page {
    let mut asked = Map::new();
    asked.insert("limit".to_owned(), json!(100));
    for (name, value) in [("client", &wanted.client), ("since", &wanted.since)] {
        if !value.trim().is_empty() {
            asked.insert(name.to_owned(), json!(value.trim()));
        }
    }
    match visitor
        .look::<Found>("audit/list", Value::Object(asked))
        .await
    {
        Ok(found) => Ok(visitor.show("Audit", "/audit", &content(&wanted, &found))),
        Err(problem) => Err(visitor.trouble(problem)),
    }
}

fn content(wanted: &Wanted, found: &Found) -> Markup {
    html! {
        form.bar method="get" action="/audit" role="search" {
            div.field { label for="client" { "Client" } input #client name="client" value=(wanted.client); }
            div.field { label for="since" { "Since" } input #since name="since" value=(wanted.since) placeholder="2027-06-30"; }
            button type="submit" { "Find" }
            a.button.plain href="/audit" { "Clear" }
        }
        @if found.refused > 0 {
            p.wrong role="alert" { (number(found.refused)) " changes are not believed and left out: " code { "keyferry audit verify" } }
        }
        div.scroll tabindex="0" role="region" aria-label="Changes" {
            table {
                caption { "The latest " (number_of(found.changes.len())) " changes, the last first" }
                thead { tr {
                    th scope="col" { "Change" } th scope="col" { "At" } th scope="col" { "What" } th scope="col" { "By" }
                    th scope="col" { "From" } th scope="col" { "Reason" } th scope="col" { "Records" }
                } }
                tbody { @for change in found.changes.iter().rev() { (row(change)) } }
            }
        }
        @if found.changes.is_empty() { p.none { "No such change." } }
    }
}

fn row(change: &Change) -> Markup {
    html! {
        tr id={ "change-" (change.epoch) } {
            th.number scope="row" { (change.epoch) }
            td { (time(&Timestamp::from_unix(change.at).to_string())) }
            td { (change.action.replace('_', " ")) }
            td { (change.actor.text()) }
            td { @match &change.origin {
                Some(Origin::Host { name }) => (name),
                Some(Origin::Request { id, address }) => {
                    span title={ "request " (id) } { (address.as_deref().unwrap_or("unknown")) }
                }
                None => "",
            } }
            td { (clipped(change.reason.as_deref().unwrap_or_default(), 120)) }
            td {
                details {
                    summary { (number_of(change.records.len())) " records" }
                    @for record in change.records.iter().take(SHOWN) {
                        p.mono { (clipped(&plain(&record.id), 120)) }
                        @if let Some(before) = &record.before { pre aria-label="before" { (pretty(before)) } }
                        pre aria-label="after" { (pretty(&record.after)) }
                    }
                    @if change.records.len() > SHOWN { p.soft { "and " (change.records.len().saturating_sub(SHOWN)) " more" } }
                }
            }
        }
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn pretty(value: &Value) -> String {
    lines(&serde_json::to_string_pretty(value).unwrap_or_default())
}
