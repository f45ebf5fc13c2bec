//! What a restore is told, and what it tells.

use std::collections::BTreeMap;

use serde::Serialize;

use super::kept;
use super::merge::{Outcome, is_revoked};
use crate::clock::{Day, Timestamp};
use crate::phase::Target;
use crate::store::{Acknowledged, Change, Epoch, Event, Record, RecordId, RecordKeys};

/// How a backup is restored.
#[derive(Debug)]
pub struct Order<'a> {
    /// What every change for it says, without writes.
    pub like: Change,
    /// The day on which that is.
    pub today: Day,
    /// Whether it is only looked what would be done.
    pub is_dry: bool,
    /// What the store is authenticated with.
    pub record_keys: &'a RecordKeys,
    /// What is known to have been revoked since.
    pub revocations: Revocations,
}

/// What a restore did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Records of which the store had none.
    pub added: u64,
    /// Records that the store had alive, and that are revoked.
    pub revoked: u64,
    /// Records that were further in the backup.
    pub advanced: u64,
    /// Records that are others in the store, and stay.
    pub stay: u64,
    /// Records that are the same.
    pub same: u64,
    /// What is another client's in the store, and stays.
    pub anothers: Vec<RecordId>,
    /// Phases that stay, or are left out, since less is known to be refused by the other.
    pub phases_left: Vec<Target>,
    /// Records in whose place the store has something that is not believed.
    pub refused: Vec<RecordId>,
    /// Entries of what was seen that are damaged in the store.
    pub damaged: u64,
    /// The last change that was made for it.
    pub epoch: Option<Epoch>,
    /// Who has it already, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Acknowledged>,
}

impl Restored {
    /// Whether something is left for the operator to decide.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.anothers.is_empty() && self.phases_left.is_empty() && self.refused.is_empty()
    }

    pub(super) fn count(&mut self, outcome: Outcome, id: RecordId) {
        let count = match outcome {
            Outcome::Same => &mut self.same,
            Outcome::Added => &mut self.added,
            Outcome::Revoked => &mut self.revoked,
            Outcome::Advanced => &mut self.advanced,
            Outcome::Stays => &mut self.stay,
            Outcome::Anothers => {
                self.anothers.push(id);
                &mut self.stay
            }
        };
        *count = count.saturating_add(1);
    }
}

/// What events say was revoked, got an end, or was set as a phase last.
#[derive(Debug, Default)]
pub struct Revocations {
    /// What is revoked, and keys that end.
    pub(super) ended: BTreeMap<RecordId, Record>,
    pub(super) phases: BTreeMap<Target, Record>,
}

impl Revocations {
    /// Takes in the next event of a history.
    pub fn take(&mut self, event: Event) {
        for record in event.records {
            let id = record.id();
            if let Record::Phase(phase) = &record {
                self.phases.insert(phase.target.clone(), record);
            } else if is_revoked(&record) || end_of(&record).is_some() {
                self.ended.insert(id, kept(record));
            } else {
                self.ended.remove(&id);
            }
        }
    }
}

/// When the key ends that this is.
pub(super) const fn end_of(record: &Record) -> Option<Timestamp> {
    match record {
        Record::Key(key) => key.expires_at,
        Record::Client(_) | Record::Certificate(_) | Record::Alias(_) | Record::Phase(_) => None,
    }
}
