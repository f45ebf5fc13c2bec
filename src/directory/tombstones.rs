//! Revocations outlive a store that loses them.
//!
//! What is revoked, removed, superseded or disabled is never forgotten by the store, so the view
//! itself remembers every revocation that was seen. When a store answers that has lost some (it
//! came back from a replica or a backup that was behind), these are upheld here, and made again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::View;
use crate::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
use crate::client::{ClientId, ClientRecord, ClientStatus};
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyRecord, KeyStatus};
use crate::store::{
    Action, Actor, Change, CommitError, Head, Origin, Reason, Record, RecordId, Store, StoreError,
    Versioned, Write,
};

/// Whether it is seen at once that a store that stands at `now` is not the one that stood at `seen`:
/// it has lost changes, and what it counts from there on are others. Epochs of two histories say
/// nothing of each other.
pub(super) fn is_another_history(seen: &Head, now: &Head) -> bool {
    now.is_not_after(seen)
}

/// How many are made again between two looks at the events: those must not wait.
const AT_ONCE: usize = 20;

/// One revocation.
#[derive(Clone, Debug)]
pub(super) enum Tombstone {
    Client(ClientId),
    Certificate(Fingerprint, Mapping),
    Key(KeyId, KeyStatus),
}

impl Tombstone {
    /// The revocation that `record` tells of.
    fn of(record: &Record) -> Option<Self> {
        match record {
            Record::Client(record) => {
                (!record.is_active()).then(|| Self::Client(record.id.clone()))
            }
            Record::Certificate(record) => is_shut(&record.mapping)
                .then(|| Self::Certificate(record.fingerprint, record.mapping.clone())),
            Record::Key(record) => {
                (record.status != KeyStatus::Active).then_some(Self::Key(record.id, record.status))
            }
            Record::Alias(_) | Record::Phase(_) => None,
        }
    }

    pub(super) fn id(&self) -> RecordId {
        match self {
            Self::Client(id) => RecordId::Client(id.clone()),
            Self::Certificate(id, _) => RecordId::Certificate(*id),
            Self::Key(id, _) => RecordId::Key(*id),
        }
    }

    /// The same record, revoked.
    fn over(&self, record: Record, now: Timestamp) -> Record {
        match (self, record) {
            (Self::Client(_), Record::Client(record)) => {
                let status = ClientStatus::Disabled { at: now };
                ClientRecord { status, ..record }.into()
            }
            (Self::Certificate(_, mapping), Record::Certificate(record)) => {
                let mapping = mapping.clone();
                CertificateRecord { mapping, ..record }.into()
            }
            (Self::Key(_, status), Record::Key(record)) => {
                let (status, receipt) = (*status, None);
                KeyRecord {
                    status,
                    receipt,
                    ..record
                }
                .into()
            }
            (_, other) => other,
        }
    }

    /// The record to make where the store has none. A certificate without one would be somebody
    /// new; a client or a key without one is refused as it is.
    fn anew(&self, now: Timestamp) -> Option<Record> {
        match self {
            Self::Certificate(id, mapping) => {
                let record = CertificateRecord::new(*id, mapping.clone(), Source::FirstSight, now);
                Some(record.into())
            }
            Self::Client(_) | Self::Key(..) => None,
        }
    }

    const fn action(&self) -> Action {
        match self {
            Self::Client(_) => Action::ClientDisabled,
            Self::Certificate(_, Mapping::Superseded { .. }) => Action::CertificateSuperseded,
            Self::Certificate(..) => Action::CertificateRemoved,
            Self::Key(..) => Action::KeyRevoked,
        }
    }

    /// Makes the revocation again, unless somebody did. Whether that is settled: when somebody
    /// else changed the record at the same time, it is not.
    async fn assert(&self, store: &dyn Store, now: Timestamp) -> Result<bool, StoreError> {
        let found = match store.get(&self.id()).await {
            // What stands in its place is for the operator to take away.
            Err(StoreError::Refused(_)) => return Ok(false),
            found => found?,
        };
        let write = match found {
            Some(Versioned { record, .. }) if Self::of(&record).is_some() => return Ok(true),
            Some(Versioned { version, record }) => Write::replace(version, self.over(record, now)),
            None => match self.anew(now) {
                Some(record) => Write::create(record),
                None => return Ok(true),
            },
        };
        let why: Option<Reason> = "the store had lost this revocation".parse().ok();
        let change = Change::new(self.action(), Actor::Gateway, now, vec![write]);
        let change = change.because(why).caused_from(Origin::here());
        match store.commit(&change).await {
            Ok(done) => {
                tracing::warn!(record = %self.id(), epoch = done.epoch.0, "made a revocation again that the store had lost");
                Ok(true)
            }
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(CommitError::Store(error)) => Err(error),
        }
    }
}

pub(super) const fn is_shut(mapping: &Mapping) -> bool {
    matches!(
        mapping,
        Mapping::Removed { .. } | Mapping::Superseded { .. }
    )
}

/// The revocations that the store has lost: refused here until the store has them again.
#[derive(Default)]
pub(super) struct Upheld(Mutex<HashMap<RecordId, Lost>>);

struct Lost {
    tombstone: Tombstone,
    /// The store has lost all of it, and it is refused as unknown. It may come back as it was.
    is_unknown: bool,
}

impl Upheld {
    /// A record of the store as it is to be taken here.
    pub(super) fn over(&self, mut of_store: Versioned, now: Timestamp) -> Versioned {
        let mut upheld = self.all();
        if upheld.is_empty() {
            return of_store;
        }
        let id = of_store.record.id();
        if Tombstone::of(&of_store.record).is_some() {
            upheld.remove(&id);
        } else if let Some(lost) = upheld.get_mut(&id) {
            lost.is_unknown = false;
            of_store.record = lost.tombstone.over(of_store.record, now);
        }
        of_store
    }

    /// Upholds in `next`, just loaded, what was revoked in `known` and was not given back since:
    /// by a later change, of the same history. Gives how many the store has lost.
    pub(super) fn carry(&self, known: &View, next: &View, is_another_history: bool) -> usize {
        let mut lost = 0usize;
        known.tombstones(|version, tombstone| {
            let now = next.standing(&tombstone.id());
            let given_back = |version_now| !is_another_history && version_now > version;
            if now.is_some_and(|(version_now, shut)| shut || given_back(version_now)) {
                return;
            }
            next.uphold(&tombstone);
            let is_certificate = matches!(tombstone, Tombstone::Certificate(..));
            let is_unknown = now.is_none() && !is_certificate;
            let id = tombstone.id();
            let upheld = Lost {
                tombstone,
                is_unknown,
            };
            self.all().insert(id, upheld);
            lost = lost.saturating_add(1);
        });
        lost
    }

    /// Makes some of them again in the store, one after the other. Whether all are settled. One that
    /// fails holds up no other; what followed until now shows which are left.
    pub(super) async fn assert(
        &self,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let all: Vec<_> = {
            let all = self.all();
            all.values().map(|lost| lost.tombstone.clone()).collect()
        };
        let (mut settled, mut failed) = (all.len() <= AT_ONCE, None);
        for tombstone in all.into_iter().take(AT_ONCE) {
            match tombstone.assert(store, now).await {
                Ok(one) => settled &= one,
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(settled)
    }

    /// How many there are, but for those of which the store knows nothing.
    pub(super) fn len(&self) -> usize {
        let all = self.all();
        all.values().filter(|lost| !lost.is_unknown).count()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<RecordId, Lost>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
