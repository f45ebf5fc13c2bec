//! Bringing records into a store, by ordinary changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::content;
use super::merge::{Outcome, is_revoked, merge};
use super::order::{Order, Restored, Revocations, end_of};
use super::under_way::opens;
use crate::clock::Timestamp;
use crate::phase::{Phase, Setting, Target};
use crate::store::{
    Action, Change, CommitError, Epoch, Event, EventHash, Head, Loaded, Record, RecordId,
    RecordKeys, Selection, Store, StoreError, StoredEvent, Versioned, Write,
};

/// How many records one change takes in. Whoever is behind asks for a hundred changes at a time.
const AT_ONCE: usize = 100;
/// How often a change is decided again that another change got ahead of.
const TRIES: usize = 5;

/// A restore that is under way.
///
/// What is added to a client comes before the client, if that is added, too: who has a client has
/// all that it was given until then. And it may be broken off and begun again.
pub(super) struct Bringing<'a> {
    store: &'a dyn Store,
    /// What every change for it says, without writes.
    like: Change,
    is_dry: bool,
    /// The records that the store had at the beginning.
    known: HashMap<RecordId, (Epoch, EventHash)>,
    /// Up to which change the backup's history is the store's, so that versions can be compared.
    common: Epoch,
    /// What was revoked last, and so stays whatever the backup says of it.
    settled: BTreeSet<RecordId>,
    /// When keys end, as was said last.
    ends: BTreeMap<RecordId, Timestamp>,
    /// The phases that were set last.
    set_last: BTreeMap<Target, Record>,
    pending: Vec<Versioned>,
    /// Whether the last restore was not brought to its end.
    is_open: bool,
    done: Restored,
}

impl<'a> Bringing<'a> {
    /// Begins to restore a backup, which was made at `head`, into `store`. Every change for it is
    /// made as `like` says. First comes what `revocations` and the store's own events say was
    /// revoked: nothing that is restored later revives it.
    pub(super) async fn begin(
        store: &'a dyn Store,
        head: Head,
        order: Order<'_>,
    ) -> Result<Self, StoreError> {
        let last = order.revocations;
        let mut known = HashMap::new();
        let mut each = |loaded: Loaded| {
            if let Ok(Versioned { version, record }) = loaded {
                known.insert(record.id(), (version, content(&record)));
            }
        };
        store.load(&mut each).await?;
        let mut bringing = Self {
            is_open: false,
            common: common_with(store, head).await?,
            store,
            like: order.like,
            is_dry: order.is_dry,
            known,
            settled: BTreeSet::new(),
            ends: BTreeMap::new(),
            set_last: BTreeMap::new(),
            pending: Vec::new(),
            done: Restored::default(),
        };
        let own = bringing.own_revocations(order.record_keys).await?;
        let (mut settled, mut ends) = (BTreeSet::new(), BTreeMap::new());
        for (id, record) in own.ended.into_iter().chain(last.ended) {
            if is_revoked(&record) {
                settled.insert(id);
            } else if let Some(end) = end_of(&record) {
                // It may be used until then, if it comes.
                let is_there = bringing.known.contains_key(&id);
                ends.insert(id, end);
                if !is_there {
                    continue;
                }
            }
            // Whatever version the store has: it is the latest word.
            let version = Epoch(u64::MAX);
            bringing.take(Versioned { version, record }).await?;
        }
        bringing.flush().await?;
        (bringing.settled, bringing.ends) = (settled, ends);
        bringing.set_last = own.phases.into_iter().chain(last.phases).collect();
        Ok(bringing)
    }

