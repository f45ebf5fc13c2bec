//! Restoring a backup.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bring::Bringing;
use super::merge::{Outcome, is_revoked};
use super::seen::Seen;
use super::{Backup, BackupError, Line, kept};
use crate::clock::{Day, Timestamp};
use crate::phase::Target;
use crate::store::{
    Acknowledged, Action, Change, Epoch, Event, Record, RecordId, RecordKeys, Store, StoreError,
    Versioned,
};

/// Among how many of the last changes one is looked for that says that a restore goes on: so many
/// times as many as are read at once, the last ones first.
const LOOKS_BACK: u64 = 10;
const AT_ONCE: u64 = 100;

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

/// Why a restore broke off. It can be begun again.
#[derive(Debug, thiserror::Error)]
pub enum NotRestored {
    /// The backup cannot be read any more.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
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

/// Restores `backup` into `store`.
///
/// The phases come first: nobody is let in by a certificate that was retired. Clients come last, and
/// so who has a client has all that it was given until then. What was seen comes after the end of
/// the changes.
///
/// # Errors
///
/// [`NotRestored`].
pub async fn restore(
    backup: &Backup,
    store: &dyn Store,
    order: Order<'_>,
) -> Result<Restored, NotRestored> {
    let (today, is_dry) = (order.today, order.is_dry);
    let mut bringing = Bringing::begin(store, backup.header().head, order).await?;
    let phases: Result<_, _> =
        records(backup, |record| matches!(record, Record::Phase(_)))?.collect();
    bringing.phases(phases?).await?;
    let is_other = |record: &Record| !matches!(record, Record::Phase(_) | Record::Client(_));
    for record in records(backup, is_other)? {
        bringing.take(record?).await?;
    }
    bringing.flush().await?;
    for record in records(backup, |record| matches!(record, Record::Client(_)))? {
        bringing.take(record?).await?;
    }
    let mut restored = bringing.end().await?;
    if !is_dry {
        let mut seen = Seen::begin(store, today).await?;
        for line in backup.lines()? {
            seen.take(line?).await?;
        }
        restored.damaged = seen.end().await?;
    }
    Ok(restored)
}

/// The records of a backup that are `wanted`.
fn records(
    backup: &Backup,
    wanted: impl Fn(&Record) -> bool,
) -> Result<impl Iterator<Item = Result<Versioned, BackupError>>, BackupError> {
    Ok(backup.lines()?.filter_map(move |line| match line {
        Ok(Line::Record { version, record }) => wanted(&record).then_some(Ok(Versioned {
            version,
            record: *record,
        })),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }))
}

/// Whether a restore was begun in the store, which is at `now`, and has not come to its end. Anybody
/// who can write to the store can say so.
///
/// # Errors
///
/// When the store cannot tell.
pub async fn is_being_restored(store: &dyn Store, now: Epoch) -> Result<bool, StoreError> {
    for look in 1..=LOOKS_BACK {
        let after = now.0.saturating_sub(look.saturating_mul(AT_ONCE));
        let events = store.trail(Epoch(after)).await?;
        let mut actions = events
            .iter()
            .rev()
            .filter_map(|event| Event::action_of(&event.stored));
        let last = actions.find_map(opens);
        if after == 0 || last.is_some() {
            return Ok(last == Some(true));
        }
    }
    Ok(false)
}

/// Whether a restore goes on after a change that says so; nothing of any other.
pub(super) const fn opens(action: Action) -> Option<bool> {
    if matches!(action, Action::StoreRestoring) {
        Some(true)
    } else if matches!(action, Action::StoreRestored) {
        Some(false)
    } else {
        None
    }
}
