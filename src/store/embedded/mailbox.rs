//! Mailboxes, in tables of the file. Everything here blocks.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::tables::failed;
use crate::store::mailbox::{Letter, Page, Place, Posting};
use crate::store::{Legible, RecordKeys, StoreError};

/// A mailbox's name to its version and the stored form of its page.
const PAGES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("mailboxes");
/// A mailbox's name and a slot to the stored form of the letter in it.
const LETTERS: TableDefinition<'_, (&str, u16), &[u8]> = TableDefinition::new("letters");

/// Makes the tables in a new file.
pub(super) fn prepare(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(PAGES)?;
    transaction.open_table(LETTERS)?;
    Ok(())
}

/// The page of a mailbox; none when there is no such mailbox.
pub(super) fn page(
    database: &Database,
    mailbox: &str,
    keys: &RecordKeys,
) -> Result<Option<Page>, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let pages = read.open_table(PAGES).map_err(failed)?;
    let Some(found) = pages.get(mailbox).map_err(failed)? else {
        return Ok(None);
    };
    let (version, stored) = found.value();
    let text = Place::Page.open(mailbox, stored, keys).ok();
    Ok(Some(Page { version, text }))
}

/// Its letters, and the slots of those that are not believed.
pub(super) fn letters(
    database: &Database,
    mailbox: &str,
    keys: &RecordKeys,
) -> Result<Legible<Letter, u16>, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let table = read.open_table(LETTERS).map_err(failed)?;
    let mut letters = Legible::default();
    for entry in table
        .range((mailbox, 0)..=(mailbox, u16::MAX))
        .map_err(failed)?
    {
        let (key, stored) = entry.map_err(failed)?;
        let (_, slot) = key.value();
        match Place::Slot(slot).open(mailbox, stored.value(), keys) {
            Ok(text) => letters.entries.push(Letter {
                slot,
                text: Some(text),
            }),
            Err(_) => letters.damaged.push(Some(slot)),
        }
    }
    Ok(letters)
}

/// Changes it; whether it had the version that was expected.
pub(super) fn post(
    database: &Database,
    posting: &Posting,
    keys: &RecordKeys,
) -> Result<bool, StoreError> {
    let mailbox = posting.mailbox.as_str();
    let transaction = database.begin_write().map_err(failed)?;
    {
        let mut pages = transaction.open_table(PAGES).map_err(failed)?;
        let known = pages.get(mailbox).map_err(failed)?;
        if known.map_or(0, |found| found.value().0) != posting.expected {
            return Ok(false);
        }
        let page = Place::Page.close(mailbox, &posting.page, keys);
        let version = posting.expected.saturating_add(1);
        pages
            .insert(mailbox, (version, page.as_bytes()))
            .map_err(failed)?;
        let mut letters = transaction.open_table(LETTERS).map_err(failed)?;
        for Letter { slot, text } in &posting.letters {
            let place = (mailbox, *slot);
            match text {
                Some(text) => {
                    let stored = Place::Slot(*slot).close(mailbox, text, keys);
                    letters.insert(place, stored.as_bytes()).map_err(failed)?;
                }
                None => drop(letters.remove(place).map_err(failed)?),
            }
        }
    }
    transaction.commit().map_err(failed)?;
    Ok(true)
}
