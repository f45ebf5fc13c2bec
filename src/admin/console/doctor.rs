//! What the doctor found last, the worst first. Looking at the page asks nobody anything; a button does.

use axum::extract::Form;
use axum::response::{IntoResponse as _, Redirect};
use http::HeaderMap;
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::layout::{clipped, hidden, number_of, time};
use super::{Page, Visitor};
use crate::admin::answer::Problem;
use crate::clock::{self, Timestamp};
use crate::doctor::{Finding, Outcome, Report};
use crate::operation::Role;
use crate::operation::table::{how_many, relative};

/// How bad it can be: the heading, and what it means.
const GROUPS: [(Outcome, &str, &str); 4] = [
    (
        Outcome::Error,
        "Errors",
        "It does not work, or is not safe.",
    ),
    (
        Outcome::Warning,
        "Warnings",
        "It works, and will not always.",
    ),
    (
        Outcome::Note,
        "Notes",
        "Nothing is wrong; there is something to know, or it cannot be seen.",
    ),
    (Outcome::Ok, "In order", "It is as it should be."),
];

/// The longest text of a finding that is shown.
const LONGEST: usize = 500;

#[derive(Deserialize)]
pub(super) struct Asked {
    csrf: String,
    #[serde(default)]
    no_backends: bool,
}

pub(super) async fn page(visitor: Visitor) -> Page {
    let last = visitor.admin.kept.doctor.report();
    let content = content(last.as_deref(), &visitor);
    Ok(visitor.show("Doctor", "/doctor", &content))
}

pub(super) async fn run(visitor: Visitor, headers: HeaderMap, Form(sent): Form<Asked>) -> Page {
    let looked = match visitor.is_own(&headers, &sent.csrf) {
        Ok(()) => look(&visitor, sent.no_backends).await,
        Err(problem) => Err(problem),
    };
    match looked {
        Ok(()) => Ok(Redirect::to("/doctor").into_response()),
        Err(problem) => Err(visitor.trouble(problem)),
    }
}

/// Has the doctor look; what is found is kept.
async fn look(visitor: &Visitor, no_backends: bool) -> Result<(), Problem> {
    let asked = json!({ "no_backends": no_backends });
    visitor.look::<IgnoredAny>("doctor", asked).await.map(drop)
}

fn content(last: Option<&Report>, visitor: &Visitor) -> Markup {
    html! {
        p.soft { "Is everything around this gateway as it should be: its configuration, files, certificates, store and backends? docs/DOCTOR.md explains each check by its name, and says what backends are sent." }
        @if visitor.seat.who.role >= Role::Operator { (form(last.is_some(), visitor)) }
        @match last {
            None => p.none { "Nobody has had it look since this gateway started." },
            Some(report) => (shown(report, clock::now())),
        }
    }
}

fn form(is_again: bool, visitor: &Visitor) -> Markup {
    let name = if is_again { "Run again" } else { "Run" };
    html! {
        form.actions method="post" action="/doctor" {
            (hidden(&visitor.seat))
            button type="submit" { (name) }
            label.check { input type="checkbox" name="no_backends" value="true"; " send nothing to backends" }
            span.hint { "It changes nothing, and takes up to half a minute." }
        }
    }
}

fn shown(report: &Report, now: Timestamp) -> Markup {
    html! {
        p {
            strong { (how_many(report.counts.error, "error")) } ", " strong { (how_many(report.counts.warning, "warning")) } ", "
            (how_many(report.counts.note, "note")) ", " (number_of(report.counts.ok)) " in order. Looked "
            (relative(report.at, now)) ", " (time(&report.at.to_string())) "."
        }
        @for (outcome, heading, meaning) in GROUPS { (group(report, outcome, (heading, meaning))) }
    }
}

fn group(report: &Report, outcome: Outcome, (heading, meaning): (&str, &str)) -> Markup {
    let findings = { report.findings.iter() }.filter(|finding| finding.outcome == outcome);
    let findings: Vec<_> = findings.collect();
    let id = heading.to_ascii_lowercase().replace(' ', "-");
    html! {
        @if !findings.is_empty() {
            details open[outcome != Outcome::Ok] id=(id) {
                summary { strong { (heading) } ": " (number_of(findings.len())) }
                p.soft { (meaning) }
                div.scroll tabindex="0" role="region" aria-label=(heading) {
                    table {
                        thead { tr {
                            th scope="col" { "Check" } th scope="col" { "Of" } th scope="col" { "Found" }
                            @if outcome != Outcome::Ok { th scope="col" { "What to do" } }
                        } }
                        tbody { @for finding in findings { (row(finding)) } }
                    }
                }
            }
        }
    }
}

fn row(finding: &Finding) -> Markup {
    let (group, page) = finding.check.group();
    html! {
        tr {
            th scope="row" { (group) ": " (finding.check.title()) br; code { (finding.check.name()) } }
            td { (clipped(finding.subject.as_deref().unwrap_or_default(), LONGEST)) }
            td {
                (clipped(&finding.found, LONGEST))
                @if let Some(expected) = &finding.expected { br; "expected: " (clipped(expected, LONGEST)) }
            }
            @if let Some(advice) = &finding.advice {
                td { (clipped(advice, LONGEST)) br; span.soft { (page) } }
            }
        }
    }
}
