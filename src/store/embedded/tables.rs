//! The tables of the file, and what is done with them. Everything here blocks.

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use tokio::sync::mpsc;

use super::{activity, mailbox};
use crate::store::authentic::damaged;
use crate::store::history::follow;
use crate::store::{
    Change, CommitError, Epoch, Event, EventHash, Follow, Head, Loaded, RecordId, RecordKeys,
    Reseal, Resealed, Selection, StoreError, StoredEvent, Unreadable, Versioned,
};

/// `client:acme` to the record's stored form.
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
/// A client's id and the id of a record that is or was its own.
const OWNED: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("owned");
/// An epoch to its event's stored form.
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
/// The form of the file, and the epoch of the last change.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The hash of the last event.
const HEAD: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("head");

const FORM: &str = "form";
const EPOCH: &str = "epoch";
const HASH: &str = "hash";

/// The form of the file that this program reads and writes.
const KNOWN_FORM: u64 = 1;

/// The most events or records that one answer is about.
const BATCH: usize = 1000;
/// How many events a change forgets at most, when fewer are to be kept than there are.
const MOST_FORGOTTEN: usize = 1000;

/// Makes the tables in a new file; says what is foreign in a file that is not one of ours.
pub(super) fn prepare(database: &Database) -> Result<Option<String>, redb::Error> {
    let transaction = database.begin_write()?;
    let is_new = transaction.list_tables()?.next().is_none();
    {
        let mut meta = transaction.open_table(META)?;
        if is_new {
            meta.insert(FORM, KNOWN_FORM)?;
        }
        match meta.get(FORM)?.map(|form| form.value()) {
            Some(KNOWN_FORM) => {}
            Some(form) => {
                return Ok(Some(format!(
                    "it has form {form}, and this program knows {KNOWN_FORM}"
                )));
            }
            None => return Ok(Some("it is a database of another program".to_owned())),
        }
        transaction.open_table(RECORDS)?;
        transaction.open_table(OWNED)?;
        transaction.open_table(EVENTS)?;
        transaction.open_table(HEAD)?;
        activity::prepare(&transaction)?;
        mailbox::prepare(&transaction)?;
    }
    transaction.commit()?;
    Ok(None)
}

/// The number and the hash of the last change.
pub(super) fn head(database: &Database) -> Result<Head, StoreError> {
    head_then(&database.begin_read().map_err(failed)?)
}

/// The head as of a transaction.
fn head_then(read: &ReadTransaction) -> Result<Head, StoreError> {
    head_in(
        &read.open_table(META).map_err(failed)?,
        &read.open_table(HEAD).map_err(failed)?,
    )
}

fn head_in(
    meta: &impl ReadableTable<&'static str, u64>,
    heads: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Head, StoreError> {
    let epoch = meta.get(EPOCH).map_err(failed)?;
    let hash = match heads.get(HASH).map_err(failed)? {
        None => EventHash::default(),
        Some(stored) => EventHash::from_bytes(stored.value()).ok_or_else(|| Unreadable {
            what: "the hash of the last change".to_owned(),
            why: "it has not 32 bytes".to_owned(),
        })?,
    };
    Ok(Head {
        epoch: epoch.map_or(Epoch::NONE, |epoch| Epoch(epoch.value())),
        hash,
    })
}

/// Carries out a change, and forgets the event that is `events_kept` older.
pub(super) fn commit(
    database: &Database,
    change: &Change,
    keys: &RecordKeys,
    events_kept: u64,
) -> Result<Head, CommitError> {
    let transaction = database.begin_write().map_err(failed)?;
    // A transaction that is dropped before its commit leaves nothing.
    check(&transaction, change)?;
    let head = write(&transaction, change, keys, events_kept)?;
    transaction.commit().map_err(failed)?;
    Ok(head)
}

fn check(transaction: &WriteTransaction, change: &Change) -> Result<(), CommitError> {
    let records = transaction.open_table(RECORDS).map_err(failed)?;
    for write in &change.writes {
        let id = write.record.id();
        let stored = records.get(id.to_string().as_str()).map_err(failed)?;
        let version = stored.map(|stored| Versioned::version_of(&id, stored.value()));
        let version = version
            .unwrap_or(Ok(Epoch::NONE))
            .map_err(StoreError::from)?;
        if version != write.expected {
            return Err(CommitError::Conflict(id));
        }
    }
    Ok(())
}

fn write(
    transaction: &WriteTransaction,
    change: &Change,
    keys: &RecordKeys,
    events_kept: u64,
) -> Result<Head, StoreError> {
    let mut meta = transaction.open_table(META).map_err(failed)?;
    let mut heads = transaction.open_table(HEAD).map_err(failed)?;
    let head = head_in(&meta, &heads)?;
    change.expect_kept(head)?;
    let event = Event::of(change, head);
    let (epoch, event) = (event.epoch, event.encode(keys));
    let hash = EventHash::of(event.as_bytes());
    meta.insert(EPOCH, epoch.0).map_err(failed)?;
    heads
        .insert(HASH, hash.as_bytes().as_slice())
        .map_err(failed)?;
    let mut records = transaction.open_table(RECORDS).map_err(failed)?;
    let mut owned = transaction.open_table(OWNED).map_err(failed)?;
    for write in &change.writes {
        let (id, stored) = (
            write.record.id().to_string(),
            Versioned::encode(epoch, &write.record, keys),
        );
        records
            .insert(id.as_str(), stored.as_bytes())
            .map_err(failed)?;
        if let Some(owner) = write.record.owner() {
            owned
                .insert((owner.as_str(), id.as_str()), ())
                .map_err(failed)?;
        }
    }
    let mut events = transaction.open_table(EVENTS).map_err(failed)?;
    events.insert(epoch.0, event.as_bytes()).map_err(failed)?;
    // One goes for each that comes; more, while fewer are to be kept than there are.
    let oldest_kept = epoch.0.saturating_sub(events_kept).saturating_add(1);
    for _ in 0..MOST_FORGOTTEN {
        let first = events
            .first()
            .map_err(failed)?
            .map(|(first, _)| first.value());
        if first.is_none_or(|first| first >= oldest_kept) {
            break;
        }
        events.pop_first().map_err(failed)?;
    }
    Ok(Head { epoch, hash })
}

/// One record.
pub(super) fn get(
    database: &Database,
    id: &RecordId,
    keys: &RecordKeys,
) -> Result<Option<Versioned>, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    get_in(&read.open_table(RECORDS).map_err(failed)?, id, keys)
}

