//! The phases: what is in force for whom, and the forms that plan, start, stop and take back.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::layout::{clipped, hidden, number, time, time_or};
use super::{Page, Visitor};
use crate::operation::Role;

#[derive(Deserialize)]
struct Report {
    phases: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    target: String,
    phase: String,
    since: Option<String>,
    by: String,
    reason: Option<String>,
    sunset: Option<String>,
    brownout: Option<Brownout>,
    clients: u64,
    by_certificate: u64,
}

#[derive(Deserialize)]
struct Brownout {
    begins: Option<String>,
    ends: Option<String>,
    budget: Option<u64>,
    next_refusal: Option<String>,
}

/// What can be set: the operation, its name on the page, what it means, and which fields it takes.
const STEPS: [(&str, &str, &str, &[&str]); 4] = [
    (
        "phase/announce",
        "Announce",
        "Tell clients with every answer to a certificate that certificates end. Nobody is refused.",
        &["sunset", "guide"],
    ),
    (
        "phase/brownout",
        "Brown out",
        "Refuse certificates at times, so that whoever overlooked the announcement notices. It stops itself at its budget.",
        &[
            "windows", "zone", "percent", "from", "until", "budget", "notice", "sunset", "guide",
        ],
    ),
    (
        "phase/retire",
        "Retire",
        "Refuse certificates, unless clients called by certificate lately.",
        &["sunset", "guide"],
    ),
    (
        "phase/accept",
        "Accept",
        "Accept certificates as ever, whatever is set for others.",
        &[],
    ),
];

/// How a field is written.
fn example(field: &str) -> &'static str {
    match field {
        "sunset" => "2027-06-30",
        "guide" => "https://example.com/keys",
        "windows" => "Tue 10:00-11:00",
        "zone" => "Europe/Berlin",
        "percent" => "1 to 100, instead of windows",
        "from" | "until" => "2027-03-01",
        "budget" => "10000 requests",
        "notice" => "7d",
        _ => "",
    }
}

pub(super) async fn page(visitor: Visitor) -> Page {
    match visitor.look::<Report>("phase/list", json!({})).await {
        Ok(report) => Ok(visitor.show("Phases", "/phases", &content(&report, &visitor))),
        Err(problem) => Err(visitor.trouble(problem)),
    }
}

fn content(report: &Report, visitor: &Visitor) -> Markup {
    let may_change = visitor.seat.who.role >= Role::Admin;
    html! {
        h2 { "In force" }
        @if report.phases.is_empty() { p.none { "None: certificates are accepted as ever." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Phases in force" {
                table {
                    caption { "What was set, and for whom" }
                    thead { tr {
                        th scope="col" { "For" } th scope="col" { "Phase" } th scope="col" { "Since" } th scope="col" { "By" }
                        th.number scope="col" { "Clients" } th.number scope="col" { "By certificate lately" }
                        th scope="col" { "Details" } th scope="col" { "Reason" } @if may_change { th scope="col" { "Take back" } }
                    } }
                    tbody { @for line in &report.phases { (row(line, visitor, may_change)) } }
                }
            }
        }
        @if may_change {
            h2 { "Set a phase" }
            p.soft { "What would be done, and to whom, is shown before anything is." }
            @for step in STEPS { (form(step, visitor)) }
        } @else {
            p.soft { "Phases are set by those with the role admin." }
        }
    }
}

fn row(line: &Line, visitor: &Visitor, may_change: bool) -> Markup {
    let (name, value) = aim(&line.target);
    html! {
        tr {
            th scope="row" { (line.target) }
            td { strong { (line.phase) } }
            td { (time_or(line.since.as_deref(), "")) }
            td { (line.by) }
            td.number { (number(line.clients)) }
            td.number { (number(line.by_certificate)) }
            td {
                @if let Some(sunset) = &line.sunset { "until " (time(sunset)) " " }
                @if let Some(brownout) = &line.brownout {
                    "from " (time_or(brownout.begins.as_deref(), "now"))
                    @if let Some(ends) = &brownout.ends { " to " (time(ends)) }
                    @if let Some(next) = &brownout.next_refusal { ", refuses next " (time(next)) }
                    @if let Some(budget) = brownout.budget { ", at most " (number(budget)) " requests" }
                }
            }
            td { (clipped(line.reason.as_deref().unwrap_or_default(), 80)) }
            @if may_change { td {
                form method="post" action="/do/phase/undo" {
                    (hidden(&visitor.seat))
                    input type="hidden" name="back" value="/phases";
                    input type="hidden" name=(name) value=(value);
                    button.plain type="submit" { "Undo" }
                }
            } }
        }
    }
}

/// The parameter that names a target: `all`, `cohort:mobile` or `client:acme`.
fn aim(target: &str) -> (&str, &str) {
    match target.split_once(':') {
        Some((kind, name)) => (kind, name),
        None => ("all", "true"),
    }
}

fn form(
    (operation, name, about, fields): (&str, &str, &str, &[&str]),
    visitor: &Visitor,
) -> Markup {
    let id = |field: &str| format!("{}-{field}", name.to_ascii_lowercase().replace(' ', "-"));
    html! {
        details {
            summary { strong { (name) } ": " (about) }
            form method="post" action={ "/do/" (operation) } {
                (hidden(&visitor.seat))
                input type="hidden" name="back" value="/phases";
                div.actions {
                    label.check { input type="checkbox" name="all" value="true"; " every client" }
                    div.field { label for=(id("cohort")) { "or those with tags" } input id=(id("cohort")) name="cohort" placeholder="mobile,!beta" size="14"; }
                    div.field { label for=(id("client")) { "or one client" } input id=(id("client")) name="client" size="14"; }
                }
                div.actions {
                    @for field in fields {
                        div.field {
                            label for=(id(field)) { (field) }
                            input id=(id(field)) name=(field) placeholder=(example(field)) size="20";
                        }
                    }
                    div.field { label for=(id("reason")) { "reason" } input id=(id("reason")) name="reason" size="30"; }
                    @if matches!(operation, "phase/brownout" | "phase/retire") {
                        label.check { input type="checkbox" name="force" value="true"; " whatever speaks against it (say why)" }
                    }
                    button type="submit" { "Show what would be done" }
                }
            }
        }
    }
}
