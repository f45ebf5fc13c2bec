//! Try it: who a certificate or a key is, and what a backend would be told.

use std::sync::Arc;

use axum::extract::Form;
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::hidden;
use super::{Page, Visitor};
use crate::admin::Admin;
use crate::admin::answer::Problem;
use crate::certificate::{self, Chain, Fingerprint, Lineage, Mapping};
use crate::client::ClientId;
use crate::clock;
use crate::key::{ApiKey, KeyId};
use crate::store::{Record, RecordId, StoreError};

#[derive(Deserialize)]
pub(super) struct Tried {
    csrf: String,
    shown: String,
}

/// What was found.
struct Found {
    /// Who it is; else why nobody.
    who: Result<(ClientId, KeyId), String>,
    /// Every check of a certificate.
    checks: Option<String>,
}

pub(super) async fn page(visitor: Visitor) -> Page {
    let content = content(&visitor, None);
    Ok(visitor.show("Try it", "/try", &content))
}

pub(super) async fn tried(visitor: Visitor, headers: HeaderMap, Form(sent): Form<Tried>) -> Page {
    if let Err(problem) = visitor.is_own(&headers, &sent.csrf) {
        return Err(visitor.trouble(problem));
    }
    match look(&visitor.admin, sent.shown.trim()).await {
        Ok(found) => {
            let content = content(&visitor, Some(&found));
            Ok(visitor.show("Try it", "/try", &content))
        }
        Err(error) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Err(visitor.trouble(Problem::new(status, "unavailable", error.to_string())))
        }
    }
}

async fn look(admin: &Admin, shown: &str) -> Result<Found, StoreError> {
    let operations = Arc::clone(&admin.live.load().operations);
    if operations.keys.format.claims(shown.as_bytes()) {
        let who = by_key(admin, shown).await?;
        return Ok(Found { who, checks: None });
    }
    let sent = match certificate::certificates(shown.as_bytes()) {
        Ok(sent) => sent,
        Err(error) => {
            let why =
                format!("this is neither a key of this gateway nor a certificate in PEM: {error}");
            return Ok(Found {
                who: Err(why),
                checks: None,
            });
        }
    };
    let Some((leaf, others)) = sent.split_first() else {
        let why = "there is no certificate in it".to_owned();
        return Ok(Found {
            who: Err(why),
            checks: None,
        });
    };
    let chain = Chain::from_der(leaf, others);
    let explanation = admin
        .verifier
        .explain(&chain, Lineage::Unknown, clock::now());
    let who = if explanation.is_verified() {
        by_certificate(admin, Fingerprint::of(leaf)).await?
    } else {
        Err(format!(
            "the certificate is refused: {}",
            explanation.advice()
        ))
    };
    Ok(Found {
        who,
        checks: Some(explanation.to_string()),
    })
}

async fn by_key(
    admin: &Admin,
    shown: &str,
) -> Result<Result<(ClientId, KeyId), String>, StoreError> {
    let operations = Arc::clone(&admin.live.load().operations);
    let keys = &operations.keys;
    let Ok(key) = ApiKey::parse(shown.as_bytes(), &keys.format) else {
        return Ok(Err(
            "the key is mistyped: its check digits do not fit".to_owned()
        ));
    };
    let found = admin.store.get(&RecordId::Key(key.id())).await?;
    let Some(Record::Key(record)) = found.map(|found| found.record) else {
        return Ok(Err("there is no such key".to_owned()));
    };
    if !key.matches(record.digest.as_ref(), &keys.peppers) {
        return Ok(Err("its id is known, and its secret is another".to_owned()));
    }
    if let Err(fault) = record.usable(clock::now()) {
        return Ok(Err(format!("the key is {}", fault.as_str())));
    }
    active(admin, record.client, record.id).await
}

async fn by_certificate(
    admin: &Admin,
    fingerprint: Fingerprint,
) -> Result<Result<(ClientId, KeyId), String>, StoreError> {
    let found = admin.store.get(&RecordId::Certificate(fingerprint)).await?;
    let Some(Record::Certificate(record)) = found.map(|found| found.record) else {
        let why =
            "it is good, and nobody's yet: what becomes of it at its first sight, [enrolment] says";
        return Ok(Err(why.to_owned()));
    };
    match record.mapping {
        Mapping::Mapped { client, key } => active(admin, client, key).await,
        Mapping::Pending => Ok(Err("it is good, and waits for your word".to_owned())),
        Mapping::Superseded { .. } => Ok(Err("another certificate took over from it".to_owned())),
        Mapping::Removed { .. } => Ok(Err("it was removed".to_owned())),
        Mapping::Twin { .. } => Ok(Err(
            "it is another form of a certificate that is known".to_owned()
        )),
    }
}

async fn active(
    admin: &Admin,
    client: ClientId,
    key: KeyId,
) -> Result<Result<(ClientId, KeyId), String>, StoreError> {
    let found = admin.store.get(&RecordId::Client(client.clone())).await?;
    Ok(match found.map(|found| found.record) {
        Some(Record::Client(record)) if record.is_active() => Ok((client, key)),
        _ => Err(format!("it is that of {client}, who is disabled")),
    })
}

fn content(visitor: &Visitor, found: Option<&Found>) -> Markup {
    html! {
        form method="post" action="/try" {
            (hidden(&visitor.seat))
            label for="shown" { "A certificate in PEM, with its intermediates, or a key" }
            textarea #shown name="shown" required spellcheck="false" autocomplete="off" aria-describedby="how" {}
            p.hint #how { "It is looked at and not kept. A certificate may be in anybody's hands: that whoever shows it has its key, only a handshake proves." }
            button type="submit" { "Who is it?" }
        }
        @if let Some(found) = found {
            section aria-live="polite" {
                h2 { "Answer" }
                (answer(visitor, found))
                @if let Some(checks) = &found.checks { h2 { "Every check" } pre { (super::layout::lines(checks)) } }
            }
        }
    }
}

fn answer(visitor: &Visitor, found: &Found) -> Markup {
    let names = &visitor.admin.live.load().names;
    match &found.who {
        Err(why) => html! { p.wrong { "Nobody: " (why) "." } },
        Ok((client, key)) => html! {
            p { "It is " a href={ "/clients/" (client) } { (client) } ". Where its phase and the route allow, a backend is told:" }
            pre { (names.key_id) ": " (key) "\n" (names.client_id) ": " (client) "\nSignature-Input: …\nSignature: …" }
            p.soft { "The same by certificate and by key; signed for each request anew." }
        },
    }
}
