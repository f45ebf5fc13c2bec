//! `POST /do/…`: one operation that changes something, asked for by a form.
//!
//! What cannot be taken for nothing is shown first as it would be, and done when the right word is typed.
//! A form is taken once. A key is shown once, on the page that the form leads to, and nowhere after that.

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::layout::{hidden, lines, number_of};
use super::session::{Notice, Undo};
use super::{Page, Visitor, document, is_own, layout, local};
use crate::admin::answer::Problem;
use crate::admin::operations::{Done, in_query};
use crate::operation::{Offered, Output, Told};
use crate::store::RecordId;

/// What a form says beside the parameters of the operation.
const BESIDE: [&str; 5] = ["csrf", "once", "back", "sure", "word"];

/// A form as it was sent.
struct Sent {
    beside: Map<String, Value>,
    given: Map<String, Value>,
}

pub(super) async fn page(
    visitor: Visitor,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Page {
    match act(&visitor, &name, &headers, &body).await {
        Ok(answer) => Ok(answer),
        Err(problem) => Err(visitor.trouble(problem)),
    }
}

async fn act(
    visitor: &Visitor,
    name: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Problem> {
    let offered = Offered::named(name).filter(|offered| offered.changes);
    let offered = offered.ok_or_else(|| Problem::no_such_page("There is no such action."))?;
    let sent = Sent::read(body, offered)?;
    if !is_own(headers) || !visitor.seat.sent(sent.says("csrf")) {
        let detail =
            "This form is not one of this session. Go back, load the page again, and send it anew.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let word = sent.word(offered);
    let parameters = offered.parameters();
    let can_be_shown = parameters.iter().any(|one| one.name == "dry_run");
    if word.is_some() && !can_be_shown {
        return Err(Problem::no_such_page("There is no such action here."));
    }
    let is_sure = sent.says("sure") == "yes";
    if let Some(word) = &word
        && !(is_sure && sent.says("word") == word)
    {
        return confirm(visitor, offered, &sent, word, is_sure).await;
    }
    if !visitor
        .admin
        .sessions
        .is_first(&visitor.seat, sent.says("once"))
    {
        let detail =
            "This form was sent before: what it asked for was done then, or is being done now.";
        return Err(Problem::new(StatusCode::CONFLICT, "refused", detail));
    }
    let done = match perform(visitor, offered, &sent.given).await {
        Ok(done) => done,
        Err(problem) => {
            // It may be sent again, and is told as it is then.
            let sessions = &visitor.admin.sessions;
            sessions.was_not(&visitor.seat, sent.says("once"));
            return Err(problem);
        }
    };
    let back = local(sent.says("back")).to_owned();
    if let Some(Told::Secret { text, .. }) = done
        .told
        .iter()
        .find(|told| matches!(told, Told::Secret { .. }))
    {
        let content = reveal(text, &said(&done), &back);
        let page = layout::page(("The key, once", ""), &visitor.seat, None, &content);
        return Ok(document(StatusCode::OK, &page));
    }
    let undo = sent.undo(offered, &done.changed);
    let text = said(&done);
    visitor
        .admin
        .sessions
        .leave(&visitor.seat, Notice { text, undo });
    Ok(Redirect::to(&back).into_response())
}

async fn perform(
    visitor: &Visitor,
    offered: Offered,
    given: &Map<String, Value>,
) -> Result<Done, Problem> {
    let admin = std::sync::Arc::clone(&visitor.admin);
    let who = visitor.seat.who.clone();
    let done = admin.perform((offered, given), who, visitor.peer, Output::Text);
    done.await
}

/// What an operation said, but for secrets.
fn said(done: &Done) -> String {
    let lines = done.told.iter().filter_map(|told| match told {
        Told::Line(text) | Told::Note(text) => Some(text.as_str()),
        Told::Secret { .. } => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Shows what would be done, and asks for the word.
async fn confirm(
    visitor: &Visitor,
    offered: Offered,
    sent: &Sent,
    word: &str,
    was_wrong: bool,
) -> Result<Response, Problem> {
    let mut dry = sent.given.clone();
    dry.insert("dry_run".to_owned(), Value::Bool(true));
    let done = perform(visitor, offered, &dry).await?;
    let (about, rest) = offered.about();
    let content = html! {
        p { (about) "." }
        @if !rest.is_empty() { p.soft { (rest) } }
        h2 { "What would be done" }
        pre { (lines(&said(&done))) }
        form method="post" action={ "/do/" (offered.name) } {
            (hidden(&visitor.seat))
            input type="hidden" name="sure" value="yes";
            input type="hidden" name="back" value=(sent.says("back"));
            @for (name, value) in sent.fields() {
                @if name != "reason" { input type="hidden" name=(name) value=(value); }
            }
            div.actions {
                div.field {
                    label for="reason" { "Reason, for the record" }
                    input #reason name="reason" value=(sent.reason()) size="40";
                }
                div.field {
                    label for="word" { "To confirm, type " code { (word) } }
                    input #word name="word" autocomplete="off" required data-word=(word) autofocus
                        aria-invalid=[was_wrong.then_some("true")];
                }
                button.danger type="submit" { "Do it" }
                a.button.plain href=(local(sent.says("back"))) { "Cancel" }
            }
            @if was_wrong { p.wrong role="alert" { "That is not " code { (word) } "." } }
        }
    };
    let page = layout::page(("Are you sure?", ""), &visitor.seat, None, &content);
    Ok(document(StatusCode::OK, &page))
}

/// The page that shows a key.
fn reveal(key: &str, beside: &str, back: &str) -> Markup {
    let key = key.trim();
    let env = format!("KEYFERRY_KEY={key}\n");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: keyferry-key\ntype: Opaque\ndata:\n  key: {}\n",
        BASE64_STANDARD.encode(key)
    );
    let link = |text: &str| format!("data:text/plain;base64,{}", BASE64_STANDARD.encode(text));
    html! {
        p { "This is the only time that it is shown. Give it to the client over a channel that is safe." }
        div.secret {
            output data-copy { (key) }
            p.actions {
                a.button.plain href=(link(&env)) download="keyferry.env" { "Download as .env" }
                a.button.plain href=(link(&secret)) download="keyferry-key.yaml" { "Download as Kubernetes Secret" }
            }
        }
        pre { (lines(beside)) }
        p { a.button href=(back) { "I have it: go on" } }
    }
}

impl Sent {
    fn read(body: &Bytes, offered: Offered) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body);
        let text = text.map_err(|_| Problem::bad_request("The form is not text."))?;
        // A field that was left empty says nothing.
        let (mut beside, mut parameters) =
            (Map::new(), form_urlencoded::Serializer::new(String::new()));
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if BESIDE.contains(&name.as_ref()) {
                beside.insert(name.into_owned(), Value::String(value.into_owned()));
            } else if !value.trim().is_empty() {
                parameters.append_pair(&name, value.trim());
            }
        }
        let known = offered.parameters();
        let given = in_query(&parameters.finish(), &known)?;
        Ok(Self { beside, given })
    }

    fn says(&self, name: &str) -> &str {
        self.beside
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn reason(&self) -> &str {
        self.given
            .get("reason")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The parameters as a form holds them.
    fn fields(&self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        for (name, value) in &self.given {
            match value {
                Value::Array(several) => {
                    let several = several.iter().filter_map(Value::as_str);
                    fields.extend(several.map(|one| (name.clone(), one.to_owned())));
                }
                Value::String(one) => fields.push((name.clone(), one.clone())),
                other => fields.push((name.clone(), other.to_string())),
            }
        }
        fields
    }

    /// The word that has to be typed for what takes something away; none where that is not needed.
    fn word(&self, offered: Offered) -> Option<String> {
        let one = |name: &str| {
            self.given
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        match offered.name {
            "client/disable" => {
                let ids = self.given.get("ids").and_then(Value::as_array);
                let ids: Vec<_> = ids
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                Some(match ids.as_slice() {
                    [one] => (*one).to_owned(),
                    several => format!("{} clients", number_of(several.len())),
                })
            }
            "key/revoke" => one("id").map(last_digits),
            "certificate/remove" => one("fingerprint").map(last_digits),
            "phase/retire" | "phase/brownout" | "phase/announce" | "phase/accept"
            | "phase/undo" => Some(
                one("cohort")
                    .or_else(|| one("client"))
                    .unwrap_or_else(|| "all".to_owned()),
            ),
            // What gives and takes nothing away.
            "certificate/add"
            | "certificate/announce"
            | "certificate/approve"
            | "client/add"
            | "client/enable"
            | "key/issue"
            | "key/restore"
            | "webhook/retry"
            | "webhook/test" => None,
            "client/tag" if !self.given.contains_key("remove") => None,
            "key/rotate" if !self.given.contains_key("overlap") => None,
            _ => Some("do it".to_owned()),
        }
    }

    /// The operation that takes back what this one changed, where there is one.
    fn undo(&self, offered: Offered, changed: &[RecordId]) -> Option<Undo> {
        if changed.is_empty() {
            return None;
        }
        let was_changed = |id: &str| {
            changed
                .iter()
                .any(|one| matches!(one, RecordId::Client(own) if own.as_str() == id))
        };
        let keep = |names: &[&str]| {
            let fields = self.fields().into_iter();
            let fields = fields.filter(|(name, value)| {
                // Who was so before stays so.
                names.contains(&name.as_str()) && (name != "ids" || was_changed(value))
            });
            fields.collect::<Vec<_>>()
        };
        let (back, fields) = match offered.name {
            "client/disable" => ("client/enable", keep(&["ids"])),
            "client/enable" => ("client/disable", keep(&["ids"])),
            "key/revoke" => ("key/restore", keep(&["id"])),
            "phase/retire" | "phase/brownout" | "phase/announce" | "phase/accept" => {
                ("phase/undo", keep(&["all", "cohort", "client"]))
            }
            _ => return None,
        };
        Some((back.to_owned(), fields))
    }
}

/// Enough of a long name to be sure which it is.
fn last_digits(text: String) -> String {
    let begin = text.len().saturating_sub(8);
    text.get(begin..).map(str::to_owned).unwrap_or(text)
}
