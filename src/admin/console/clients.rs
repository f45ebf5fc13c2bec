//! The clients: looked for, filtered, and changed several at a time.

use axum::extract::{Query, RawQuery};
use axum::response::IntoResponse;
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::layout::{clipped, hidden, number, number_of, time_or};
use super::{Page, Visitor};
use crate::admin::answer::Problem;
use crate::client::{Flag, Stage};
use crate::operation::{Role, csv, letter};

/// How many stand on a page.
const A_PAGE: u64 = 100;
/// Of how many parts a table of letters is at most: it is made in memory.
const PARTS: usize = 20;
/// What is looked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    search: String,
    stage: String,
    flag: String,
    refused: String,
    cohort: String,
    sort: String,
    after: String,
}

#[derive(Deserialize)]
struct Found {
    clients: Vec<Line>,
    /// After whom the next page begins.
    next: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    client_id: String,
    status: String,
    stage: String,
    flags: Vec<String>,
    phase: String,
    tags: Vec<String>,
    description: Option<String>,
    last_seen: Seen,
    certificates: u64,
    keys: u64,
}

#[derive(Deserialize)]
struct Seen {
    by_certificate: Option<String>,
    by_key: Option<String>,
}

pub(super) async fn page(
    visitor: Visitor,
    RawQuery(query): RawQuery,
    Query(wanted): Query<Wanted>,
) -> Page {
    let asked = wanted.asked(Some(A_PAGE), &wanted.after);
    match visitor.look::<Found>("client/list", asked).await {
        Ok(found) => {
            let here = format!("/clients?{}", query.unwrap_or_default());
            let content = content(&wanted, &found, &here, &visitor);
            Ok(visitor.show("Clients", "/clients", &content))
        }
        Err(problem) => Err(visitor.trouble(problem)),
    }
}

impl Wanted {
    /// What is looked for, by name, and after whom.
    fn fields<'a>(&'a self, after: &'a str) -> impl Iterator<Item = (&'static str, &'a str)> {
        let fields = [
            ("search", self.search.as_str()),
            ("stage", &self.stage),
            ("flag", &self.flag),
            ("refused", &self.refused),
            ("cohort", &self.cohort),
            ("sort", &self.sort),
            ("after", after),
        ];
        let fields = fields.map(|(name, value)| (name, value.trim()));
        fields.into_iter().filter(|(_, value)| !value.is_empty())
    }

    /// The same, but for the order and the page.
    fn chosen(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fields = self.fields("");
        fields.filter(|(name, _)| *name != "sort")
    }

    /// What an operation is asked; without a limit, for all of them.
    fn asked(&self, limit: Option<u64>, after: &str) -> Value {
        let fields = self
            .fields(after)
            .map(|(name, value)| (name.to_owned(), json!(value)));
        let limit = limit.map(|limit| ("limit".to_owned(), json!(limit)));
        fields.chain(limit).collect()
    }

    /// The query of the page after `after`.
    fn query(&self, after: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.fields(after)).finish()
    }
}

fn content(wanted: &Wanted, found: &Found, here: &str, visitor: &Visitor) -> Markup {
    let may_change = visitor.seat.who.role >= Role::Operator;
    html! {
        (filters(wanted))
        form method="post" action="/do/client/disable" #several {
            (hidden(&visitor.seat))
            input type="hidden" name="back" value=(here);
            @if may_change {
                div.actions {
                    label.check { input type="checkbox" data-all hidden; " all on this page" }
                    button.danger type="submit" { "Disable chosen" }
                    button type="submit" formaction="/do/client/enable" { "Enable chosen" }
                    div.field {
                        label for="add" { "Tag" }
                        input #add name="add" size="12" pattern="[a-z0-9._/=-]*";
                    }
                    button type="submit" formaction="/do/client/tag" { "Tag chosen" }
                }
            }
            div.scroll tabindex="0" role="region" aria-label="Clients" {
                table {
                    caption { (number_of(found.clients.len())) " clients on this page" }
                    thead {
                        tr {
                            @if may_change { th scope="col" { span.none { "choose" } } }
                            th scope="col" { "Client" } th scope="col" { "Stage" } th scope="col" { "Attention" }
                            th scope="col" { "Phase" } th scope="col" { "Last by certificate" }
                            th scope="col" { "Last by key" } th.number scope="col" { "Certificates" }
                            th.number scope="col" { "Keys" } th scope="col" { "Tags" } th scope="col" { "Description" }
                        }
                    }
                    tbody { @for line in &found.clients { (row(line, may_change)) } }
                }
            }
            @if found.clients.is_empty() { p.none { "No such client." } }
        }
        p.actions {
            @if !wanted.after.is_empty() { a.button.plain href={ "/clients?" (wanted.query("")) } { "First page" } }
            @if let Some(next) = &found.next { a.button.plain rel="next" href={ "/clients?" (wanted.query(next)) } { "Next page" } }
            a.button.plain href={ "/clients.csv?" (wanted.query("")) } { "All of these as CSV" }
        }
        form.actions method="get" action="/letters.csv" {
            @for (name, value) in wanted.chosen() { input type="hidden" name=(name) value=(value); }
            (api())
            button.plain type="submit" { "Letters to all of these as CSV" }
        }
    }
}

