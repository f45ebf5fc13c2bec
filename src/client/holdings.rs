//! A client with everything that is its own.

use super::{ClientId, ClientRecord};
use crate::certificate::{CertificateRecord, Mapping};
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyRecord};
use crate::store::{Epoch, Write};

/// A client, its certificates and its keys, each with the version that was read.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// The client.
    pub client: (Epoch, ClientRecord),
    /// Every certificate that maps to it.
    pub certificates: Vec<(Epoch, CertificateRecord)>,
    /// Every key id that is or was its own.
    pub keys: Vec<(Epoch, KeyRecord)>,
}

/// The client is disabled, so nothing that it is given would be of use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client {0} is disabled; enable it first, with: keyferry client enable {0}")]
pub struct Disabled(pub ClientId);

/// The client has as many keys that can be used as it may have at the same time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the client {client} may have {most} key(s) that can be used at the same time (key.per_client), \
     and has {has}; end one first: keyferry key list --client {client}, then keyferry key revoke"
)]
pub struct TooManyKeys {
    /// Who.
    pub client: ClientId,
    /// How many it has.
    pub has: usize,
    /// How many it may have.
    pub most: usize,
}

impl Holdings {
    /// The client's id.
    #[must_use]
    pub const fn id(&self) -> &ClientId {
        &self.client.1.id
    }

    /// The keys that were issued and can be used.
    fn issued(&self, now: Timestamp) -> impl Iterator<Item = &(Epoch, KeyRecord)> {
        let keys = self.keys.iter();
        keys.filter(move |(_, key)| key.is_issued() && key.usable(now).is_ok())
    }

    /// The key that was issued last of those that can be used.
    #[must_use]
    pub fn newest_issued(&self, now: Timestamp) -> Option<&(Epoch, KeyRecord)> {
        let issued = self.issued(now);
        issued.max_by_key(|(_, key)| (key.issued_at, key.id))
    }

    /// That there may be one key more that can be used, where `most` may be at the same time.
    ///
    /// # Errors
    ///
    /// [`TooManyKeys`].
    pub fn expect_room(&self, most: usize, now: Timestamp) -> Result<(), TooManyKeys> {
        let has = self.issued(now).count();
        if has < most {
            return Ok(());
        }
        let client = self.id().clone();
        Err(TooManyKeys { client, has, most })
    }

    /// The key id that waits for its key.
    #[must_use]
    pub fn reserved(&self, now: Timestamp) -> Option<&(Epoch, KeyRecord)> {
        let usable = |(_, key): &&(Epoch, KeyRecord)| !key.is_issued() && key.usable(now).is_ok();
        let keys = self.keys.iter().filter(usable);
        keys.max_by_key(|(_, key)| (key.created_at, key.id))
    }

    /// That the client is active.
    ///
    /// # Errors
    ///
    /// [`Disabled`].
    pub fn expect_active(&self) -> Result<(), Disabled> {
        if self.client.1.is_active() {
            Ok(())
        } else {
            Err(Disabled(self.id().clone()))
        }
    }

    /// Writes the client again as it is. Whatever gives a client a certificate or a key does so: of
    /// two such changes that are decided at the same time only one then passes, though they write
    /// different records, and none is decided without what the client was just given.
    pub(crate) fn hold(&self) -> Write {
        Write::replace(self.client.0, self.client.1.clone())
    }

    /// Lets all certificates of the client map to `key`.
    pub(crate) fn map_to(&self, key: KeyId) -> Vec<Write> {
        let mapping = Mapping::Mapped {
            client: self.id().clone(),
            key,
        };
        let others = self.certificates.iter();
        let others = others.filter(|(_, certificate)| certificate.mapping != mapping);
        others
            .map(|(version, certificate)| {
                let mapping = mapping.clone();
                Write::replace(
                    *version,
                    CertificateRecord {
                        mapping,
                        ..certificate.clone()
                    },
                )
            })
            .collect()
    }
}
