//! The overview: how far the move is, how fast, and what wants attention.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::layout::{number, time};
use super::{Page, Visitor, chart};

#[derive(Deserialize)]
struct Status {
    clients: Clients,
    certificates: Certificates,
    keys: Keys,
    traffic: Recent,
    burndown: Vec<Remaining>,
    forecast: Forecast,
    flags: BTreeMap<String, u64>,
    refused_today: Refused,
    phases: Vec<InForce>,
    debt: Debt,
    store: String,
    epoch: u64,
}

#[derive(Deserialize)]
struct Clients {
    total: u64,
    by_stage: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Certificates {
    mapped: u64,
    expiring_within_7_days: u64,
    expiring_within_30_days: u64,
    pending: u64,
}

#[derive(Deserialize)]
struct Keys {
    issued: u64,
    never_used: u64,
}

#[derive(Deserialize)]
struct Recent {
    today: Traffic,
    last_7_days: Traffic,
}

#[derive(Deserialize)]
struct Traffic {
    by_certificate: u64,
    by_key: u64,
    refused: u64,
    certificate_share: Option<f64>,
}

#[derive(Deserialize)]
struct Remaining {
    day: String,
    remaining: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
enum Forecast {
    Done,
    Between { earliest: String, latest: String },
    None { because: String },
}

#[derive(Deserialize)]
struct Refused {
    clients: u64,
    by_reason: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct InForce {
    target: String,
    phase: String,
    since: Option<String>,
    sunset: Option<String>,
}

#[derive(Deserialize)]
struct Debt {
    backends: Vec<String>,
    clients: u64,
}

pub(super) async fn page(visitor: Visitor) -> Page {
    match visitor.look::<Status>("status", json!({})).await {
        Ok(status) => Ok(visitor.show("Overview", "/", &content(&status))),
        Err(problem) => Err(visitor.trouble(problem)),
    }
}

fn content(status: &Status) -> Markup {
    let remaining = status.burndown.last().map_or(0, |last| last.remaining);
    let stage = |name: &str| status.clients.by_stage.get(name).copied().unwrap_or(0);
    let points = status.burndown.iter();
    let points: Vec<_> = points.map(|day| (day.day.clone(), day.remaining)).collect();
    html! {
        dl.tiles {
            (tile("Clients that have not moved", &number(remaining), &html! {
                "of " (number(status.clients.total)) ", " (foreseen(&status.forecast))
            }))
            (tile("Moved", &number(stage("key-only")), &html! { "call by key alone" }))
            (tile("Requests by certificate, 7 days", &share(&status.traffic.last_7_days), &html! {
                (number(status.traffic.last_7_days.by_certificate)) " by certificate, "
                (number(status.traffic.last_7_days.by_key)) " by key"
            }))
            (tile("Expiring within 30 days", &number(status.certificates.expiring_within_30_days), &html! {
                (number(status.certificates.expiring_within_7_days)) " of them within 7 days: "
                a href="/expiring" { "who" }
            }))
        }
        div.two {
            section aria-labelledby="burndown" {
                h2 #burndown { "Clients that call by certificate and have not moved" }
                (chart::line("Clients that have not moved, by day", &points))
            }
            section aria-labelledby="stages" {
                h2 #stages { "Stages" }
                table {
                    caption { "How far the clients are" }
                    tbody {
                        @for (name, count) in &status.clients.by_stage {
                            tr {
                                th scope="row" { a href={ "/clients?stage=" (name) } { (name) } }
                                td.number { (number(*count)) }
                                td {
                                    meter min="0" max=(status.clients.total.max(1)) value=(count)
                                        aria-label={ (name) ": " (count) " of " (status.clients.total) } {}
                                }
                            }
                        }
                    }
                }
            }
        }
        (now(status))
    }
}

/// What wants attention, what happened today, and what is in force.
fn now(status: &Status) -> Markup {
    html! {
        div.two {
            section aria-labelledby="attention" {
                h2 #attention { "Needs attention" }
                (attention(status))
            }
            section aria-labelledby="today" {
                h2 #today { "Today" }
                p {
                    (number(status.traffic.today.by_certificate)) " requests by certificate, "
                    (number(status.traffic.today.by_key)) " by key, "
                    (number(status.traffic.today.refused)) " refused to known clients."
                }
                p {
                    (number(status.keys.issued)) " keys, " (number(status.keys.never_used)) " of them never used; "
                    (number(status.certificates.mapped)) " certificates."
                }
                h2 { "Phases in force" }
                @if status.phases.is_empty() { p.none { "None: certificates are accepted as ever." } }
                ul {
                    @for phase in &status.phases {
                        li {
                            strong { (phase.phase) } " for " (phase.target)
                            @if let Some(since) = &phase.since { ", since " (time(since)) }
                            @if let Some(sunset) = &phase.sunset { ", until " (time(sunset)) }
                        }
                    }
                }
                p.soft { "Store: " (status.store) ", change " (number(status.epoch)) ". " a href="/health" { "Health" } }
            }
        }
    }
}

fn tile(name: &str, value: &str, beside: &Markup) -> Markup {
    html! { div { dt { (name) } dd.big { (value) } dd { (beside) } } }
}

fn share(traffic: &Traffic) -> String {
    let share = traffic.certificate_share;
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn foreseen(forecast: &Forecast) -> Markup {
    match forecast {
        Forecast::Done => html! { "none remains" },
        Forecast::Between { earliest, latest } if earliest == latest => {
            html! { "none about " (earliest) }
        }
        Forecast::Between { earliest, latest } => {
            html! { "none between " (earliest) " and " (latest) }
        }
        Forecast::None { because } => html! { "no forecast: " (because.replace('_', " ")) },
    }
}

/// What each flag means, to whoever reads it for the first time.
pub(super) fn meaning(flag: &str) -> &'static str {
    match flag {
        "expiring" => "depends on certificates, and the last of them ends soon",
        "expired" => "depends on certificates, and all of them have ended",
        "conflict" => "its certificate came beside another client's key",
        "clone" => "two of its certificates were used from two places at about the same time",
        "silent" => "nothing came from it for long",
        "unclaimed" => "has a key, and never used one",
        _ => "",
    }
}

fn attention(status: &Status) -> Markup {
    let flags: Vec<_> = status
        .flags
        .iter()
        .filter(|(_, count)| **count > 0)
        .collect();
    let is_calm = flags.is_empty()
        && status.refused_today.clients == 0
        && status.certificates.pending == 0
        && status.debt.backends.is_empty();
    html! {
        @if is_calm { p.none { "Nothing." } }
        ul {
            @if status.certificates.pending > 0 {
                li { a href="/failures#pending" { (number(status.certificates.pending)) " certificates" } " wait for your word" }
            }
            @for (flag, count) in flags {
                li { a href={ "/clients?flag=" (flag) } { (number(*count)) " " (flag) } ": " (meaning(flag)) }
            }
            @for (reason, count) in &status.refused_today.by_reason {
                li { (number(*count)) " clients refused today: " code { (reason) } ", " a href="/failures" { "what to do" } }
            }
            @if !status.debt.backends.is_empty() {
                li {
                    "Still told as by an old proxy: " (status.debt.backends.join(", ")) "; "
                    (number(status.debt.clients)) " clients with a key depend on it"
                }
            }
        }
    }
}
