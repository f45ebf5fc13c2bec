//! Records as the store has them now, for whoever is about to change them.

use super::{Directory, Unavailable};
use crate::client::{ClientId, Holdings};
use crate::key::{KeyId, KeyRecord};
use crate::store::{Epoch, Record, RecordId};

impl Directory {
    /// A record, with its version.
    ///
    /// # Errors
    ///
    /// When the store cannot tell: also when it has lost what is known here. It forgets nothing by
    /// itself.
    pub async fn stored(&self, id: &RecordId) -> Result<Option<(Epoch, Record)>, Unavailable> {
        let known = self.view().version(id);
        let stored = self.store.get(id).await.map_err(|error| {
            tracing::warn!(%error, record = %id, "cannot read a record");
            self.note(error)
        })?;
        if stored.as_ref().map(|stored| stored.version) < known {
            tracing::warn!(record = %id, "cannot read a record: the store has lost it, or its last change");
            return Err(Unavailable);
        }
        Ok(stored.map(|stored| (stored.version, stored.record)))
    }

    /// A key, with its version.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    pub async fn stored_key(&self, id: KeyId) -> Result<Option<(Epoch, KeyRecord)>, Unavailable> {
        match self.stored(&RecordId::Key(id)).await? {
            Some((version, Record::Key(record))) => Ok(Some((version, record))),
            _ => Ok(None),
        }
    }

    /// A client with all its certificates, without its keys.
    ///
    /// Memory says which they are. It is asked only once it knows the version of the client that was
    /// read, and so everything that the client was given until then; what it is given later makes
    /// another version of it, so that a change that holds the client conflicts.
    ///
    /// # Errors
    ///
    /// When the store cannot tell, or memory does not catch up with it.
    pub async fn client_with_certificates(
        &self,
        id: &ClientId,
    ) -> Result<Option<Holdings>, Unavailable> {
        let Some((version, Record::Client(client))) =
            self.stored(&RecordId::Client(id.clone())).await?
        else {
            return Ok(None);
        };
        self.wait_for(version).await?;
        let mut certificates = Vec::new();
        let known = self.view().belongings(id).certificates;
        for fingerprint in known {
            if let Some((version, Record::Certificate(record))) =
                self.stored(&RecordId::Certificate(fingerprint)).await?
                && record.is_of(id)
            {
                certificates.push((version, record));
            }
        }
        Ok(Some(Holdings {
            client: (version, client),
            certificates,
            keys: Vec::new(),
        }))
    }

    /// A client with everything that is its own.
    ///
    /// # Errors
    ///
    /// When the store cannot tell, or memory does not catch up with it.
    pub async fn holdings(&self, id: &ClientId) -> Result<Option<Holdings>, Unavailable> {
        let Some(mut holdings) = self.client_with_certificates(id).await? else {
            return Ok(None);
        };
        let known = self.view().belongings(id).keys;
        for key in known {
            holdings.keys.extend(self.stored_key(key).await?);
        }
        Ok(Some(holdings))
    }
}
