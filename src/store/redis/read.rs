//! Reading what Redis gives.

use redis::Cmd;
use redis::streams::StreamId;

use super::link::{Link, Session};
use super::{EPOCH, EVENTS, OWNED};
use crate::client::ClientId;
use crate::store::{Epoch, Event, Follow, RecordId, StoreError, Unreadable};

/// How many fields of a hash to ask for at a time.
const FIELDS: usize = 500;

/// Takes a field of a hash and its value.
type Each<'a> = dyn FnMut(&str, &[u8]) -> Result<(), StoreError> + Send + 'a;
/// Where to go on, and the fields and values until there.
type Page = (u64, Vec<(Vec<u8>, Vec<u8>)>);

/// Gives every field of the hash `key` and its value to `each`, some perhaps twice. What of a field
/// is no text is replaced, so that it reads as no name of anything.
pub(super) async fn all(
    session: &mut Session<'_>,
    key: &str,
    each: &mut Each<'_>,
) -> Result<(), StoreError> {
    let mut cursor = 0;
    loop {
        let mut question = redis::cmd("HSCAN");
        question.arg(key).arg(cursor).arg("COUNT").arg(FIELDS);
        let (next, fields): Page = session.ask(&question).await?;
        for (field, value) in fields {
            each(&String::from_utf8_lossy(&field), &value)?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// The ids of the records that are or were the client's.
pub(super) async fn owned(link: &Link, client: &ClientId) -> Result<Vec<RecordId>, StoreError> {
    // All with the same score are in the order of their bytes, and `!` is the byte after the space.
    let mut question = redis::cmd("ZRANGEBYLEX");
    let (first, after) = (format!("[{client} "), format!("({client}!"));
    question.arg(OWNED).arg(first).arg(after);
    let owned: Vec<String> = link.ask(&question).await?;
    let id = |owned: &String| owned.split_once(' ').map_or("", |(_, id)| id).parse();
    Ok(owned.iter().map(id).collect::<Result<_, _>>()?)
}

/// The question for the epoch.
pub(super) fn epoch_question() -> Cmd {
    let mut question = redis::cmd("GET");
    question.arg(EPOCH);
    question
}

/// The epoch, when the answer was this.
pub(super) fn epoch(stored: Option<String>) -> Result<Epoch, StoreError> {
    match stored.map(|epoch| (epoch.parse(), epoch)) {
        None => Ok(Epoch::NONE),
        Some((Ok(epoch), _)) => Ok(Epoch(epoch)),
        Some((Err(_), epoch)) => Err(Unreadable {
            what: EPOCH.to_owned(),
            why: format!("{epoch:?} is not a number"),
        }
        .into()),
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
