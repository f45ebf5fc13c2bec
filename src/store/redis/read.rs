//! Reading what Redis gives.

use std::collections::BTreeMap;

use redis::streams::StreamId;

use super::EVENTS;
use super::link::Link;
use crate::client::{ClientId, Seen, Sighting};
use crate::clock::Timestamp;
use crate::store::{Epoch, Event, Follow, StoreError, Unreadable};

/// How many fields of a hash to ask for at a time.
const FIELDS: usize = 500;

/// Takes a field of a hash and its value.
type Each<'a> = dyn FnMut(&str, &[u8]) -> Result<(), StoreError> + Send + 'a;
/// Where to go on, and the fields and values until there.
type Page = (u64, Vec<(Vec<u8>, Vec<u8>)>);

/// Gives every field of the hash `key` and its value to `each`, some perhaps twice.
pub(super) async fn all(link: &Link, key: &str, each: &mut Each<'_>) -> Result<(), StoreError> {
    let mut cursor = 0;
    loop {
        let mut question = redis::cmd("HSCAN");
        question.arg(key).arg(cursor).arg("COUNT").arg(FIELDS);
        let (next, fields): Page = link.ask(&question).await?;
        for (field, value) in fields {
            let field = String::from_utf8(field).map_err(|error| Unreadable {
                what: format!("a field of {key}"),
                why: error.to_string(),
            })?;
            each(&field, &value)?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// What the entries of the stream after `after` amount to, when the store's epoch was `now` just
/// before they were read.
pub(super) fn events(
    after: Epoch,
    now: Epoch,
    entries: impl Iterator<Item = StreamId>,
) -> Result<Follow, StoreError> {
    let mut known = after;
    let mut events = Vec::new();
    for entry in entries {
        let number = entry
            .id
            .split_once('-')
            .and_then(|(epoch, _)| epoch.parse().ok());
        let epoch = Epoch(number.ok_or_else(|| damaged(&entry.id, "it is not an epoch"))?);
        if epoch != known.next() {
            return Ok(Follow::Gap {
                now: now.max(epoch),
            });
        }
        let stored: Option<Vec<u8>> = entry.get("event");
        let stored = stored.ok_or_else(|| damaged(&entry.id, "it has no field \"event\""))?;
        events.push(Event::decode(epoch, &stored)?);
        known = epoch;
    }
    if events.is_empty() && now > after {
        return Ok(Follow::Gap { now });
    }
    Ok(Follow::Events(events))
}

fn damaged(entry: &str, why: &str) -> Unreadable {
    Unreadable {
        what: format!("the entry {entry} of {EVENTS}"),
        why: why.to_owned(),
    }
}

/// Sightings, put together from their fields.
#[derive(Default)]
pub(super) struct Sightings(BTreeMap<ClientId, Seen>);

impl Sightings {
    /// Takes in one field: `<client id>:certificate` or `<client id>:key`, and its seconds.
    pub(super) fn take(&mut self, field: &str, seconds: &[u8]) -> Result<(), StoreError> {
        let unreadable = || Unreadable {
            what: format!("the sighting {field:?}"),
            why: "it is not a client's name and a time".to_owned(),
        };
        let (client, by) = field.rsplit_once(':').ok_or_else(unreadable)?;
        let client: ClientId = client.parse().map_err(|_| unreadable())?;
        let seconds = std::str::from_utf8(seconds)
            .ok()
            .and_then(|text| text.parse().ok());
        let at = Some(Timestamp::from_unix(seconds.ok_or_else(unreadable)?));
        let seen = self.0.entry(client).or_default();
        match by {
            "certificate" => seen.by_certificate = at,
            "key" => seen.by_key = at,
            _ => return Err(unreadable().into()),
        }
        Ok(())
    }

    pub(super) fn into_list(self) -> Vec<Sighting> {
        let list = self.0.into_iter();
        list.map(|(client, seen)| Sighting { client, seen })
            .collect()
    }
}
