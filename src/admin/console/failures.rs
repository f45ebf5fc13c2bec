//! What fails and why: handshakes by reason, and certificates that wait for the operator's word.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::layout::{clipped, hidden, number, number_of, time};
use super::{Page, Visitor};
use crate::admin::handshakes::{self, Line, Reason};
use crate::admin::query::Query;
use crate::gateway::documentation;
use crate::operation::{Failure, Role};

/// How many who failed are shown of each reason.
const SHOWN: usize = 20;

#[derive(Deserialize)]
struct Waiting {
    certificates: Vec<Pending>,
}

#[derive(Deserialize)]
struct Pending {
    fingerprint: String,
    subject: Option<String>,
    issuer: Option<String>,
    not_after: Option<String>,
    proposed_client_id: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    refused_today: Refused,
}

#[derive(Deserialize)]
struct Refused {
    by_reason: BTreeMap<String, u64>,
}

pub(super) async fn page(visitor: Visitor) -> Page {
    let status = match visitor.look::<Status>("status", json!({})).await {
        Ok(status) => status,
        Err(problem) => return Err(visitor.trouble(problem)),
    };
    let asked = json!({ "pending": true });
    let waiting = visitor.look::<Waiting>("certificate/list", asked).await;
    let report = handshakes::report(&visitor.admin.journal, &Query::default());
    let report = report.map_err(|wrong| Failure::Internal(anyhow::anyhow!(wrong)).into());
    match (waiting, report) {
        (Ok(waiting), Ok(report)) => {
            let content = content(&waiting, (&status.refused_today, &report), &visitor);
            Ok(visitor.show("Failures", "/failures", &content))
        }
        (Err(problem), _) | (_, Err(problem)) => Err(visitor.trouble(problem)),
    }
}

fn content(
    waiting: &Waiting,
    (refused, report): (&Refused, &handshakes::Report),
    visitor: &Visitor,
) -> Markup {
    html! {
        section aria-labelledby="pending" {
            h2 #pending { "Certificates that wait for your word" }
            @if waiting.certificates.is_empty() { p.none { "None." } }
            @else { (pending(waiting, visitor)) }
        }
        h2 { "Clients refused today" }
        @if refused.by_reason.is_empty() { p.none { "None." } }
        @for (reason, count) in &refused.by_reason {
            details open {
                summary { strong { (reason) } ": " a href={ "/clients?refused=" (reason) } { (number(*count)) " clients" } }
                p { (documentation(reason).unwrap_or_default()) }
            }
        }
        h2 { "Handshakes that failed" }
        p.soft { "Since this gateway started, " (time(&report.since.to_string())) ". The server never saw these requests." }
        @if report.reasons.is_empty() { p.none { "None." } }
        @for reason in &report.reasons { (group(reason, &report.failures)) }
    }
}

fn pending(waiting: &Waiting, visitor: &Visitor) -> Markup {
    let may_change = visitor.seat.who.role >= Role::Operator;
    html! {
        div.scroll tabindex="0" role="region" aria-label="Certificates that wait" {
            table {
                caption { (number_of(waiting.certificates.len())) " certificates, verified and nobody's yet" }
                thead { tr {
                    th scope="col" { "Fingerprint" } th scope="col" { "Subject" } th scope="col" { "Issuer" }
                    th scope="col" { "Valid until" } @if may_change { th scope="col" { "Register" } }
                } }
                tbody { @for one in &waiting.certificates {
                    tr {
                        th.mono scope="row" { (one.fingerprint.get(..16).unwrap_or_default()) }
                        td { (clipped(one.subject.as_deref().unwrap_or("unknown"), 60)) }
                        td { (clipped(one.issuer.as_deref().unwrap_or("unknown"), 60)) }
                        td { (super::layout::time_or(one.not_after.as_deref(), "unknown")) }
                        @if may_change { td {
                            form.actions method="post" action="/do/certificate/approve" {
                                (hidden(&visitor.seat))
                                input type="hidden" name="back" value="/failures";
                                input type="hidden" name="fingerprints" value=(one.fingerprint);
                                input name="client" aria-label="of which client" size="16"
                                    value=(one.proposed_client_id.as_deref().unwrap_or_default()) placeholder="a client's id";
                                button type="submit" { "Give to it" }
                            }
                            form method="post" action="/do/certificate/approve" {
                                (hidden(&visitor.seat))
                                input type="hidden" name="back" value="/failures";
                                input type="hidden" name="fingerprints" value=(one.fingerprint);
                                input type="hidden" name="new" value="true";
                                button.plain type="submit" { "A new client" }
                            }
                        } }
                    }
                } }
            }
        }
    }
}

fn group(reason: &Reason, failures: &[Line]) -> Markup {
    let of_it: Vec<_> = { failures.iter() }
        .filter(|line| line.reason == reason.reason)
        .collect();
    html! {
        details open {
            summary { strong { (reason.reason) } ": " (number(reason.count)) " handshakes" }
            p { (reason.meaning) "." }
            p { strong { "Next step: " } (reason.remedy) "." }
            div.scroll tabindex="0" role="region" aria-label={ "Who failed: " (reason.reason) } {
                table {
                    caption { "Who failed, the last first" }
                    thead { tr {
                        th scope="col" { "Address" } th.number scope="col" { "Handshakes" } th scope="col" { "Last" }
                        th scope="col" { "Asked for" } th scope="col" { "In the library's words" }
                    } }
                    tbody { @for line in of_it.iter().take(SHOWN) {
                        tr {
                            th.mono scope="row" { (line.address) }
                            td.number { (number(line.count)) }
                            td { (time(&line.last.to_string())) }
                            td { (clipped(line.offer.server_name.as_deref().unwrap_or_default(), 60)) }
                            td { (clipped(&line.openssl, 100)) }
                        }
                    } }
                }
            }
            @if of_it.len() > SHOWN { p.soft { "and " (of_it.len().saturating_sub(SHOWN)) " more: " code { "keyferry failures" } } }
        }
    }
}
