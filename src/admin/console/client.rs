//! One client: what it has, what it did, what was done to it, and what can be done.

use axum::extract::{Path, Query};
use axum::response::IntoResponse as _;
use http::header::CONTENT_TYPE;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::chart;
use super::clients::Called;
use super::layout::{clipped, hidden, number_of, time, time_or};
use super::{Page, Visitor};
use crate::operation::{Role, letter};

#[derive(Deserialize)]
struct Client {
    #[serde(rename = "client_id")]
    id: String,
    status: String,
    stage: String,
    flags: Vec<String>,
    phase: String,
    tags: Vec<String>,
    description: Option<String>,
    contacts: Vec<String>,
    created_at: Option<String>,
    last_seen: Seen,
    last_refusal: Option<Refusal>,
    last_conflict: Option<String>,
    requests: Vec<Requests>,
    certificates: Vec<Certificate>,
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Seen {
    by_certificate: Option<String>,
    by_key: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    at: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
struct Requests {
    day: String,
    by_certificate: u64,
    by_key: u64,
}

#[derive(Deserialize)]
struct Certificate {
    fingerprint: String,
    status: String,
    subject: Option<String>,
    issuer: Option<String>,
    not_after: Option<String>,
    renews: Option<String>,
    renewed_by: Option<String>,
    last_used: Option<Used>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "key_id")]
    id: String,
    status: String,
    scopes: Vec<String>,
    issued_at: Option<String>,
    expires_at: Option<String>,
    last_used: Option<Used>,
}

#[derive(Deserialize)]
struct Used {
    at: Option<String>,
    from: String,
}

#[derive(Deserialize)]
struct Changes {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    epoch: u64,
    at: i64,
    action: String,
    actor: super::journal::Actor,
    reason: Option<String>,
}

pub(super) async fn page(visitor: Visitor, Path(id): Path<String>) -> Page {
    let client = visitor
        .look::<Client>("client/show", json!({ "id": id }))
        .await;
    let asked = json!({ "client": id, "limit": 50 });
    let changes = visitor.look::<Changes>("audit/list", asked).await;
    match (client, changes) {
        (Ok(client), Ok(changes)) => {
            let content = content(&client, &changes, &visitor);
            Ok(visitor.show(&client.id, "/clients", &content))
        }
        (Err(problem), _) | (_, Err(problem)) => Err(visitor.trouble(problem)),
    }
}

/// What the client is told by mail.
pub(super) async fn letter(
    visitor: Visitor,
    Path(id): Path<String>,
    Query(called): Query<Called>,
) -> Page {
    let id = ("ids".to_owned(), json!([id]));
    let asked = std::iter::once(id).chain(called.asked()).collect();
    match visitor.look::<letter::Report>("letter", asked).await {
        Ok(letters) => {
            visitor.expect_all()?;
            let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
            let text = letters.one().unwrap_or_default().to_owned();
            let mut answer = (kind, text).into_response();
            super::private(answer.headers_mut());
            Ok(answer)
        }
        Err(problem) => Err(visitor.trouble(problem)),
    }
}

fn content(client: &Client, changes: &Changes, visitor: &Visitor) -> Markup {
    let may_change = visitor.seat.who.role >= Role::Operator;
    html! {
        p {
            span class={ "tag " (client.stage) } { (client.stage) }
            @if client.status == "disabled" { span.tag.disabled { "disabled" } }
            @for flag in &client.flags { span class={ "tag " (flag) } title=(super::overview::meaning(flag)) { (flag) } }
            @for tag in &client.tags { span.tag { (tag) } }
        }
        p { (clipped(client.description.as_deref().unwrap_or_default(), 200)) }
        (correspondence(client))
        dl.tiles {
            (tile("Last by certificate", &time_or(client.last_seen.by_certificate.as_deref(), "never")))
            (tile("Last by key", &time_or(client.last_seen.by_key.as_deref(), "never")))
            (tile("Phase", &html! { (client.phase) }))
            (tile("Known since", &time_or(client.created_at.as_deref(), "unknown")))
            @if let Some(refusal) = &client.last_refusal {
                (tile("Last refusal", &html! {
                    code { (refusal.reason) } " " (time_or(refusal.at.as_deref(), ""))
                }))
            }
            @if let Some(at) = &client.last_conflict { (tile("Last conflict", &time(at))) }
        }
        @if may_change { (actions(client, visitor)) }
        (certificates(client, visitor, may_change))
        (keys(client, visitor, may_change))
        div.two {
            section aria-labelledby="requests" {
                h2 #requests { "Requests" }
                @if client.requests.is_empty() { p.none { "None in the last 30 days." } }
                @else {
                    (chart::bars("Requests by certificate", &days(client, |day| day.by_certificate)))
                    (chart::bars("Requests by key", &days(client, |day| day.by_key)))
                }
            }
            section aria-labelledby="timeline" {
                h2 #timeline { "Timeline" }
                ol.timeline reversed {
                    @for change in changes.changes.iter().rev() {
                        li {
                            (time(&crate::clock::Timestamp::from_unix(change.at).to_string())) " "
                            strong { (change.action.replace('_', " ")) } " by " (change.actor.text())
                            @if let Some(reason) = &change.reason { ": " (clipped(reason, 200)) }
                            " " a href={ "/audit#change-" (change.epoch) } aria-label={ "change " (change.epoch) } { "#" (change.epoch) }
                        }
                    }
                }
            }
        }
    }
}

/// Whom to write to, and what.
fn correspondence(client: &Client) -> Markup {
    html! {
        p {
            @if client.contacts.is_empty() { span.none { "No e-mail address in its certificates." } }
            @for contact in &client.contacts { a href={ "mailto:" (contact) } { (contact) } " " }
        }
        form.actions method="get" action={ "/clients/" (client.id) "/letter" } {
            (super::clients::api())
            button.plain type="submit" { "Its letter" }
        }
    }
}

