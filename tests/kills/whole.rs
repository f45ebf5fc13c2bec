//! What a store says of itself must fit together, whatever happened to it.

use std::collections::BTreeMap;
use std::time::Duration;

use keyferry::store::{Epoch, Event, Follow, Head, Record, RecordId, Store, Versioned};
use serde_json::Value;

/// A store's history and what came of it.
pub(crate) struct Whole {
    pub(crate) events: Vec<Event>,
    records: BTreeMap<RecordId, Versioned>,
}

impl Whole {
    /// Reads everything, while nobody changes anything. The chain of events has no gap and leads to
    /// the head, and the records are what the events made: no change was carried out by half.
    pub(crate) async fn read(store: &dyn Store) -> Self {
        let (mut records, mut refused) = (BTreeMap::new(), Vec::new());
        let head = store
            .load(&mut |loaded| match loaded {
                Ok(one) => {
                    records.insert(one.record.id(), one);
                }
                Err(one) => refused.push(one),
            })
            .await
            .expect("a store that can be read");
        assert!(refused.is_empty(), "{refused:?}");
        let this = Self {
            events: history(store, head).await,
            records,
        };
        assert_eq!(this.replayed(), this.loaded(), "what the events made");
        for one in this.records.values() {
            let owner = one.record.owner().cloned().map(RecordId::Client);
            let owner = owner.filter(|owner| this.record(owner).is_none());
            assert_eq!(owner, None, "{:?} belongs to nobody", one.record.id());
        }
        this
    }

    pub(crate) fn record(&self, id: &RecordId) -> Option<&Record> {
        self.records.get(id).map(|one| &one.record)
    }

    /// The number of the last change.
    pub(crate) fn epoch(&self) -> Epoch {
        self.events.last().map_or(Epoch::NONE, |event| event.epoch)
    }

    fn replayed(&self) -> BTreeMap<RecordId, (Epoch, Value)> {
        let changes = self.events.iter();
        let changes = changes.flat_map(|event| event.records.iter().map(|one| (event.epoch, one)));
        changes
            .map(|(epoch, record)| (record.id(), (epoch, json(record))))
            .collect()
    }

    fn loaded(&self) -> BTreeMap<RecordId, (Epoch, Value)> {
        let records = self.records.iter();
        records
            .map(|(id, one)| (id.clone(), (one.version, json(&one.record))))
            .collect()
    }
}

/// Every event up to `end`. That each follows on the one before is the store's to check.
async fn history(store: &dyn Store, end: Head) -> Vec<Event> {
    let (mut all, mut at) = (Vec::new(), Head::default());
    while at.epoch < end.epoch {
        match store.follow(at, Duration::ZERO).await.expect("events") {
            Follow::Events { events, head } if !events.is_empty() => {
                all.extend(events);
                at = head;
            }
            other => panic!("after {at:?} of {end:?}: {other:?}"),
        }
    }
    assert_eq!(at, end);
    all
}

/// A record, to be compared.
pub(crate) fn json(record: &Record) -> Value {
    serde_json::to_value(record).expect("JSON")
}
