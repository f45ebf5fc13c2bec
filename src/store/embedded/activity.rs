//! What was seen, in the tables of the file. Everything here blocks.

use std::ops::RangeInclusive;

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::tables::failed;
use crate::client::{ClientId, CredentialId, History, LastUse, Sighting, Use};
use crate::clock::Day;
use crate::store::batch::REMEMBERED_DAYS;
use crate::store::days::{self, TOTAL};
use crate::store::{Batch, BatchId, DayCounts, Epoch, Legible, Spent, StoreError, Unreadable};

/// A client's id to its sighting.
const SIGHTINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sightings");
/// A credential's name to its last use.
const USES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("uses");
/// A piece of time and a client's id, or the totals' name, to the counts.
const COUNTS: TableDefinition<'_, (u32, &str), &[u8]> = TableDefinition::new("counts");
/// The version of a phase to the refusals of its brownout.
const SPENT: TableDefinition<'_, u64, u64> = TableDefinition::new("spent");
/// A writer to the number of its last batch, and the day of that.
const WRITERS: TableDefinition<'_, &str, (u64, u32)> = TableDefinition::new("writers");

/// Makes the tables in a new file.
pub(super) fn prepare(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(SIGHTINGS)?;
    transaction.open_table(USES)?;
    transaction.open_table(COUNTS)?;
    transaction.open_table(SPENT)?;
    transaction.open_table(WRITERS)?;
    Ok(())
}

/// Takes in a batch, once. Gives how many entries were damaged.
pub(super) fn saw(database: &Database, batch: &Batch) -> Result<u64, StoreError> {
    let transaction = database.begin_write().map_err(failed)?;
    let mut damaged = 0;
    if is_new(&transaction, batch.id, batch.today)? {
        merge_sightings(&transaction, &batch.sightings, &mut damaged)?;
        merge_uses(&transaction, &batch.uses, &mut damaged)?;
        add_counts(&transaction, &batch.counts, batch.today, &mut damaged)?;
        add_spent(&transaction, &batch.spent)?;
    }
    transaction.commit().map_err(failed)?;
    Ok(damaged)
}

/// Whether the batch was not taken before. Writers that are long silent are forgotten.
fn is_new(transaction: &WriteTransaction, id: BatchId, today: Day) -> Result<bool, StoreError> {
    let mut writers = transaction.open_table(WRITERS).map_err(failed)?;
    let writer = id.writer.to_string();
    let last = writers.get(writer.as_str()).map_err(failed)?;
    let last = last.map(|last| last.value().0);
    if last.is_some_and(|last| last >= id.number) {
        return Ok(false);
    }
    if last.is_none() {
        let oldest = today.minus(REMEMBERED_DAYS).number();
        writers
            .retain(|_, (_, day)| day >= oldest)
            .map_err(failed)?;
    }
    writers
        .insert(writer.as_str(), (id.number, today.number()))
        .map_err(failed)?;
    Ok(true)
}

fn merge_sightings(
    transaction: &WriteTransaction,
    sightings: &[Sighting],
    damaged: &mut u64,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(SIGHTINGS).map_err(failed)?;
    for sighting in sightings {
        let client = sighting.client.as_str();
        let known: Option<Sighting> = sound(value(&table, client), damaged)?.flatten();
        let merged = match &known {
            Some(known) => known.clone().merge(sighting.clone()),
            None => sighting.clone(),
        };
        if known.as_ref() != Some(&merged) {
            put(&mut table, client, &merged)?;
        }
    }
    Ok(())
}

fn merge_uses(
    transaction: &WriteTransaction,
    uses: &[Use],
    damaged: &mut u64,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(USES).map_err(failed)?;
    for Use { credential, last } in uses {
        let credential = credential.to_string();
        let known: Option<LastUse> = sound(value(&table, &credential), damaged)?.flatten();
        if known.is_none_or(|known| known < *last) {
            put(&mut table, &credential, last)?;
        }
    }
    Ok(())
}

fn add_counts(
    transaction: &WriteTransaction,
    counts: &[DayCounts],
    today: Day,
    damaged: &mut u64,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(COUNTS).map_err(failed)?;
    for (name, day, counts) in days::additions(counts, today) {
        let piece = days::piece_of(day);
        let Some(mut history) = sound(piece_of(&table, piece, name), damaged)? else {
            continue;
        };
        let sum = history.entry(day).or_default();
        *sum = sum.plus(counts);
        let stored = days::encode(&history);
        table
            .insert((piece, name), stored.as_slice())
            .map_err(failed)?;
    }
    forget(&mut table, days::oldest_kept(today))
}

/// Drops the first piece when it is too old: not more at a time, so that a clock that was wrong
/// once does not cost everything.
fn forget(
    table: &mut Table<'_, (u32, &'static str), &'static [u8]>,
    oldest: u32,
) -> Result<(), StoreError> {
    let first = table.first().map_err(failed)?;
    let first = first.map(|(key, _)| key.value().0);
    if let Some(first) = first.filter(|first| *first < oldest) {
        table
            .retain_in((first, "")..(first.saturating_add(1), ""), |_, _| false)
            .map_err(failed)?;
    }
    Ok(())
}

fn add_spent(transaction: &WriteTransaction, spent: &[Spent]) -> Result<(), StoreError> {
    let mut table = transaction.open_table(SPENT).map_err(failed)?;
    for Spent { phase, refusals } in spent {
        let known = table.get(phase.0).map_err(failed)?;
        let known = known.map_or(0, |known| known.value());
        table
            .insert(phase.0, known.saturating_add(*refusals))
            .map_err(failed)?;
    }
    Ok(())
}

