//! What the operator does to clients.

use super::{ClientId, ClientRecord, ClientStatus, MOST_TAGS, Tags};
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Epoch, Write};

/// A client would have too many tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a client has at most {MOST_TAGS} tags; take some away")]
pub struct TooManyTags;

/// Makes a client, without any credential. There must be none of that name, not even a disabled
/// one: a name is never reused.
#[must_use]
pub fn add(
    id: ClientId,
    description: Option<String>,
    tags: Tags,
    actor: Actor,
    now: Timestamp,
) -> Change {
    let record = ClientRecord {
        tags,
        ..ClientRecord::new(id, description, now)
    };
    Change::new(Action::ClientAdded, actor, now, vec![Write::create(record)])
}

/// Gives the client that was read these tags in place of those that it has. None when it has them.
///
/// # Errors
///
/// [`TooManyTags`].
pub fn tag(
    (version, record): (Epoch, ClientRecord),
    tags: Tags,
    actor: Actor,
    now: Timestamp,
) -> Result<Option<Change>, TooManyTags> {
    if tags.len() > MOST_TAGS {
        return Err(TooManyTags);
    }
    if tags == record.tags {
        return Ok(None);
    }
    let writes = vec![Write::replace(version, ClientRecord { tags, ..record })];
    Ok(Some(Change::new(Action::ClientTagged, actor, now, writes)))
}

/// Disables the client that was read: neither its certificates nor its keys are accepted any more.
/// None when they are not anyway.
#[must_use]
pub fn disable(read: (Epoch, ClientRecord), actor: Actor, now: Timestamp) -> Option<Change> {
    let disabled = ClientStatus::Disabled { at: now };
    read.1
        .is_active()
        .then(|| switch(read, disabled, Action::ClientDisabled, actor, now))
}

/// Enables the client that was read, with the certificates and keys that it has. None when it is
/// active.
#[must_use]
pub fn enable(read: (Epoch, ClientRecord), actor: Actor, now: Timestamp) -> Option<Change> {
    let active = ClientStatus::Active;
    (!read.1.is_active()).then(|| switch(read, active, Action::ClientEnabled, actor, now))
}

fn switch(
    (version, record): (Epoch, ClientRecord),
    status: ClientStatus,
    action: Action,
    actor: Actor,
    now: Timestamp,
) -> Change {
    Change::new(
        action,
        actor,
        now,
        vec![Write::replace(version, ClientRecord { status, ..record })],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Record;

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    fn client(change: &Change) -> (Epoch, ClientRecord) {
        match change.writes.as_slice() {
            [
                Write {
                    expected,
                    record: Record::Client(record),
                },
            ] => (*expected, record.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_client_is_added_where_there_is_none() {
        let id: ClientId = "acme".parse().unwrap();
        let change = add(id.clone(), None, Tags::new(), Actor::Gateway, NOW);
        assert_eq!(
            client(&change),
            (Epoch::NONE, ClientRecord::new(id, None, NOW))
        );
    }

    #[test]
    fn a_client_is_disabled_and_enabled_once() {
        let id = "acme".parse().unwrap();
        let read = client(&add(id, None, Tags::new(), Actor::Gateway, NOW)).1;
        assert!(enable((Epoch(1), read.clone()), Actor::Gateway, NOW).is_none());
        let change = disable((Epoch(1), read.clone()), Actor::Gateway, NOW).unwrap();
        let (expected, disabled) = client(&change);
        assert_eq!(
            (expected, disabled.status),
            (Epoch(1), ClientStatus::Disabled { at: NOW })
        );
        assert!(disable((Epoch(2), disabled.clone()), Actor::Gateway, NOW).is_none());
        let change = enable((Epoch(2), disabled), Actor::Gateway, NOW).unwrap();
        assert_eq!(client(&change), (Epoch(2), read));
    }

    #[test]
    fn a_client_has_the_tags_that_it_was_given_and_not_too_many() {
        let record = ClientRecord::new("acme".parse().unwrap(), None, NOW);
        let tags: Tags = ["b".parse().unwrap(), "a".parse().unwrap()].into();
        let set = |record: &ClientRecord, tags: Tags| {
            tag((Epoch(1), record.clone()), tags, Actor::Gateway, NOW)
        };
        let change = set(&record, tags.clone()).unwrap().unwrap();
        let tagged = client(&change).1;
        assert_eq!(tagged.tags, tags);
        assert!(set(&tagged, tags).unwrap().is_none());
        let many = (0..=MOST_TAGS).map(|n| format!("t{n}").parse().unwrap());
        assert!(set(&record, many.collect()).is_err());
    }
}
