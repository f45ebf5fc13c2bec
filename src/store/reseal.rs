//! Which record key signed what is stored, and signing it anew with the current one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::authentic::{Opened, RecordKeys};
use super::{RecordId, RecordKeyVersion, Store, StoreError, Versioned};

/// What is done with records that the current record key did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reseal {
    /// They are only counted.
    Count,
    /// They are signed anew.
    Write,
}

/// What a step through the records found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resealed {
    /// How many records each record key had signed.
    #[serde(with = "pairs")]
    pub by_key: BTreeMap<RecordKeyVersion, u64>,
    /// How many were not signed.
    pub unsigned: u64,
    /// How many are not believed. They are left as they are.
    pub refused: u64,
    /// How many were signed anew.
    pub written: u64,
    /// Where to go on; nothing at the end.
    pub next: Option<String>,
}

impl Resealed {
    /// Goes through all records, step by step, and says how many more were looked at.
    ///
    /// # Errors
    ///
    /// When the store cannot tell, or does not take what is written.
    pub async fn all(
        store: &dyn Store,
        reseal: Reseal,
        looked_at: impl Fn(u64),
    ) -> Result<Self, StoreError> {
        let mut found = store.reseal(reseal, None).await?;
        looked_at(found.records());
        while let Some(next) = found.next.take() {
            let step = store.reseal(reseal, Some(&next)).await?;
            looked_at(step.records());
            found = found.and(step);
        }
        Ok(found)
    }

    /// How many records were looked at.
    fn records(&self) -> u64 {
        let signed = self.by_key.values().sum::<u64>();
        signed
            .saturating_add(self.unsigned)
            .saturating_add(self.refused)
    }

    /// Counts a record; gives its new stored form when it is to have one.
    pub(super) fn look(
        &mut self,
        id: &RecordId,
        stored: &[u8],
        keys: &RecordKeys,
        reseal: Reseal,
    ) -> Option<String> {
        let (Ok(Versioned { version, record }), Ok(opened)) =
            (Versioned::decode(id, stored, keys), Opened::read(stored))
        else {
            count(&mut self.refused);
            return None;
        };
        let signed_by = opened.mac.map(|mac| mac.key);
        count(match signed_by {
            Some(key) => self.by_key.entry(key).or_default(),
            None => &mut self.unsigned,
        });
        let current = keys.current()?;
        let is_wanted = reseal == Reseal::Write && signed_by != Some(current);
        is_wanted.then(|| Versioned::encode(version, &record, keys))
    }

    /// Counts a record whose name is none.
    pub(super) const fn refuse(&mut self) {
        count(&mut self.refused);
    }

    /// What two steps found together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (key, records) in other.by_key {
            let sum = self.by_key.entry(key).or_default();
            *sum = sum.saturating_add(records);
        }
        Self {
            by_key: self.by_key,
            unsigned: self.unsigned.saturating_add(other.unsigned),
            refused: self.refused.saturating_add(other.refused),
            written: self.written.saturating_add(other.written),
            next: other.next,
        }
    }
}

/// A map as a list: numbers cannot name what is in an object.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::store::RecordKeyVersion;

    type Map = BTreeMap<RecordKeyVersion, u64>;

    pub(super) fn serialize<S: Serializer>(map: &Map, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Map, D::Error> {
        let pairs = Vec::<(RecordKeyVersion, u64)>::deserialize(from)?;
        Ok(pairs.into_iter().collect())
    }
}

const fn count(records: &mut u64) {
    *records = records.saturating_add(1);
}