    /// What the store's own events say was revoked and the store itself does not: a record that was
    /// deleted, or put back as it was before. All of them are looked through, also for a restore that
    /// broke off: gateways that heard of it wait for its end, however much has been changed since.
    async fn own_revocations(&mut self, keys: &RecordKeys) -> Result<Revocations, StoreError> {
        let mut revocations = Revocations::default();
        let mut after = Epoch::NONE;
        loop {
            let events = self.store.trail(after).await?;
            let Some(last) = events.last() else {
                break;
            };
            after = last.epoch;
            for StoredEvent { epoch, stored } in events {
                if let Ok(event) = Event::decode(epoch, stored.as_bytes(), keys) {
                    self.is_open = opens(event.action).unwrap_or(self.is_open);
                    revocations.take(event);
                }
            }
        }
        revocations.ended.retain(|id, record| {
            let known = self.known.get(id);
            known.is_none_or(|(_, known)| *known != content(record))
        });
        Ok(revocations)
    }

    /// Takes in the phases of a backup: all at once, so that none holds without the others. One that
    /// the store has stays. One that it does not have comes as it was set last when that refuses more,
    /// and is left out when it would refuse less than what the store has.
    pub(super) async fn phases(&mut self, mut phases: Vec<Versioned>) -> Result<(), StoreError> {
        for from in &mut phases {
            let last = phase_of(&from.record).and_then(|(target, phase)| {
                let last = self.set_last.remove(&target)?;
                (phase_of(&last)?.1 > phase).then_some(last)
            });
            if let Some(last) = last {
                from.record = last;
            }
        }
        let mut strictest = None;
        let mut of_store = BTreeMap::new();
        for found in self.store.select(&Selection::Phases).await? {
            if let Some((target, phase)) = phase_of(&found.record) {
                strictest = strictest.max(phase);
                of_store.insert(target, phase);
            }
        }
        let set_last = std::mem::take(&mut self.set_last).into_values();
        let more = set_last.filter(|record| {
            phase_of(record).is_some_and(|(target, phase)| {
                let known = of_store.get(&target).copied();
                phase.is_some() && known.is_none_or(|known| known < phase)
            })
        });
        phases.extend(more.map(|record| Versioned {
            version: Epoch(u64::MAX),
            record,
        }));
        for from in phases {
            let Some((target, phase)) = phase_of(&from.record) else {
                continue;
            };
            let known = of_store.get(&target).copied();
            // How much two brownouts refuse cannot be compared.
            let loosens = known.is_none()
                && phase.is_some()
                && (strictest > phase || (strictest == phase && phase == Some(Phase::Brownout)));
            if loosens || known.is_some_and(|known| known < phase) {
                self.done.phases_left.push(target);
            }
            if !loosens {
                self.pending.push(from);
            }
        }
        self.flush().await
    }

    /// Takes in a record of a backup.
    pub(super) async fn take(&mut self, mut from: Versioned) -> Result<(), StoreError> {
        let id = from.record.id();
        if self.settled.contains(&id) {
            return Ok(());
        }
        if let Record::Key(key) = &mut from.record {
            let ends = [key.expires_at, self.ends.get(&id).copied()];
            key.expires_at = ends.into_iter().flatten().min();
        }
        let known = self.known.get(&id);
        if known.is_some_and(|(_, known)| *known == content(&from.record)) {
            self.done.count(Outcome::Same, id);
            return Ok(());
        }
        let is_of_store = from.version <= self.common;
        if is_of_store && known.is_some_and(|(version, _)| *version > from.version) {
            self.done.count(Outcome::Stays, id);
            return Ok(());
        }
        self.pending.push(from);
        if self.pending.len() >= AT_ONCE {
            self.flush().await?;
        }
        Ok(())
    }

    /// Brings what was taken in into the store.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        let pending = std::mem::take(&mut self.pending);
        for attempt in 0..TRIES {
            let mut done = self.done.clone();
            let mut writes = self.decide(&pending, attempt > 0, &mut done).await?;
            self.hold(&mut writes).await?;
            let change = Change {
                writes: writes.into_values().collect(),
                ..self.like.clone()
            };
            if change.writes.is_empty() || self.is_dry {
                self.done = done;
                return Ok(());
            }
            match self.store.commit(&change).await {
                Ok(committed) => {
                    done.epoch = Some(committed.epoch);
                    self.done = done;
                    self.is_open = true;
                    return Ok(());
                }
                // Asked for each by itself, the store says what stands in its place.
                Err(CommitError::Conflict(_) | CommitError::Store(StoreError::Refused(_))) => {}
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable(
            "others change the same records all the time".to_owned(),
        ))
    }

