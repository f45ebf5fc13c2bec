//! The events that changes leave.

use serde::{Deserialize, Serialize};

use super::authentic::{Opened, RecordKeys, Refusal, Refused, damaged};
use super::{Action, Actor, Change, Epoch, EventHash, Head, Origin, Reason, Record};
use crate::clock::Timestamp;

/// What a change left in the stream: replicas follow it, and it says who did what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The change's number.
    pub epoch: Epoch,
    /// The hash of the event before it. Versions of this program that knew no chain wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<EventHash>,
    /// What was done.
    pub action: Action,
    /// By whom.
    pub actor: Actor,
    /// From where, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// When.
    pub at: Timestamp,
    /// Why, where somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The records as they became.
    pub records: Vec<Record>,
}

impl Event {
    /// The event of `change` as the next one after `head`.
    #[must_use]
    pub fn of(change: &Change, head: Head) -> Self {
        Self {
            epoch: head.epoch.next(),
            before: Some(head.hash),
            action: change.action,
            actor: change.actor.clone(),
            origin: change.origin.clone(),
            at: change.at,
            reason: change.reason.clone(),
            records: change
                .writes
                .iter()
                .map(|write| write.record.clone())
                .collect(),
        }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self, keys: &RecordKeys) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        keys.close(&format!("{EVENT}{json}"), &[CONTEXT, json.as_bytes()])
    }

    /// The number that a stored form says of itself, not to be believed.
    #[must_use]
    pub fn epoch_of(stored: &str) -> Option<Epoch> {
        let opened = Opened::read(stored.as_bytes()).ok()?;
        let (epoch, _) = opened.numbered("\"event\":{\"epoch\":", ",")?;
        Some(epoch)
    }

    /// What a stored form says was done, not to be believed.
    pub(super) fn action_of(stored: &str) -> Option<Action> {
        #[derive(Deserialize)]
        struct Done {
            action: Action,
        }
        let body = Opened::read(stored.as_bytes()).ok()?.body;
        let done: Done = serde_json::from_str(body.strip_prefix(EVENT)?).ok()?;
        Some(done.action)
    }

    /// Reads the stored form of the event number `epoch`.
    ///
    /// # Errors
    ///
    /// [`Refused`] when it is not authentic, damaged, or another event than `epoch` says.
    pub fn decode(epoch: Epoch, stored: &[u8], keys: &RecordKeys) -> Result<Self, Refused> {
        let read = || {
            let Opened { body, mac } = Opened::read(stored)?;
            let json = body.strip_prefix(EVENT);
            let json = json.ok_or_else(|| damaged(&"it is no event"))?;
            keys.check(mac.as_ref(), &[CONTEXT, json.as_bytes()])?;
            let event: Self = serde_json::from_str(json).map_err(|error| damaged(&error))?;
            if event.epoch == epoch && epoch <= Epoch::LAST {
                Ok(event)
            } else {
                Err(Refusal::Damaged(format!(
                    "it says that it is {}",
                    event.epoch
                )))
            }
        };
        read().map_err(|why| why.of(format!("event {epoch}")))
    }
}

const EVENT: &str = "\"event\":";
const CONTEXT: &[u8] = b"event.v1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientRecord;
    use crate::secret::Secret;
    use crate::store::{RecordKey, Versioned, Write};

    #[test]
    fn a_damaged_foreign_or_misplaced_event_is_refused() {
        let at = Timestamp::from_unix(1);
        let change = Change::new(
            Action::ClientAdded,
            Actor::Gateway,
            at,
            vec![Write::create(ClientRecord::new(
                "a".parse().unwrap(),
                None,
                at,
            ))],
        );
        let change = change.because("asked \"for\" it".parse().ok());
        let head = Head {
            epoch: Epoch(6),
            hash: EventHash::of(b"event 6"),
        };
        let keys = RecordKeys::new(RecordKey::new(1, &Secret::new(vec![1; 32])), []);
        let stored = Event::of(&change, head).encode(&keys);
        let read = Event::decode(Epoch(7), stored.as_bytes(), &keys).unwrap();
        assert_eq!((read.epoch, read.records.len()), (Epoch(7), 1));
        assert_eq!(read.before, Some(head.hash));
        assert!(change.reason.is_some() && read.reason == change.reason);
        assert!("".parse::<Reason>().is_err() && "a\nb".parse::<Reason>().is_err());

        let unsigned = Event::of(&change, head).encode(&RecordKeys::none());
        for (epoch, bytes, why) in [
            (7, stored.trim_start_matches('{'), "damaged"),
            (7, &stored.replacen(":2,", ":3,", 1), "schema"),
            (8, &stored, "damaged"),
            (7, &unsigned, "unsigned"),
            (
                7,
                &stored.replace("\"epoch\":7", "\"epoch\":8"),
                "wrong_mac",
            ),
        ] {
            let refused = Event::decode(Epoch(epoch), bytes.as_bytes(), &keys).unwrap_err();
            assert_eq!(refused.why.as_str(), why, "{epoch} {bytes}");
        }
        let none = RecordKeys::none();
        assert!(Event::decode(Epoch(7), unsigned.as_bytes(), &none).is_ok());

        let epoch = Epoch::LAST;
        let made_up = Event::of(&change, Head { epoch, ..head }).encode(&keys);
        assert!(Event::decode(epoch.next(), made_up.as_bytes(), &keys).is_err());
    }

    #[test]
    fn a_record_is_no_event_and_an_event_no_record() {
        let keys = RecordKeys::new(RecordKey::new(1, &Secret::new(vec![1; 32])), []);
        let record = ClientRecord::new("a".parse().unwrap(), None, Timestamp::from_unix(1)).into();
        let stored = Versioned::encode(Epoch(7), &record, &keys);
        assert!(Event::decode(Epoch(7), stored.as_bytes(), &keys).is_err());
    }
}
