//! What an operation works with: the store, what of the configuration it needs, and who asks.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use super::records::Records;
use super::{Did, Edit, Failure, Out, Settings};
use crate::certificate::Handed;
use crate::client::{ClientId, CredentialId, History, Sighting, Use};
use crate::clock::{self, Day, Timestamp};
use crate::key::KeyId;
use crate::store::{
    Acknowledged, Action, Actor, Change, CommitError, Committed, Epoch, Legible, Loaded, Origin,
    Record, RecordId, Refused, Selection, Store, StoreError,
};

/// How often a change is decided again that another change got ahead of.
const TRIES: usize = 5;
/// No certificate, with all of its chain, is larger.
const LARGEST: u64 = 1 << 20;

/// The store, and who asks it.
pub(crate) struct Operator {
    pub(crate) settings: Arc<Settings>,
    pub(crate) actor: Actor,
    /// From where.
    origin: Origin,
    pub(crate) now: Timestamp,
    pub(crate) store: Arc<dyn Store>,
    /// How many last times were left out that cannot be read.
    damaged: Cell<usize>,
    /// How many replicas have the changes that take something away.
    acknowledged: RefCell<Vec<Acknowledged>>,
    /// Records of the last look through all of them that are not believed.
    refused: RefCell<Vec<Refused>>,
}

impl Operator {
    /// `actor`, who asks `store` now from `origin`.
    #[must_use]
    pub(crate) fn new(
        settings: Arc<Settings>,
        store: Arc<dyn Store>,
        (actor, origin): (Actor, Origin),
    ) -> Self {
        Self {
            settings,
            actor,
            origin,
            now: clock::now(),
            store,
            damaged: Cell::default(),
            acknowledged: RefCell::default(),
            refused: RefCell::default(),
        }
    }

    /// Whether whoever asks is at this machine, and may have files of it read.
    const fn is_here(&self) -> bool {
        matches!(self.origin, Origin::Host { .. })
    }