    /// What is to be written for these records. `asks` for each; otherwise only for those that the
    /// store was seen to have.
    async fn decide(
        &self,
        pending: &[Versioned],
        asks: bool,
        done: &mut Restored,
    ) -> Result<BTreeMap<RecordId, Write>, StoreError> {
        let mut writes: BTreeMap<RecordId, Write> = BTreeMap::new();
        for from in pending {
            let id = from.record.id();
            let known = if let Some(write) = writes.get(&id) {
                Some((write.expected, write.record.clone()))
            } else if asks || self.known.contains_key(&id) {
                match self.store.get(&id).await {
                    Ok(found) => found.map(|found| (found.version, found.record)),
                    Err(StoreError::Refused(_)) => {
                        done.refused.push(id);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            } else {
                None
            };
            let (outcome, write) = match known {
                None => (Outcome::Added, Write::create(from.record.clone())),
                Some((version, known)) => {
                    let (outcome, record) = merge(&known, &from.record);
                    (outcome, Write::replace(version, record))
                }
            };
            if matches!(
                outcome,
                Outcome::Added | Outcome::Revoked | Outcome::Advanced
            ) {
                writes.insert(id.clone(), write);
            }
            done.count(outcome, id);
        }
        Ok(writes)
    }

    /// Writes the clients again that were there and get something, so that nobody decides on what
    /// they have without it.
    async fn hold(&self, writes: &mut BTreeMap<RecordId, Write>) -> Result<(), StoreError> {
        let owners = writes.values().filter(|write| !is_revoked(&write.record));
        let owners: BTreeSet<_> = owners
            .filter_map(|write| write.record.owner().cloned().map(RecordId::Client))
            .filter(|id| self.known.contains_key(id) && !writes.contains_key(id))
            .collect();
        for id in owners {
            if let Some(Versioned { version, record }) = self.store.get(&id).await? {
                writes.insert(id, Write::replace(version, record));
            }
        }
        Ok(())
    }

    /// Ends the restore: gateways that waited for the end take the store as it is.
    pub(super) async fn end(mut self) -> Result<Restored, StoreError> {
        self.flush().await?;
        if self.is_open && !self.is_dry {
            let end = Change {
                action: Action::StoreRestored,
                ..self.like
            };
            match self.store.commit(&end).await {
                Ok(committed) => {
                    self.done.epoch = Some(committed.epoch);
                    self.done.replicas = committed.replicas;
                }
                Err(CommitError::Store(error)) => return Err(error),
                // It writes no record.
                Err(CommitError::Conflict(_)) => {}
            }
        }
        Ok(self.done)
    }
}

/// The target of a phase record, and which phase holds for it, if one does.
fn phase_of(record: &Record) -> Option<(Target, Option<Phase>)> {
    let Record::Phase(record) = record else {
        return None;
    };
    let phase = record.present().map(Setting::phase);
    Some((record.target.clone(), phase))
}

/// `head`, when the store's history has the change after which it stood there. What was changed after
/// it, while the backup was made, the store may have lost since.
async fn common_with(store: &dyn Store, head: Head) -> Result<Epoch, StoreError> {
    let Some(before) = head.epoch.0.checked_sub(1) else {
        return Ok(Epoch::NONE);
    };
    let events = store.trail(Epoch(before)).await?;
    let is_there = events.first().is_some_and(|first| {
        first.epoch == head.epoch && EventHash::of(first.stored.as_bytes()) == head.hash
    });
    Ok(if is_there { head.epoch } else { Epoch::NONE })
}
