//! The history of changes as a chain: each event holds the hash of the one before it.
//!
//! So whoever follows notices that the store's history is no longer the one that was followed,
//! even when it counts the same numbers: after a failover that lost changes, or when an older copy
//! was restored.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Epoch, Event, RecordKeys, Store, StoreError};

/// SHA-256 of an event as it is stored. By default, of nothing: that is before the first event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct EventHash(
    #[serde(with = "hex::serde")]
    #[schemars(with = "String")]
    [u8; 32],
);

impl EventHash {
    /// The hash of the event whose stored form this is.
    #[must_use]
    pub fn of(stored: &[u8]) -> Self {
        Self(Sha256::digest(stored).into())
    }

    /// Reads 64 hex digits.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// A hash of which these are the bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Default for EventHash {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a history stands: the number and the hash of its last event. By default, before any.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The number.
    pub epoch: Epoch,
    /// The hash.
    pub hash: EventHash,
}

impl Head {
    /// Whether it is seen at once that the history that stood at `before` is not the one that
    /// stands here now. When it has grown, only the next event tells.
    #[must_use]
    pub fn is_not_after(&self, before: &Self) -> bool {
        self.epoch < before.epoch || (self.epoch == before.epoch && self.hash != before.hash)
    }

    /// Whether `event` is the next one from here.
    #[must_use]
    pub fn leads_to(&self, event: &Event) -> bool {
        self.epoch.next() == event.epoch && event.before.is_none_or(|before| before == self.hash)
    }

    /// Where it stands after `event`, of which `stored` is the stored form. Versions of this
    /// program that knew no chain left the hash as it was.
    #[must_use]
    pub fn after(self, event: &Event, stored: &[u8]) -> Self {
        Self {
            epoch: event.epoch,
            hash: event.before.map_or(self.hash, |_| EventHash::of(stored)),
        }
    }
}

/// What follows after a place in the history.
#[derive(Debug)]
pub enum Follow {
    /// The next events, without a gap, oldest first; none when none came within the wait.
    Events {
        /// The events.
        events: Vec<Event>,
        /// The place after them, from which to go on.
        head: Head,
    },
    /// The next events are no longer kept: load everything again.
    Gap {
        /// Where the store stands.
        now: Head,
    },
    /// The store's history is not the one that led to that place: load everything again.
    Replaced {
        /// Where the store stands.
        now: Head,
    },
}

/// An event as it is stored, to be believed or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredEvent {
    /// The number under which it is stored.
    pub epoch: Epoch,
    /// The text, in one line.
    pub stored: String,
}

impl StoredEvent {
    pub(super) fn new((epoch, stored): (Epoch, Vec<u8>)) -> Self {
        let stored = String::from_utf8_lossy(&stored).into_owned();
        Self { epoch, stored }
    }
}

/// What the stored events after `after` amount to, when the store stood at `now` just before they
/// were read. What is wrong with one of them is told when it is the next.
pub(super) fn follow(
    after: Head,
    now: Head,
    keys: &RecordKeys,
    entries: impl Iterator<Item = Result<(Epoch, Vec<u8>), StoreError>>,
) -> Result<Follow, StoreError> {
    if now.is_not_after(&after) {
        return Ok(Follow::Replaced { now });
    }
    let mut head = after;
    let mut events = Vec::new();
    for entry in entries {
        match next(head, now, keys, entry) {
            Ok(Next::Event(event, after)) => {
                head = after;
                events.push(event);
            }
            _ if !events.is_empty() => break,
            Ok(Next::Break(follow)) => return Ok(follow),
            Err(error) => return Err(error),
        }
    }
    if events.is_empty() && now.epoch > after.epoch {
        return Ok(Follow::Gap { now });
    }
    Ok(Follow::Events { events, head })
}

/// What is read on from a place in the history, a step at a time.
#[derive(Debug)]
pub enum ReadOn {
    /// The next events, without a gap, each with the place after it; none at the end.
    Events(Vec<(Event, Head)>),
    /// What follows there is no longer kept, no longer believed, or of another history.
    Missed {
        /// Where the store stands.
        now: Head,
    },
}

/// The next events after `after`, for whoever reads now and then: it does not wait, and leaves the
/// connection alone that is kept for who [follows](super::Store::follow).
///
/// # Errors
///
/// When the store cannot tell.
pub async fn read_on(
    store: &dyn Store,
    after: Head,
    keys: &RecordKeys,
) -> Result<ReadOn, StoreError> {
    let now = store.head().await?;
    if now.is_not_after(&after) {
        return Ok(ReadOn::Missed { now });
    }
    let (mut head, mut events) = (after, Vec::new());
    for StoredEvent { epoch, stored } in store.trail(after.epoch).await? {
        let Ok(Next::Event(event, next)) = next(head, now, keys, Ok((epoch, stored.into_bytes())))
        else {
            break;
        };
        head = next;
        events.push((event, next));
    }
    if events.is_empty() && now.epoch > after.epoch {
        return Ok(ReadOn::Missed { now });
    }
    Ok(ReadOn::Events(events))
}

enum Next {
    Event(Event, Head),
    Break(Follow),
}

fn next(
    head: Head,
    now: Head,
    keys: &RecordKeys,
    entry: Result<(Epoch, Vec<u8>), StoreError>,
) -> Result<Next, StoreError> {
    let (epoch, stored) = entry?;
    if epoch != head.epoch.next() {
        return Ok(Next::Break(Follow::Gap { now }));
    }
    let event = Event::decode(epoch, &stored, keys)?;
    if event.before.is_some_and(|before| before != head.hash) {
        return Ok(Next::Break(Follow::Replaced { now }));
    }
    let head = head.after(&event, &stored);
    Ok(Next::Event(event, head))
}
