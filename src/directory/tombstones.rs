//! Revocations outlive a store that loses them.
//!
//! What is revoked, removed, superseded, withdrawn, disabled or given an end is never forgotten by
//! the store, so the view itself remembers every revocation that was seen. When a store answers that has lost some (it
//! came back from a replica or a backup that was behind), these are upheld here, and made again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::View;
use crate::certificate::{
    Alias, AliasRecord, AliasState, CertificateRecord, Fingerprint, Mapping, Source,
};
use crate::client::{ClientId, ClientRecord, ClientStatus};
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyRecord, KeyStatus};
use crate::store::{
    Action, Actor, Change, CommitError, Epoch, Head, Origin, Reason, Record, RecordId, Store,
    StoreError, Versioned, Write,
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
    /// A certificate that is not to come any more.
    Announcement(Alias, Timestamp),
    Key(KeyId, KeyEnd),
}

/// What ended a key, or will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyEnd {
    pub(super) status: KeyStatus,
    pub(super) at: Option<Timestamp>,
}

impl KeyEnd {
    /// It may be used for ever.
    pub(super) const NONE: Self = Self {
        status: KeyStatus::Active,
        at: None,
    };

    const fn of(record: &KeyRecord) -> Self {
        Self {
            status: record.status,
            at: record.expires_at,
        }
    }

    const fn is_revoked(self) -> bool {
        matches!(self.status, KeyStatus::Revoked { .. })
    }

    /// Whether a key with this end can be used no longer than with `other`.
    pub(super) fn is_within(self, other: Self) -> bool {
        self.is_revoked() || self.or(other) == self
    }

    /// The earlier end.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            status: if self.is_revoked() {
                self.status
            } else {
                other.status
            },
            at: self.at.into_iter().chain(other.at).min(),
        }
    }
}

impl Tombstone {
    /// The revocation of this record that is known in `view`.
    fn of(id: &RecordId, view: &View) -> Option<Self> {
        match id {
            RecordId::Client(id) => {
                let is_shut = view.is_client_active(id) == Some(false);
                is_shut.then(|| Self::Client(id.clone()))
            }
            RecordId::Certificate(id) => {
                let mapping = view.certificate(id).filter(is_shut)?;
                Some(Self::Certificate(*id, mapping))
            }
            RecordId::Alias(alias) => match view.alias(alias)? {
                AliasState::Withdrawn { at } => Some(Self::Announcement(*alias, at)),
                AliasState::Open | AliasState::Bound { .. } => None,
            },
            RecordId::Key(id) => {
                let end = view.key(id)?.end();
                end.is_revoked().then_some(Self::Key(*id, end))
            }
            RecordId::Phase(_) => None,
        }
    }

    /// Whether `record` tells of the same, or of more.
    fn is_in(&self, record: &Record) -> bool {
        match (self, record) {
            (Self::Client(_), Record::Client(record)) => !record.is_active(),
            (Self::Certificate(..), Record::Certificate(record)) => is_shut(&record.mapping),
            (Self::Announcement(..), Record::Alias(record)) => record.awaited().is_none(),
            (Self::Key(_, end), Record::Key(record)) => KeyEnd::of(record).is_within(*end),
            _ => false,
        }
    }

    pub(super) fn id(&self) -> RecordId {
        match self {
            Self::Client(id) => RecordId::Client(id.clone()),
            Self::Certificate(id, _) => RecordId::Certificate(*id),
            Self::Announcement(alias, _) => RecordId::Alias(*alias),
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
            (Self::Announcement(_, at), Record::Alias(record)) => {
                let state = AliasState::Withdrawn { at: *at };
                AliasRecord { state, ..record }.into()
            }
            (Self::Key(_, end), Record::Key(record)) => {
                let end = KeyEnd::of(&record).or(*end);
                KeyRecord {
                    status: end.status,
                    expires_at: end.at,
                    receipt: None,
                    ..record
                }
                .into()
            }
            (_, other) => other,
        }
    }

    /// The record to make where the store has none. A certificate without one would be somebody
    /// new; anything else without one is refused as it is.
    fn anew(&self, now: Timestamp) -> Option<Record> {
        match self {
            Self::Certificate(id, mapping) => {
                let record = CertificateRecord::new(*id, mapping.clone(), Source::FirstSight, now);
                Some(record.into())
            }
            Self::Client(_) | Self::Announcement(..) | Self::Key(..) => None,
        }
    }

    const fn action(&self) -> Action {
        match self {
            Self::Client(_) => Action::ClientDisabled,
            Self::Certificate(_, Mapping::Superseded { .. }) => Action::CertificateSuperseded,
            Self::Certificate(..) => Action::CertificateRemoved,
            Self::Announcement(..) => Action::AnnouncementWithdrawn,
            Self::Key(_, end) if end.is_revoked() => Action::KeyRevoked,
            // What gives a key an end afterwards is a rotation.
            Self::Key(..) => Action::KeyRotated,
        }
    }

    /// Makes the revocation again, unless somebody did, or has changed the record after `known`.
    async fn assert(
        &self,
        store: &dyn Store,
        known: Epoch,
        now: Timestamp,
    ) -> Result<Asserted, StoreError> {
        let found = match store.get(&self.id()).await {
            // What stands in its place is for the operator to take away.
            Err(StoreError::Refused(_)) => return Ok(Asserted::Not),
            found => found?,
        };
        let write = match found {
            // Perhaps it was made again and given back: the events that tell are still to come.
            Some(found) if found.version > known => return Ok(Asserted::Not),
            Some(found) if self.is_in(&found.record) => return Ok(Asserted::Found),
            Some(Versioned { version, record }) => Write::replace(version, self.over(record, now)),
            None => match self.anew(now) {
                Some(record) => Write::create(record),
                None => return Ok(Asserted::Unknown),
            },
        };
        let why: Option<Reason> = "the store had lost this revocation".parse().ok();
        let change = Change::new(self.action(), Actor::Gateway, now, vec![write]);
        let change = change.because(why).caused_from(Origin::here());
        let change = change.following(known);
        match store.commit(&change).await {
            Ok(done) => {
                tracing::warn!(record = %self.id(), epoch = done.epoch.0, "made a revocation again that the store had lost");
                Ok(Asserted::Made)
            }
            Err(CommitError::Conflict(_)) => Ok(Asserted::Not),
            Err(CommitError::Store(error)) => Err(error),
        }
    }
}