    /// What is in the file at `path`; or, of whoever asks from elsewhere, what stands in its place.
    pub(crate) fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        if !self.is_here() {
            return Ok(path.as_os_str().as_encoded_bytes().to_vec());
        }
        let mut contents = Vec::new();
        File::open(path)?.take(LARGEST).read_to_end(&mut contents)?;
        Ok(contents)
    }

    /// What the file at `path` is called in what is told of it.
    pub(crate) fn called(&self, path: &Path) -> String {
        if self.is_here() {
            path.display().to_string()
        } else {
            "what was sent".to_owned()
        }
    }

    /// Tells beside what `done` gave what its reader has to know: what could not be read, and who
    /// has what was taken away.
    ///
    /// # Errors
    ///
    /// [`Failure::NotReplicated`].
    pub(crate) fn finish(&self, out: &mut Out) -> Result<(), Failure> {
        self.tell_damage(out);
        self.tell_refused(out);
        self.tell_replicas(out)
    }

    /// Tells how many replicas have what was taken away; it is a failure when none has.
    pub(crate) fn tell_replicas(&self, out: &mut Out) -> Result<(), Failure> {
        let all = self.acknowledged.take();
        let mut told = Ok(());
        for replicas in all {
            if !out.is_json() {
                out.note(replicas);
            }
            if replicas.by == 0 {
                told = Err(Failure::NotReplicated);
            }
        }
        told
    }

    /// Notes who has a change that takes something away, and that [`Self::change`] did not make.
    pub(crate) fn note_replicas(&self, replicas: Option<Acknowledged>) {
        self.acknowledged.borrow_mut().extend(replicas);
    }

    /// Every record as it is now.
    pub(crate) async fn records(&self) -> Result<Records, Failure> {
        let mut records = Records::default();
        let mut refused = Vec::new();
        let mut each = |loaded: Loaded| match loaded {
            Ok(record) => records.take(record),
            Err(one) => refused.push(one),
        };
        let loaded = self.store.load(&mut each).await;
        self.refused.replace(refused);
        records.epoch = loaded.map_err(|error| self.cannot_tell(&error))?.epoch;
        Ok(records)
    }

    /// Tells beside the answer that it is not of everything.
    fn tell_refused(&self, out: &mut Out) {
        let refused = self.refused.borrow();
        if let Some(first) = refused.first() {
            let number = refused.len();
            out.note(format!(
                "left out, since the store cannot be believed in it: {first} ({number} in all)"
            ));
        }
    }

    /// The client `id` with everything that is its own, and nothing else.
    pub(crate) async fn records_of(&self, id: &ClientId) -> Result<Records, Failure> {
        let mut records = Records::default();
        self.read_client(id, &mut records).await?;
        Ok(records)
    }

    /// Everything that is the client's own, when one is named, which there must be; else every
    /// record.
    pub(crate) async fn records_or_of(
        &self,
        client: Option<&ClientId>,
    ) -> Result<Records, Failure> {
        let Some(client) = client else {
            return self.records().await;
        };
        let records = self.records_of(client).await?;
        records.holdings(client).map(|_| records)
    }

    /// The certificate that `text` names, if there is one. By a beginning it is looked for among
    /// all records.
    pub(crate) async fn records_of_certificate(&self, text: &str) -> Result<Records, Failure> {
        let Ok(Some(Handed { fingerprint, .. })) = Handed::named(text) else {
            return self.records().await;
        };
        let mut records = Records::default();
        self.read(&RecordId::Certificate(fingerprint), &mut records)
            .await?;
        Ok(records)
    }

    /// Reads one record, if there is one.
    pub(crate) async fn read(&self, id: &RecordId, into: &mut Records) -> Result<(), Failure> {
        let found = self.store.get(id).await;
        if let Some(found) = found.map_err(|error| self.cannot_tell(&error))? {
            into.take(found);
        }
        Ok(())
    }

    /// Reads a client, if there is one, with everything that is its own. The client comes first:
    /// whatever it is given meanwhile makes this version of it an old one, so that no change is
    /// decided without that.
    pub(crate) async fn read_client(
        &self,
        id: &ClientId,
        into: &mut Records,
    ) -> Result<(), Failure> {
        self.read(&RecordId::Client(id.clone()), into).await?;
        self.select(&Selection::OwnedBy(id.clone()), into).await
    }

    /// Reads some of the records.
    pub(crate) async fn select(
        &self,
        which: &Selection,
        into: &mut Records,
    ) -> Result<(), Failure> {
        let found = self.store.select(which).await;
        for record in found.map_err(|error| self.cannot_tell(&error))? {
            into.take(record);
        }
        Ok(())
    }

    /// What was seen of one client.
    pub(crate) async fn sighting(
        &self,
        client: &ClientId,
    ) -> Result<Legible<Sighting, ClientId>, Failure> {
        self.legible(self.store.sighting(client).await)
    }

    /// When and from where each of these credentials was last used.
    pub(crate) async fn uses_of(&self, credentials: &[CredentialId]) -> Result<Vec<Use>, Failure> {
        let mut uses = Legible::default();
        for &credential in credentials {
            match self.store.last_use(&credential).await {
                Ok(last) => uses
                    .entries
                    .extend(last.map(|last| Use { credential, last })),
                Err(StoreError::Unreadable(_)) => uses.damaged.push(Some(credential)),
                Err(error) => return Err(self.cannot_tell(&error)),
            }
        }
        Ok(self.legible(Ok(uses))?.entries)
    }

    /// When each client was seen.
    pub(crate) async fn sightings(&self) -> Result<Legible<Sighting, ClientId>, Failure> {
        self.legible(self.store.sightings().await)
    }

    /// When and from where each credential was last used.
    pub(crate) async fn uses(&self) -> Result<Vec<Use>, Failure> {
        let uses = self.legible(self.store.uses().await);
        Ok(uses?.entries)
    }

    fn legible<T, Of>(
        &self,
        read: Result<Legible<T, Of>, StoreError>,
    ) -> Result<Legible<T, Of>, Failure> {
        let read = read.map_err(|error| self.cannot_tell(&error))?;
        let damaged = self.damaged.get().saturating_add(read.damaged.len());
        self.damaged.set(damaged);
        Ok(read)
    }

    fn tell_damage(&self, out: &mut Out) {
        let damaged = self.damaged.get();
        if damaged > 0 {
            out.note(format!(
                "{damaged} last time(s) in the store cannot be read and are left out; each is \
                 replaced when its client calls again"
            ));
        }
    }

    /// The requests of `client` on these days.
    pub(crate) async fn counts(
        &self,
        client: &ClientId,
        days: RangeInclusive<Day>,
    ) -> Result<History, Failure> {
        let counts = self.store.counts(client, days).await;
        counts.map_err(|error| self.cannot_tell(&error))
    }

    /// Calls `each` with the requests of every client on these days, maybe in several parts.
    pub(crate) async fn all_counts(
        &self,
        days: RangeInclusive<Day>,
        each: &mut (dyn FnMut(ClientId, History) + Send),
    ) -> Result<(), Failure> {
        let told = self.store.all_counts(days, each).await;
        told.map_err(|error| self.cannot_tell(&error))
    }

    /// The requests of all clients together on these days.
    pub(crate) async fn totals(&self, days: RangeInclusive<Day>) -> Result<History, Failure> {
        let totals = self.store.totals(days).await;
        totals.map_err(|error| self.cannot_tell(&error))
    }

    /// The client's record alone.
    pub(crate) async fn client(
        &self,
        id: &ClientId,
    ) -> Result<Option<(Epoch, crate::client::ClientRecord)>, Failure> {
        match self.get(&RecordId::Client(id.clone())).await? {
            Some((version, Record::Client(record))) => Ok(Some((version, record))),
            _ => Ok(None),
        }
    }

    /// The key's record alone.
    pub(crate) async fn key(
        &self,
        id: KeyId,
    ) -> Result<Option<(Epoch, crate::key::KeyRecord)>, Failure> {
        match self.get(&RecordId::Key(id)).await? {
            Some((version, Record::Key(record))) => Ok(Some((version, record))),
            _ => Ok(None),
        }
    }

    async fn get(&self, id: &RecordId) -> Result<Option<(Epoch, Record)>, Failure> {
        let found = self.store.get(id).await;
        let found = found.map_err(|error| self.cannot_tell(&error))?;
        Ok(found.map(|found| (found.version, found.record)))
    }

    /// Makes the change that `decide` decides on, unless the run is dry or there is nothing to
    /// change. When somebody else was quicker, `decide` is asked again.
    pub(crate) async fn change<T>(
        &self,
        action: Action,
        edit: &Edit,
        mut decide: impl AsyncFnMut() -> Result<(Option<Change>, T), Failure>,
    ) -> Result<(Did, T), Failure> {
        for _ in 0..TRIES {
            let (change, outcome) = decide().await?;
            let mut did = Did {
                action,
                changed: change.is_some(),
                dry_run: edit.dry_run,
                epoch: None,
                replicas: None,
            };
            let Some(change) = change.filter(|_| !edit.dry_run) else {
                return Ok((did, outcome));
            };
            let change = change
                .because(edit.reason.clone())
                .caused_from(self.origin.clone());
            match self.store.commit(&change).await {
                Ok(Committed { epoch, replicas }) => {
                    (did.epoch, did.replicas) = (Some(epoch), replicas);
                    self.acknowledged.borrow_mut().extend(replicas);
                    return Ok((did, outcome));
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Store(error)) => {
                    return Err(Failure::Unavailable(anyhow::anyhow!(
                        "{error} (store: {}); whether the change was made is not known: look with \
                         keyferry client list or show, then do it again if need be",
                        self.settings.store
                    )));
                }
            }
        }
        Err(Failure::Unavailable(anyhow::anyhow!(
            "others change the same records all the time; try again in a moment"
        )))
    }

    pub(crate) fn cannot_tell(&self, error: &StoreError) -> Failure {
        let advice = match error {
            StoreError::Unavailable(_) => "see that it runs, then try again",
            StoreError::Refused(_) => "docs/STORE.md says what to do with it",
            StoreError::Unreadable(_) => "use the version that wrote it, or restore a backup",
        };
        let store = &self.settings.store;
        Failure::Unavailable(anyhow::anyhow!("{error} (store: {store}); {advice}"))
    }
}
