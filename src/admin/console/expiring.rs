//! The cliff: when clients that have not moved lose their last certificate.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::layout::{number, time_or};
use super::{Page, Visitor, chart};
use crate::clock::{self, Day};

/// How far it is looked ahead, in days.
const AHEAD: u32 = 90;
/// How many clients are named.
const NAMED: usize = 200;

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    list: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    client_id: String,
    outcome: String,
    stage: String,
    has_key: bool,
    requests_by_certificate: u64,
    certificates_end: Option<String>,
}

pub(super) async fn page(visitor: Visitor) -> Page {
    let today = clock::now().day();
    let off = Day::from_number(today.number().saturating_add(AHEAD)).to_string();
    let asked = json!({ "certificates_off": off, "list": true });
    match visitor.look::<Report>("what-if", asked).await {
        Ok(mut report) => {
            report.list.retain(|line| {
                line.certificates_end
                    .as_deref()
                    .is_some_and(|end| end < off.as_str())
            });
            report
                .list
                .sort_by(|a, b| a.certificates_end.cmp(&b.certificates_end));
            Ok(visitor.show("Expiring", "/expiring", &content(&report, today)))
        }
        Err(problem) => Err(visitor.trouble(problem)),
    }
}

fn content(report: &Report, today: Day) -> Markup {
    let mut days: BTreeMap<String, u64> = (0..AHEAD)
        .map(|ahead| {
            (
                Day::from_number(today.number().saturating_add(ahead)).to_string(),
                0,
            )
        })
        .collect();
    let mut ended: u64 = 0;
    for line in &report.list {
        let day = line
            .certificates_end
            .as_deref()
            .and_then(|end| end.get(..10));
        match day.and_then(|day| days.get_mut(day)) {
            Some(count) => *count = count.saturating_add(1),
            None => ended = ended.saturating_add(1),
        }
    }
    let points: Vec<_> = days.into_iter().collect();
    html! {
        p {
            strong { (number(ended)) } " clients that have not moved have no certificate left that is valid; "
            strong { (number(points.iter().map(|(_, count)| count).sum())) } " lose their last within " (AHEAD) " days."
        }
        (chart::bars("Clients that lose their last certificate, by day", &points))
        h2 { "Who, the first first" }
        div.scroll tabindex="0" role="region" aria-label="Who loses the last certificate" {
            table {
                caption { (number(report.list.len().min(NAMED).try_into().unwrap_or(0))) " of " (number(report.list.len().try_into().unwrap_or(0))) " clients" }
                thead { tr {
                    th scope="col" { "Client" } th scope="col" { "Last certificate ends" } th scope="col" { "Stage" }
                    th scope="col" { "Has a key" } th.number scope="col" { "By certificate, 30 days" } th scope="col" { "What happens" }
                } }
                tbody { @for line in report.list.iter().take(NAMED) {
                    tr {
                        th scope="row" { a href={ "/clients/" (line.client_id) } { (line.client_id) } }
                        td { (time_or(line.certificates_end.as_deref(), "unknown")) }
                        td { span class={ "tag " (line.stage) } { (line.stage) } }
                        td { (if line.has_key { "yes" } else { "no" }) }
                        td.number { (number(line.requests_by_certificate)) }
                        td { (line.outcome.replace(['_', '-'], " ")) }
                    }
                } }
            }
        }
    }
}
