//! The store as a history: its changes as they are stored, and which of them wrote each record.

use std::collections::BTreeMap;

use super::Failure;
use super::open::Operator;
use crate::store::{Epoch, Head, Loaded, RecordId, Reseal, Resealed, StoredEvent, Versioned};

impl Operator {
    /// A step through all records, to count or to sign them anew.
    pub(super) async fn reseal(
        &self,
        reseal: Reseal,
        from: Option<&str>,
    ) -> Result<Resealed, Failure> {
        let found = self.store.reseal(reseal, from).await;
        found.map_err(|error| self.cannot_tell(&error))
    }

    /// Some events after `after` as they are stored.
    pub(super) async fn trail(&self, after: Epoch) -> Result<Vec<StoredEvent>, Failure> {
        let events = self.store.trail(after).await;
        events.map_err(|error| self.cannot_tell(&error))
    }

    /// The last change.
    pub(super) async fn head(&self) -> Result<Head, Failure> {
        let head = self.store.head().await;
        head.map_err(|error| self.cannot_tell(&error))
    }

    /// Which change wrote each record that is believed.
    pub(super) async fn versions(&self) -> Result<BTreeMap<RecordId, Epoch>, Failure> {
        let mut versions = BTreeMap::new();
        let mut each = |loaded: Loaded| {
            if let Ok(Versioned { version, record }) = loaded {
                versions.insert(record.id(), version);
            }
        };
        let loaded = self.store.load(&mut each).await;
        loaded.map_err(|error| self.cannot_tell(&error))?;
        Ok(versions)
    }
}