fn tile(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn days(client: &Client, count: impl Fn(&Requests) -> u64) -> Vec<chart::Point> {
    let days = client.requests.iter();
    days.map(|day| (day.day.clone(), count(day))).collect()
}

/// A form of one button, that has `operation` carried out with `fields`.
fn button(
    visitor: &Visitor,
    back: &str,
    (operation, label, class): (&str, &str, &str),
    fields: &[(&str, &str)],
) -> Markup {
    html! {
        form method="post" action={ "/do/" (operation) } {
            (hidden(&visitor.seat))
            input type="hidden" name="back" value=(back);
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button class=(class) type="submit" { (label) }
        }
    }
}

fn actions(client: &Client, visitor: &Visitor) -> Markup {
    let (id, back) = (client.id.as_str(), format!("/clients/{}", client.id));
    html! {
        h2 { "Actions" }
        div.actions {
            form.actions method="post" action="/do/key/issue" {
                (hidden(&visitor.seat))
                input type="hidden" name="back" value=(back);
                input type="hidden" name="client" value=(id);
                div.field { label for="expires" { "Good until" } input #expires name="expires" placeholder="for ever, 90d, 2027-06-30" size="22"; }
                div.field { label for="scopes" { "Scope" } input #scopes name="scopes" size="12"; }
                button type="submit" { "Issue a key" }
            }
            (button(visitor, &back, ("key/rotate", "Rotate its key", "plain"), &[("client", id)]))
            @if client.status == "disabled" {
                (button(visitor, &back, ("client/enable", "Enable", ""), &[("ids", id)]))
            } @else {
                (button(visitor, &back, ("client/disable", "Disable", "danger"), &[("ids", id)]))
            }
            form.actions method="post" action="/do/client/tag" {
                (hidden(&visitor.seat))
                input type="hidden" name="back" value=(back);
                input type="hidden" name="ids" value=(id);
                div.field { label for="add" { "Tag" } input #add name="add" size="12"; }
                button.plain type="submit" { "Add tag" }
            }
        }
    }
}

fn certificates(client: &Client, visitor: &Visitor, may_change: bool) -> Markup {
    let back = format!("/clients/{}", client.id);
    html! {
        h2 { "Certificates" }
        @if client.certificates.is_empty() { p.none { "None." } }
        div.scroll tabindex="0" role="region" aria-label="Certificates" {
            table {
                caption { (number_of(client.certificates.len())) " certificates" }
                thead { tr {
                    th scope="col" { "Fingerprint" } th scope="col" { "Subject" } th scope="col" { "Issuer" }
                    th scope="col" { "Valid until" } th scope="col" { "Last used" } th scope="col" { "Lineage" }
                    @if may_change { th scope="col" { "Action" } }
                } }
                tbody {
                    @for one in &client.certificates {
                        tr id={ "certificate-" (one.fingerprint) } {
                            th.mono scope="row" { (short(&one.fingerprint)) " " span class={ "tag " (one.status) } { (one.status) } }
                            td { (clipped(one.subject.as_deref().unwrap_or("unknown"), 60)) }
                            td { (clipped(one.issuer.as_deref().unwrap_or("unknown"), 60)) }
                            td { (time_or(one.not_after.as_deref(), "unknown")) }
                            td { (used(one.last_used.as_ref())) }
                            td {
                                @if let Some(other) = &one.renews { "renews " a href={ "#certificate-" (other) } { (short(other)) } " " }
                                @if let Some(other) = &one.renewed_by { "renewed by " a href={ "#certificate-" (other) } { (short(other)) } }
                            }
                            @if may_change {
                                td { @if one.status == "mapped" {
                                    (button(visitor, &back, ("certificate/remove", "Remove", "danger"), &[("fingerprint", one.fingerprint.as_str())]))
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn keys(client: &Client, visitor: &Visitor, may_change: bool) -> Markup {
    let back = format!("/clients/{}", client.id);
    html! {
        h2 { "Keys" }
        @if client.keys.is_empty() { p.none { "None." } }
        div.scroll tabindex="0" role="region" aria-label="Keys" {
            table {
                caption { (number_of(client.keys.len())) " keys" }
                thead { tr {
                    th scope="col" { "Key id" } th scope="col" { "Status" } th scope="col" { "Issued" }
                    th scope="col" { "Good until" } th scope="col" { "Last used" } th scope="col" { "Scopes" }
                    @if may_change { th scope="col" { "Action" } }
                } }
                tbody {
                    @for key in &client.keys {
                        tr {
                            th.mono scope="row" { (key.id) }
                            td { span class={ "tag " (key.status) } { (key.status) } }
                            td { (time_or(key.issued_at.as_deref(), "never")) }
                            td { (time_or(key.expires_at.as_deref(), "for ever")) }
                            td { (used(key.last_used.as_ref())) }
                            td { (key.scopes.join(" ")) }
                            @if may_change {
                                td {
                                    @if key.status == "active" {
                                        (button(visitor, &back, ("key/revoke", "Revoke", "danger"), &[("id", key.id.as_str())]))
                                    } @else if key.status == "revoked" {
                                        (button(visitor, &back, ("key/restore", "Restore", "plain"), &[("id", key.id.as_str())]))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn used(used: Option<&Used>) -> Markup {
    let last =
        used.map(|used| html! { (time_or(used.at.as_deref(), "unknown")) " from " (used.from) });
    last.unwrap_or_else(|| html! { span.none { "never" } })
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..16).unwrap_or(fingerprint)
}
