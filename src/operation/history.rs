//! The store as a history: its changes as they are stored, and which of them wrote each record.

use std::collections::BTreeMap;

use super::Failure;
use super::Operator;
use crate::store::{Epoch, EventHash, Head, Loaded, Record, RecordId, StoredEvent, Versioned};

impl Operator {
    /// Some events after `after` as they are stored.
    pub(crate) async fn trail(&self, after: Epoch) -> Result<Vec<StoredEvent>, Failure> {
        let events = self.store.trail(after).await;
        events.map_err(|error| self.cannot_tell(&error))
    }

    /// The last change.
    pub(crate) async fn head(&self) -> Result<Head, Failure> {
        let head = self.store.head().await;
        head.map_err(|error| self.cannot_tell(&error))
    }

    /// Which change wrote each record that is believed and what it made of it, and what is wrong with
    /// the others.
    pub(crate) async fn written(
        &self,
    ) -> Result<(BTreeMap<RecordId, Written>, Vec<String>), Failure> {
        let (mut written, mut wrong) = (BTreeMap::new(), Vec::new());
        let mut each = |loaded: Loaded| match loaded {
            Ok(Versioned { version, record }) => {
                written.insert(record.id(), Written::new(version, &record));
            }
            Err(refused) => wrong.push(refused.to_string()),
        };
        let loaded = self.store.load(&mut each).await;
        loaded.map_err(|error| self.cannot_tell(&error))?;
        Ok((written, wrong))
    }
}

/// A record by the change that wrote it, and the hash of what that made of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) by: Epoch,
    content: EventHash,
}

impl Written {
    pub(crate) fn new(by: Epoch, record: &Record) -> Self {
        let content = serde_json::to_vec(record).unwrap_or_default();
        Self {
            by,
            content: EventHash::of(&content),
        }
    }
}
