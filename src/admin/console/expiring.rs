//! The cliff: when clients that have not moved lose their last certificate.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::layout::{number, number_of, time_or};
use super::{Page, Visitor, chart};
use crate::clock::{self, Day};

/// How far it is looked ahead, in days.
const AHEAD: u32 = 90;
/// How many clients are named.
const NAMED: usize = 200;

#[derive(Deserialize)]
struct Status {
    expiry_cliff: Cliff,
}

#[derive(Deserialize)]
struct Cliff {
    ended: u64,
    within_90_days: u64,
    by_day: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Found {
    clients: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    client_id: String,
    stage: String,
    keys: u64,
    certificates_end: Option<String>,
}

pub(super) async fn page(visitor: Visitor) -> Page {
    let status = visitor.look::<Status>("status", json!({})).await;
    // Some of the first have moved, and are left out.
    let asked = json!({ "sort": "expiry", "limit": NAMED.saturating_mul(5) });
    let found = visitor.look::<Found>("client/list", asked).await;
    match (status, found) {
        (Ok(status), Ok(found)) => {
            let today = clock::now().day();
            let content = content(&status.expiry_cliff, &found.clients, today);
            Ok(visitor.show("Expiring", "/expiring", &content))
        }
        (Err(problem), _) | (_, Err(problem)) => Err(visitor.trouble(problem)),
    }
}

fn content(cliff: &Cliff, clients: &[Line], today: Day) -> Markup {
    let ahead = |days: u32| Day::from_number(today.number().saturating_add(days)).to_string();
    let days = (0..AHEAD).map(ahead);
    let points = days.map(|day| {
        let count = cliff.by_day.get(&day).copied().unwrap_or(0);
        (day, count)
    });
    let points: Vec<_> = points.collect();
    let end = ahead(AHEAD);
    let unmoved = clients.iter().filter(|line| {
        let is_near = { line.certificates_end.as_deref() }.is_some_and(|at| at < end.as_str());
        is_near && !matches!(line.stage.as_str(), "key-only" | "retired")
    });
    let unmoved: Vec<_> = unmoved.take(NAMED).collect();
    html! {
        p {
            strong { (number(cliff.ended)) } " clients that have not moved have no certificate left that is valid; "
            strong { (number(cliff.within_90_days)) } " lose their last within " (AHEAD) " days."
        }
        (chart::bars("Clients that lose their last certificate, by day", &points))
        h2 { "Who, the first first" }
        div.scroll tabindex="0" role="region" aria-label="Who loses the last certificate" {
            table {
                caption { (number_of(unmoved.len())) " clients that have not moved" }
                thead { tr {
                    th scope="col" { "Client" } th scope="col" { "Last certificate ends" } th scope="col" { "Stage" }
                    th.number scope="col" { "Keys" }
                } }
                tbody { @for line in unmoved {
                    tr {
                        th scope="row" { a href={ "/clients/" (line.client_id) } { (line.client_id) } }
                        td { (time_or(line.certificates_end.as_deref(), "unknown")) }
                        td { span class={ "tag " (line.stage) } { (line.stage) } }
                        td.number { (number(line.keys)) }
                    }
                } }
            }
        }
    }
}