/// What was seen of every client.
pub(super) fn sightings(database: &Database) -> Result<Legible<Sighting, ClientId>, StoreError> {
    let mut read = Legible::default();
    each(database, SIGHTINGS, |name, stored| {
        match read_json(name, stored) {
            Ok(sighting) => read.entries.push(sighting),
            Err(_) => read.damaged.push(name.parse().ok()),
        }
    })?;
    Ok(read)
}

/// What was seen of one client.
pub(super) fn sighting(
    database: &Database,
    client: &ClientId,
) -> Result<Legible<Sighting, ClientId>, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let table = read.open_table(SIGHTINGS).map_err(failed)?;
    let (entries, damaged) = match value(&table, client.as_str()) {
        Ok(sighting) => (sighting.into_iter().collect(), Vec::new()),
        Err(StoreError::Unreadable(_)) => (Vec::new(), vec![Some(client.clone())]),
        Err(error) => return Err(error),
    };
    Ok(Legible { entries, damaged })
}

/// The last use of every credential.
pub(super) fn uses(database: &Database) -> Result<Legible<Use, CredentialId>, StoreError> {
    let mut read = Legible::default();
    each(database, USES, |name, stored| {
        let credential: Option<CredentialId> = name.parse().ok();
        match credential.zip(read_json(name, stored).ok()) {
            Some((credential, last)) => read.entries.push(Use { credential, last }),
            None => read.damaged.push(credential),
        }
    })?;
    Ok(read)
}

/// The last use of one credential.
pub(super) fn last_use(
    database: &Database,
    credential: &CredentialId,
) -> Result<Option<LastUse>, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let table = read.open_table(USES).map_err(failed)?;
    value(&table, &credential.to_string())
}

/// Calls `take` with every name in the table and what is stored under it.
fn each(
    database: &Database,
    table: TableDefinition<'_, &'static str, &'static [u8]>,
    mut take: impl FnMut(&str, &[u8]),
) -> Result<(), StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let table = read.open_table(table).map_err(failed)?;
    for entry in table.iter().map_err(failed)? {
        let (name, stored) = entry.map_err(failed)?;
        take(name.value(), stored.value());
    }
    Ok(())
}

/// The requests of one client, or of all together when there is none.
pub(super) fn counts(
    database: &Database,
    client: Option<&ClientId>,
    days: &RangeInclusive<Day>,
) -> Result<History, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let table = read.open_table(COUNTS).map_err(failed)?;
    let name = client.map_or(TOTAL, ClientId::as_str);
    let mut history = History::new();
    let first = table.first().map_err(failed)?;
    let Some(first) = first.map(|(key, _)| key.value().0) else {
        return Ok(history);
    };
    let last = table.last().map_err(failed)?;
    let last = last.map_or(first, |(key, _)| key.value().0);
    let asked = days::pieces(days);
    for piece in first.max(*asked.start())..=last.min(*asked.end()) {
        history.extend(piece_of(&table, piece, name)?);
    }
    history.retain(|day, _| days.contains(day));
    Ok(history)
}

/// Sends the requests of every client, piece by piece.
pub(super) fn all_counts(
    database: &Database,
    days: &RangeInclusive<Day>,
    to: &mpsc::Sender<(ClientId, History)>,
) -> Result<(), StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let table = read.open_table(COUNTS).map_err(failed)?;
    let pieces = days::pieces(days);
    let range = (*pieces.start(), "")..(pieces.end().saturating_add(1), "");
    for entry in table.range(range).map_err(failed)? {
        let (key, stored) = entry.map_err(failed)?;
        let (piece, name) = key.value();
        if name == TOTAL {
            continue;
        }
        let client = name.parse().map_err(|error| unreadable(name, &error))?;
        let mut history = days::decode(piece, stored.value())?;
        history.retain(|day, _| days.contains(day));
        if !history.is_empty() && to.blocking_send((client, history)).is_err() {
            break; // Nobody waits for them any more.
        }
    }
    Ok(())
}

/// The refusals of a brownout.
pub(super) fn spent(database: &Database, phase: Epoch) -> Result<u64, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let table = read.open_table(SPENT).map_err(failed)?;
    let spent = table.get(phase.0).map_err(failed)?;
    Ok(spent.map_or(0, |spent| spent.value()))
}

fn piece_of(
    table: &impl ReadableTable<(u32, &'static str), &'static [u8]>,
    piece: u32,
    name: &str,
) -> Result<History, StoreError> {
    let stored = table.get((piece, name)).map_err(failed)?;
    let stored = stored.as_ref().map_or(&[][..], |stored| stored.value());
    Ok(days::decode(piece, stored)?)
}

fn value<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let stored = table.get(name).map_err(failed)?;
    let read = stored.map(|stored| read_json(name, stored.value()));
    Ok(read.transpose()?)
}

/// What was read; nothing when it is damaged, which is counted.
fn sound<T>(read: Result<T, StoreError>, damaged: &mut u64) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Unreadable(_)) => {
            *damaged = damaged.saturating_add(1);
            Ok(None)
        }
        read => read.map(Some),
    }
}

fn put<T: Serialize>(
    table: &mut Table<'_, &'static str, &'static [u8]>,
    name: &str,
    value: &T,
) -> Result<(), StoreError> {
    let stored = serde_json::to_vec(value).unwrap_or_default();
    table.insert(name, stored.as_slice()).map_err(failed)?;
    Ok(())
}

fn read_json<T: DeserializeOwned>(name: &str, stored: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(stored).map_err(|error| unreadable(name, &error))
}

fn unreadable(name: &str, why: &dyn std::fmt::Display) -> Unreadable {
    Unreadable {
        what: format!("what was seen of {name:?}"),
        why: why.to_string(),
    }
}