fn get_in(
    records: &impl ReadableTable<&'static str, &'static [u8]>,
    id: &RecordId,
    keys: &RecordKeys,
) -> Result<Option<Versioned>, StoreError> {
    let stored = records.get(id.to_string().as_str()).map_err(failed)?;
    stored
        .map(|stored| Versioned::decode(id, stored.value(), keys).map_err(StoreError::from))
        .transpose()
}

/// Some records as of one moment.
pub(super) fn select(
    database: &Database,
    which: &Selection,
    keys: &RecordKeys,
) -> Result<Vec<Versioned>, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let records = read.open_table(RECORDS).map_err(failed)?;
    let mut selected = Vec::new();
    match which {
        Selection::OwnedBy(client) => {
            let owned = read.open_table(OWNED).map_err(failed)?;
            for entry in owned.range((client.as_str(), "")..).map_err(failed)? {
                let (key, _) = entry.map_err(failed)?;
                let (of, id) = key.value();
                if of != client.as_str() {
                    break;
                }
                selected.extend(get_in(&records, &id.parse()?, keys)?);
            }
            selected.retain(|found| found.record.owner() == Some(client));
        }
        Selection::Phases => {
            // A semicolon comes after the colon.
            for entry in records.range("phase:".."phase;").map_err(failed)? {
                let (id, stored) = entry.map_err(failed)?;
                selected.push(Versioned::decode(
                    &id.value().parse()?,
                    stored.value(),
                    keys,
                )?);
            }
        }
    }
    Ok(selected)
}

/// Sends every record as of one moment; gives the head of that moment.
pub(super) fn load(
    database: &Database,
    keys: &RecordKeys,
    to: &mpsc::Sender<Loaded>,
) -> Result<Head, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let head = head_then(&read)?;
    let records = read.open_table(RECORDS).map_err(failed)?;
    for entry in records.iter().map_err(failed)? {
        let (id, stored) = entry.map_err(failed)?;
        let id: Result<RecordId, _> = id.value().parse();
        let record = match id {
            Ok(id) => Versioned::decode(&id, stored.value(), keys),
            Err(Unreadable { what, why }) => Err(damaged(&why).of(what)),
        };
        if to.blocking_send(record).is_err() {
            break; // Nobody waits for them any more.
        }
    }
    Ok(head)
}

/// Looks at the records from the one named `from` on, and signs them anew as `reseal` says.
pub(super) fn reseal(
    database: &Database,
    keys: &RecordKeys,
    reseal: Reseal,
    from: &str,
) -> Result<Resealed, StoreError> {
    let transaction = database.begin_write().map_err(failed)?;
    let mut found = Resealed::default();
    {
        let mut records = transaction.open_table(RECORDS).map_err(failed)?;
        let mut new = Vec::new();
        let mut entries = records.range(from..).map_err(failed)?;
        for entry in entries.by_ref().take(BATCH) {
            let (name, stored) = entry.map_err(failed)?;
            match name.value().parse() {
                Ok(id) => {
                    let other = found.look(&id, stored.value(), keys, reseal);
                    new.extend(other.map(|other| (name.value().to_owned(), other)));
                }
                Err(Unreadable { .. }) => found.refuse(),
            }
        }
        let next = entries.next().transpose().map_err(failed)?;
        found.next = next.map(|(name, _)| name.value().to_owned());
        drop(entries);
        for (name, stored) in new {
            records
                .insert(name.as_str(), stored.as_bytes())
                .map_err(failed)?;
            found.written = found.written.saturating_add(1);
        }
    }
    transaction.commit().map_err(failed)?;
    Ok(found)
}

/// The events after `after`, as far as there are any.
pub(super) fn events(
    database: &Database,
    after: Head,
    keys: &RecordKeys,
) -> Result<Follow, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let now = head_then(&read)?;
    follow(after, now, keys, stored_after(&read, after.epoch)?)
}

/// Some events after `after`, as they are stored.
pub(super) fn trail(database: &Database, after: Epoch) -> Result<Vec<StoredEvent>, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let entries = stored_after(&read, after)?;
    entries.map(|entry| entry.map(StoredEvent::new)).collect()
}

type Entry = Result<(Epoch, Vec<u8>), StoreError>;

fn stored_after(
    read: &ReadTransaction,
    after: Epoch,
) -> Result<impl Iterator<Item = Entry>, StoreError> {
    let events = read.open_table(EVENTS).map_err(failed)?;
    let next = events.range(after.next().0..).map_err(failed)?;
    Ok(next.take(BATCH).map(|entry| {
        let (epoch, stored) = entry.map_err(failed)?;
        Ok((Epoch(epoch.value()), stored.value().to_vec()))
    }))
}

pub(super) fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Unavailable(format!("the embedded store: {}", error.into()))
}
