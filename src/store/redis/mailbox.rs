//! Mailboxes, in Redis.
//!
//! | Key | Type | Holds |
//! |---|---|---|
//! | `kf:{kf}:mailbox:<name>` | hash | `version` to a number, `page` to its stored form, and the number of each slot that was ever used to the stored form of its letter, or to nothing |
//!
//! A slot is emptied and not taken away: that needs no further right of the user of Redis, and what a
//! mailbox takes is bounded by its slots.

use super::link::{Link, Script};
use super::read;
use crate::store::mailbox::{Letter, Page, Place, Posting, SLOTS};
use crate::store::{Legible, RecordKeys, StoreError, Unreadable};

const VERSION: &str = "version";
const PAGE: &str = "page";

fn key_of(mailbox: &str) -> String {
    format!("kf:{{kf}}:mailbox:{mailbox}")
}

/// The page of a mailbox; none when there is no such mailbox.
pub(super) async fn page(
    link: &Link,
    mailbox: &str,
    keys: &RecordKeys,
) -> Result<Option<Page>, StoreError> {
    let field = |name: &str| {
        let mut question = redis::cmd("HGET");
        question.arg(key_of(mailbox)).arg(name);
        question
    };
    // The page may be a later one than the version says: then that is no longer expected.
    let version: Option<String> = link.ask(&field(VERSION)).await?;
    let Some(version) = version else {
        return Ok(None);
    };
    let version = version.parse().map_err(|_| Unreadable {
        what: format!("the version of the mailbox {mailbox}"),
        why: format!("{version:?} is no number"),
    })?;
    let stored: Option<Vec<u8>> = link.ask(&field(PAGE)).await?;
    let text = Place::Page.open(mailbox, &stored.unwrap_or_default(), keys);
    Ok(Some(Page {
        version,
        text: text.ok(),
    }))
}

/// Its letters, and the slots of those that are not believed.
pub(super) async fn letters(
    link: &Link,
    mailbox: &str,
    keys: &RecordKeys,
) -> Result<Legible<Letter, u16>, StoreError> {
    let mut found = std::collections::BTreeMap::new();
    let mut session = link.session().await?;
    read::all(&mut session, &key_of(mailbox), &mut |field, stored| {
        let slot = field.parse::<u16>().ok().filter(|slot| *slot < SLOTS);
        if let Some(slot) = slot {
            // One may be given twice.
            let text = Place::Slot(slot).open(mailbox, stored, keys);
            found.insert(slot, (!stored.is_empty()).then_some(text));
        }
        Ok(())
    })
    .await?;
    let mut letters = Legible::default();
    for (slot, text) in found {
        match text {
            Some(Ok(text)) => letters.entries.push(Letter {
                slot,
                text: Some(text),
            }),
            Some(Err(_)) => letters.damaged.push(Some(slot)),
            None => {}
        }
    }
    Ok(letters)
}

/// Changes it; whether it had the version that was expected.
pub(super) async fn post(
    link: &Link,
    script: &Script,
    posting: &Posting,
    keys: &RecordKeys,
) -> Result<bool, StoreError> {
    let mailbox = posting.mailbox.as_str();
    let mut arguments = vec![
        posting.expected.to_string(),
        posting.expected.saturating_add(1).to_string(),
        PAGE.to_owned(),
        Place::Page.close(mailbox, &posting.page, keys),
    ];
    for Letter { slot, text } in &posting.letters {
        let stored = text
            .as_deref()
            .map(|text| Place::Slot(*slot).close(mailbox, text, keys));
        arguments.extend([slot.to_string(), stored.unwrap_or_default()]);
    }
    let done: u8 = link.run(script, &[&key_of(mailbox)], &arguments).await?;
    Ok(done == 1)
}
