//! What an operation reads of the store.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Operator;
use crate::certificate::Handed;
use crate::client::{ClientId, CredentialId, History, Sighting, Use};
use crate::clock::Day;
use crate::key::KeyId;
use crate::operation::Failure;
use crate::operation::progress::Progress;
use crate::operation::records::Records;
use crate::store::{Epoch, Legible, Loaded, Record, RecordId, Selection, StoreError, Versioned};

impl Operator {
    /// Every record as it is now.
    pub(crate) async fn records(&self) -> Result<Arc<Records>, Failure> {
        if let Some(kept) = &self.kept {
            let read = kept.records(self.store.as_ref()).await;
            let (records, refused, head) = read.map_err(|error| self.cannot_tell(&error))?;
            self.refused.replace(refused);
            self.head.set(head);
            return Ok(records);
        }
        let mut records = Records::default();
        records.epoch = self.each_record(&mut |record| records.take(record)).await?;
        Ok(Arc::new(records))
    }

    /// Calls `each` with every record as it is now; gives the number of the last change.
    pub(crate) async fn each_record(
        &self,
        each: &mut (dyn FnMut(Versioned) + Send),
    ) -> Result<Epoch, Failure> {
        let mut refused = Vec::new();
        let mut each = |loaded: Loaded| match loaded {
            Ok(record) => each(record),
            Err(one) => refused.push(one),
        };
        let loaded = self.store.load(&mut each).await;
        self.refused.replace(Arc::new(refused));
        Ok(loaded.map_err(|error| self.cannot_tell(&error))?.epoch)
    }

    /// How far the clients of these records are.
    pub(crate) async fn progress(&self, records: &Records) -> Result<Arc<Progress>, Failure> {
        let read = async || {
            let progress = Progress::read(self, records).await?;
            Ok::<_, Failure>((progress, self.damaged.take()))
        };
        let (progress, damaged) = if let Some(kept) = &self.kept {
            kept.progress(self.head.get(), read).await?
        } else {
            let (progress, damaged) = read().await?;
            (Arc::new(progress), damaged)
        };
        self.damaged.set(damaged);
        Ok(progress)
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
    ) -> Result<Arc<Records>, Failure> {
        let Some(client) = client else {
            return self.records().await;
        };
        let records = self.records_of(client).await?;
        records.holdings(client).map(|_| Arc::new(records))
    }

    /// The certificate that `text` names, if there is one. By a beginning it is looked for among
    /// all records.
    pub(crate) async fn records_of_certificate(&self, text: &str) -> Result<Arc<Records>, Failure> {
        let Ok(Some(Handed { fingerprint, .. })) = Handed::named(text) else {
            return self.records().await;
        };
        let mut records = Records::default();
        self.read(&RecordId::Certificate(fingerprint), &mut records)
            .await?;
        Ok(Arc::new(records))
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
}
