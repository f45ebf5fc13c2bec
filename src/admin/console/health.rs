//! How this gateway and its store are, and the other gateways that share it.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::layout::{clipped, number, number_of, time};
use super::{Page, Visitor};

#[derive(Deserialize)]
struct Shared {
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    host: String,
    state: String,
    version: String,
    since: String,
    heard_seconds_ago: u64,
    epoch: u64,
    store_age_seconds: u64,
    configuration: String,
    configuration_taken_over: bool,
    differs_in: Vec<String>,
}

pub(super) async fn page(visitor: Visitor) -> Page {
    let shared = visitor.look::<Shared>("replica/list", json!({})).await;
    let others = match &shared {
        Ok(shared) => gateways(&shared.replicas),
        Err(problem) => html! {
            p.wrong role="alert" { "Which gateways share the store cannot be told now: " (problem.detail()) }
        },
    };
    let content = html! {
        (own(&visitor))
        h2 { "Gateways that share the store" }
        (others)
        p {
            "Prometheus sees how each of them fares (docs/MONITORING.md). Files, certificates, backends and Redis are checked by the "
            a href="/doctor" { "doctor" } "."
        }
    };
    Ok(visitor.show("Health", "/health", &content))
}

fn own(visitor: &Visitor) -> Markup {
    let directory = &visitor.admin.directory;
    let store = visitor.admin.live.load().operations.store.to_string();
    let rows = [
        ("Store", store, None),
        (
            "The store answers",
            yes(directory.is_reachable()),
            (!directory.is_reachable())
                .then_some("known clients are served for a bounded time; docs/STORE.md"),
        ),
        (
            "Everything is loaded",
            yes(directory.is_loaded()),
            (!directory.is_loaded()).then_some("until then, credentials get 503"),
        ),
        (
            "Last word from the store",
            format!("{} s ago", directory.age().as_secs()),
            None,
        ),
        (
            "Change that is known here",
            number(directory.watch().borrow().epoch.0),
            None,
        ),
        ("Identities", number(directory.population()), None),
        (
            "Revocations upheld against the store",
            number_of(directory.upheld()),
            (directory.upheld() > 0)
                .then_some("the store lost them, and they are being made again"),
        ),
        ("Version", env!("CARGO_PKG_VERSION").to_owned(), None),
    ];
    html! {
        table {
            caption { "This gateway, now" }
            tbody { @for (name, value, advice) in rows {
                tr {
                    th scope="row" { (name) }
                    td { (value) @if let Some(advice) = advice { " – " strong { (advice) } } }
                }
            } }
        }
    }
}

fn gateways(replicas: &[Replica]) -> Markup {
    html! {
        @if replicas.is_empty() { p.none { "None has told of itself within the last hour." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Gateways that share the store" {
                table {
                    caption { "Each tells of itself every 15 seconds; one that is gone is forgotten after an hour" }
                    thead { tr {
                        th scope="col" { "Machine" } th scope="col" { "State" } th scope="col" { "Version" }
                        th scope="col" { "Up since" } th scope="col" { "Last heard of" }
                        th.number scope="col" { "Change known" } th scope="col" { "Configuration" }
                    } }
                    tbody { @for replica in replicas { (gateway(replica)) } }
                }
            }
        }
    }
}

fn gateway(replica: &Replica) -> Markup {
    let differs_in = |what: &str| replica.differs_in.iter().any(|one| one == what);
    html! {
        tr {
            th scope="row" { (clipped(&replica.host, 64)) }
            td { span class={ "tag " (state_class(&replica.state)) } { (replica.state) } }
            td { (clipped(&replica.version, 32)) @if differs_in("version") { " – " strong { "not that of the others" } } }
            td { (time(&replica.since)) }
            td {
                (number(replica.heard_seconds_ago)) " s ago"
                @if replica.store_age_seconds > 0 { ", " (number(replica.store_age_seconds)) " s behind the store" }
            }
            td.number { (number(replica.epoch)) }
            td {
                code { (clipped(&replica.configuration, 16)) }
                @if differs_in("configuration") { " – " strong { "not that of the others" } }
                @if !replica.configuration_taken_over { " – " strong { "its file was not taken over: keyferry reload says why" } }
            }
        }
    }
}

/// The look of a state: as of what else is well, or is not.
fn state_class(state: &str) -> &'static str {
    match state {
        "ready" => "active",
        "stopped" => "",
        _ => "pending",
    }
}

fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