/// Whether a change takes revocations of such records back. Every other one writes them as it read
/// them.
fn gives_back(action: Action, actor: &Actor, record: &Record) -> bool {
    let actions: &[Action] = match record {
        Record::Client(_) => &[Action::ClientEnabled, Action::ClientAdded],
        Record::Certificate(_) => &[
            Action::CertificateAdded,
            Action::CertificateRenewed,
            Action::CertificateRestored,
        ],
        Record::Alias(_) => &[Action::CertificateAnnounced],
        Record::Key(_) => &[Action::KeyRestored],
        Record::Phase(_) => &[],
    };
    matches!(actor, Actor::Operator { .. }) && actions.contains(&action)
}

/// What the store has of a revocation.
enum Asserted {
    /// It was made again. The event that tells of it is still to come.
    Made,
    /// It has been made again.
    Found,
    /// Nothing: there is no record that could be revoked.
    Unknown,
    /// Not that: somebody else changed the record at the same time, or it is not believed.
    Not,
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
    /// Upholds what is revoked in `view` and is not in `of_store`, which a change of this kind has just
    /// written; whether there is such a thing. The change gives nothing back, so the record that it
    /// was made of was an older one that somebody had put back.
    pub(super) fn expect(
        &self,
        view: &View,
        (action, actor): (Action, &Actor),
        Versioned { version, record }: &Versioned,
    ) -> bool {
        let Some(tombstone) = Tombstone::of(&record.id(), view) else {
            return false;
        };
        let known = view.standing(&tombstone);
        let is_new = known.is_some_and(|(known, _)| known < *version);
        let is_lost = is_new && !tombstone.is_in(record) && !gives_back(action, actor, record);
        if is_lost {
            let is_unknown = false;
            let lost = Lost {
                tombstone,
                is_unknown,
            };
            self.all().insert(record.id(), lost);
        }
        is_lost
    }

    /// A record of the store, which a change has just written, as it is to be taken here.
    pub(super) fn over(&self, mut of_store: Versioned, now: Timestamp) -> Versioned {
        let mut upheld = self.all();
        if upheld.is_empty() {
            return of_store;
        }
        let id = of_store.record.id();
        let Some(lost) = upheld.get_mut(&id) else {
            return of_store;
        };
        if lost.tombstone.is_in(&of_store.record) {
            upheld.remove(&id);
        } else {
            lost.is_unknown = false;
            of_store.record = lost.tombstone.over(of_store.record, now);
        }
        of_store
    }

    /// Upholds in `next`, just loaded, what was revoked in `known`, of which everything up to `seen`
    /// was known, and was not given back since: by a later change, of the same history. Gives how
    /// many the store was not known to have lost.
    pub(super) fn carry(
        &self,
        (known, seen): (&View, Epoch),
        next: &View,
        is_another_history: bool,
    ) -> usize {
        let mut all = self.all();
        let before = std::mem::take(&mut *all);
        let mut lost = 0usize;
        let mut look = |version, tombstone: Tombstone| {
            let now = next.standing(&tombstone);
            let given_back = |version_now| !is_another_history && version_now > version;
            if now.is_some_and(|(version_now, shut)| shut || given_back(version_now)) {
                return;
            }
            let is_unknown = now.is_none() && !matches!(tombstone, Tombstone::Certificate(..));
            if is_unknown && matches!(tombstone, Tombstone::Key(_, end) if !end.is_revoked()) {
                return;
            }
            next.uphold(&tombstone);
            let id = tombstone.id();
            lost = lost.saturating_add(usize::from(!before.contains_key(&id)));
            let upheld = Lost {
                tombstone,
                is_unknown,
            };
            all.insert(id, upheld);
        };
        known.tombstones(&mut look);
        // What was not even there to be revoked.
        for Lost { tombstone, .. } in before.values() {
            if known.standing(tombstone).is_none() {
                look(seen, tombstone.clone());
            }
        }
        lost
    }

    /// Makes some of them again in the store, of which everything up to `known` is known here, one
    /// after the other. Whether all are settled. One that fails holds up no other; what followed
    /// until now shows which are left.
    pub(super) async fn assert(
        &self,
        store: &dyn Store,
        known: Epoch,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let all: Vec<_> = {
            let all = self.all();
            let known = all.values().filter(|lost| !lost.is_unknown);
            known.map(|lost| lost.tombstone.clone()).collect()
        };
        let (mut settled, mut failed) = (all.len() <= AT_ONCE, None);
        for tombstone in all.into_iter().take(AT_ONCE) {
            match tombstone.assert(store, known, now).await {
                Ok(Asserted::Made) => {}
                // No event will tell of it.
                Ok(Asserted::Found) => {
                    self.all().remove(&tombstone.id());
                }
                Ok(Asserted::Unknown) => {
                    if let Some(lost) = self.all().get_mut(&tombstone.id()) {
                        lost.is_unknown = true;
                    }
                }
                Ok(Asserted::Not) => settled = false,
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
