//! Reading what Redis gives.

use std::time::Duration;

use redis::Cmd;
use redis::streams::{StreamId, StreamReadReply};

use super::link::{Link, Session};
use super::{EPOCH, EVENTS, HEAD, OWNED};
use crate::client::ClientId;
use crate::store::authentic::damaged;
use crate::store::{Epoch, EventHash, Head, RecordId, StoreError, Unreadable};

/// How many fields of a hash to ask for at a time.
const FIELDS: usize = 500;
/// The most events that one answer holds. Those of a restore have a hundred records each, and all of
/// them must come within `store.response_timeout`.
const EVENTS_AT_ONCE: usize = 100;

/// Takes a field of a hash and its value.
type Each<'a> = dyn FnMut(&str, &[u8]) -> Result<(), StoreError> + Send + 'a;
/// Where to go on, and the fields and values until there.
pub(super) type Page = (u64, Vec<(Vec<u8>, Vec<u8>)>);

/// The question for some fields of the hash `key` and their values, and where to go on: 0 at the end.
pub(super) fn page_question(key: &str, cursor: u64) -> Cmd {
    let mut question = redis::cmd("HSCAN");
    question.arg(key).arg(cursor).arg("COUNT").arg(FIELDS);
    question
}

/// Gives every field of the hash `key` and its value to `each`, some perhaps twice. What of a field
/// is no text is replaced, so that it reads as no name of anything.
pub(super) async fn all(
    session: &mut Session<'_>,
    key: &str,
    each: &mut Each<'_>,
) -> Result<(), StoreError> {
    let mut cursor = 0;
    loop {
        let (next, fields): Page = session.ask(&page_question(key, cursor)).await?;
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

/// The question for the number and the hash of the last change.
pub(super) fn head_question() -> Cmd {
    let mut question = redis::cmd("MGET");
    question.arg(EPOCH).arg(HEAD);
    question
}

/// The number and the hash of the last change, when the answer was this. Before the first change
/// there is none, and a hash is missing also after changes of versions of this program that knew no
/// chain.
pub(super) fn head((epoch, hash): (Option<String>, Option<String>)) -> Result<Head, StoreError> {
    let unreadable = |what: &str, stored: &str, is_not: &str| Unreadable {
        what: what.to_owned(),
        why: format!("{stored:?} is not {is_not}"),
    };
    let epoch = match epoch {
        None => Epoch::NONE,
        Some(stored) => stored
            .parse()
            .ok()
            .map(Epoch)
            .filter(|epoch| *epoch <= Epoch::LAST)
            .ok_or_else(|| unreadable(EPOCH, &stored, "a number that there can be"))?,
    };
    let hash = match hash.as_deref() {
        None | Some("") => EventHash::default(),
        Some(stored) => {
            EventHash::from_hex(stored).ok_or_else(|| unreadable(HEAD, stored, "a hash"))?
        }
    };
    Ok(Head { epoch, hash })
}

/// What [`head`] reads as this hash.
pub(super) fn hash_as_stored(hash: EventHash) -> String {
    if hash == EventHash::default() {
        String::new()
    } else {
        hash.to_string()
    }
}

/// The question for some entries of the stream after `after`, waiting up to `wait` for the first.
pub(super) fn events_question(after: Epoch, wait: Duration) -> Cmd {
    let mut question = redis::cmd("XREAD");
    question.arg("COUNT").arg(EVENTS_AT_ONCE);
    // To Redis, 0 would mean for ever.
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    if millis > 0 {
        question.arg("BLOCK").arg(millis);
    }
    let from = format!("{after}-0");
    question.arg("STREAMS").arg(EVENTS).arg(from);
    question
}

/// The entries of the stream, when the answer was this: the number of each, and its stored form.
pub(super) fn events(
    reply: Option<StreamReadReply>,
) -> impl Iterator<Item = Result<(Epoch, Vec<u8>), StoreError>> {
    let streams = reply.map(|reply| reply.keys).unwrap_or_default();
    let entries = streams.into_iter().flat_map(|stream| stream.ids);
    entries.map(|entry| event(&entry))
}

fn event(entry: &StreamId) -> Result<(Epoch, Vec<u8>), StoreError> {
    let what = format!("the entry {} of {EVENTS}", entry.id);
    let damaged = |why: &str| damaged(&why).of(what.clone());
    let number = entry.id.strip_suffix("-0");
    let number = number.and_then(|epoch| epoch.parse().ok());
    let epoch = number.ok_or_else(|| damaged("it is not an epoch"))?;
    let stored = entry.get("event");
    let stored = stored.ok_or_else(|| damaged("it has no field \"event\""))?;
    Ok((Epoch(epoch), stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_there_cannot_be_is_not_believed() {
        let read = |epoch: Epoch| head((Some(epoch.to_string()), None)).ok();
        let last = read(Epoch::LAST).map(|head| head.epoch);
        assert_eq!(last, Some(Epoch::LAST));
        assert_eq!(read(Epoch::LAST.next()), None);
    }
}