/// Where clients call the API, as letters say.
pub(super) fn api() -> Markup {
    html! {
        div.field {
            label for="url" { "URL of the API" }
            input #url type="url" name="url" placeholder="https://api.example.com" title="nothing: that of the routes, where they name one host" size="28";
        }
    }
}

fn filters(wanted: &Wanted) -> Markup {
    let stages = Stage::ALL.map(Stage::as_str);
    let flags = Flag::ALL.map(Flag::as_str);
    html! {
        form.bar.filter method="get" action="/clients" role="search" {
            div.field {
                label for="search" { "Search" }
                input #search type="search" name="search" value=(wanted.search) placeholder="id, description, fingerprint, key id";
            }
            (choice("stage", "Stage", &stages, &wanted.stage))
            (choice("flag", "Attention", &flags, &wanted.flag))
            div.field {
                label for="cohort" { "Tags" }
                input #cohort name="cohort" value=(wanted.cohort) placeholder="mobile,!beta" size="14";
            }
            (choice("sort", "Sort by", &["id", "by-certificate", "by-key", "created", "expiry"], &wanted.sort))
            @if !wanted.refused.is_empty() { input type="hidden" name="refused" value=(wanted.refused); }
            button type="submit" { "Find" }
            a.button.plain href="/clients" { "Clear" }
        }
    }
}

fn choice(name: &str, label: &str, values: &[&str], chosen: &str) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { "any" }
                @for value in values { option value=(value) selected[*value == chosen] { (value) } }
            }
        }
    }
}

fn row(line: &Line, may_change: bool) -> Markup {
    html! {
        tr {
            @if may_change {
                td { input type="checkbox" name="ids" value=(line.client_id) aria-label={ "choose " (line.client_id) }; }
            }
            th scope="row" { a href={ "/clients/" (line.client_id) } { (line.client_id) } }
            td { span class={ "tag " (line.stage) } { (line.stage) } @if line.status == "disabled" { span.tag.disabled { "disabled" } } }
            td { @for flag in &line.flags { span class={ "tag " (flag) } title=(super::overview::meaning(flag)) { (flag) } } }
            td { (line.phase) }
            td { (time_or(line.last_seen.by_certificate.as_deref(), "never")) }
            td { (time_or(line.last_seen.by_key.as_deref(), "never")) }
            td.number { (number(line.certificates)) }
            td.number { (number(line.keys)) }
            td { @for tag in &line.tags { span.tag { (tag) } } }
            td { (clipped(line.description.as_deref().unwrap_or_default(), 60)) }
        }
    }
}

/// All that are looked for, for a spreadsheet (RFC 4180).
pub(super) async fn csv(visitor: Visitor, Query(wanted): Query<Wanted>) -> Page {
    let asked = wanted.asked(None, "");
    let found = match visitor.look::<Found>("client/list", asked).await {
        Ok(found) => found,
        Err(problem) => return Err(visitor.trouble(problem)),
    };
    let mut text = csv::header([
        "client",
        "status",
        "stage",
        "flags",
        "phase",
        "tags",
        "last_by_certificate",
        "last_by_key",
        "certificates",
        "keys",
        "description",
    ]);
    for line in &found.clients {
        let seen = &line.last_seen;
        text.push_str(&csv::row([
            &line.client_id,
            &line.status,
            &line.stage,
            &line.flags.join(" "),
            &line.phase,
            &line.tags.join(" "),
            seen.by_certificate.as_deref().unwrap_or_default(),
            seen.by_key.as_deref().unwrap_or_default(),
            &line.certificates.to_string(),
            &line.keys.to_string(),
            line.description.as_deref().unwrap_or_default(),
        ]));
    }
    attachment(visitor, "clients.csv", text)
}

/// Where clients call the API; nothing for what the routes say.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Called {
    url: String,
}

impl Called {
    /// What `letter` is asked besides.
    pub(super) fn asked(&self) -> Option<(String, Value)> {
        let url = self.url.trim();
        (!url.is_empty()).then(|| ("url".to_owned(), json!(url)))
    }
}

/// The letters to all that are looked for, for mail merge.
pub(super) async fn letters(
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
    Query(called): Query<Called>,
) -> Page {
    let chosen = wanted.chosen();
    let chosen = chosen.map(|(name, value)| (name.to_owned(), json!(value)));
    let mut asked: Map<_, _> = chosen.chain(called.asked()).collect();
    let mut table = String::new();
    for _ in 0..PARTS {
        let given = Value::Object(asked.clone());
        let letters = match visitor.look::<letter::Report>("letter", given).await {
            Ok(letters) => letters,
            Err(problem) => return Err(visitor.trouble(problem)),
        };
        if table.is_empty() {
            table = letters.csv();
        } else {
            table.push_str(&letters.rows());
        }
        let Some(next) = letters.next() else {
            return attachment(visitor, "letters.csv", table);
        };
        asked.insert("after".to_owned(), json!(next));
    }
    let detail = "The table would have too many letters: choose fewer clients, or have it written part by \
                  part, with keyferry letter --csv --server and the address of this console.";
    Err(visitor.trouble(Problem::new(StatusCode::CONFLICT, "refused", detail)))
}

/// A table to be saved; none when it would not be whole.
fn attachment(visitor: Visitor, name: &str, text: String) -> Page {
    visitor.expect_all()?;
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    let mut answer = (headers, text).into_response();
    super::private(answer.headers_mut());
    Ok(answer)
}
