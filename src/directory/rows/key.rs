//! What is kept of a key.

use std::sync::Arc;

use super::client::NOWHERE;
use super::{End, Number, Second, UNKNOWN, Version};
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::directory::shards::Row;
use crate::directory::shared::Place;
use crate::directory::tombstones::KeyEnd;
use crate::key::{Digest, KeyFault, KeyId, KeyRecord, KeyStatus, PepperVersion, RevokedBy, Scope};
use crate::store::Epoch;

/// A key.
#[derive(Clone)]
pub(in crate::directory) struct KeyRow {
    id: KeyId,
    /// [`NO_DIGEST`] when there is none.
    digest: [u8; 32],
    pepper: PepperVersion,
    client: Number,
    issued_at: Second,
    expires_at: End,
    revoked_at: Second,
    /// None when it has none.
    scopes: Option<Place>,
    version: Version,
    revoked_by: Option<RevokedBy>,
}

/// What is never one.
const NO_DIGEST: [u8; 32] = [0; 32];

impl KeyRow {
    pub(in crate::directory) fn new(
        entry: &KeyEntry,
        client: Number,
        scopes: Option<Place>,
    ) -> Self {
        let digest = entry.digest.map(Digest::parts);
        let (pepper, digest) = digest.unwrap_or((0, NO_DIGEST));
        let (revoked_at, revoked_by) = match entry.status {
            KeyStatus::Active => (Second::NONE, None),
            KeyStatus::Revoked { at, by } => (at.into(), Some(by)),
        };
        Self {
            id: entry.id,
            digest,
            pepper,
            client,
            issued_at: entry.issued_at.into(),
            expires_at: entry.expires_at.into(),
            revoked_at,
            scopes,
            version: entry.version.into(),
            revoked_by,
        }
    }

    pub(in crate::directory) fn id(&self) -> KeyId {
        self.id
    }

    pub(in crate::directory) const fn client(&self) -> Number {
        self.client
    }

    pub(in crate::directory) const fn scopes(&self) -> Option<Place> {
        self.scopes
    }

    /// The key, with the name of its client and its scopes.
    pub(in crate::directory) fn entry(
        &self,
        client: ClientId,
        scopes: Option<Arc<Vec<Scope>>>,
    ) -> KeyEntry {
        KeyEntry {
            id: self.id,
            client,
            version: self.version.into(),
            digest: self
                .has_digest()
                .then(|| Digest::of_parts(self.pepper, self.digest)),
            status: self.status(),
            issued_at: self.issued_at.into(),
            expires_at: self.expires_at.into(),
            scopes,
        }
    }

    /// Whether it was issued and can be used at `now`.
    pub(in crate::directory) fn is_usable(&self, now: Timestamp) -> bool {
        self.has_digest() && self.status().usable(self.expires_at(), now).is_ok()
    }

    /// The pepper without which it cannot be used at `now`.
    pub(in crate::directory) fn needs(&self, now: Timestamp) -> Option<PepperVersion> {
        self.is_usable(now).then_some(self.pepper)
    }

    pub(in crate::directory) fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at.into()
    }

    fn has_digest(&self) -> bool {
        self.digest != NO_DIGEST
    }

    fn status(&self) -> KeyStatus {
        self.revoked_by.map_or(KeyStatus::Active, |by| {
            let at = Option::from(self.revoked_at).unwrap_or(UNKNOWN);
            KeyStatus::Revoked { at, by }
        })
    }
}

impl Row for KeyRow {
    fn place(&self) -> u32 {
        place_of_key(&self.id)
    }
}

/// A key id is spread evenly by itself.
pub(in crate::directory) fn place_of_key(id: &KeyId) -> u32 {
    ((id.random_bits() >> 32) as u32).max(NOWHERE + 1)
}

/// What a request needs to know of a key.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    id: KeyId,
    client: ClientId,
    version: Epoch,
    digest: Option<Digest>,
    status: KeyStatus,
    issued_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    scopes: Option<Arc<Vec<Scope>>>,
}

impl KeyEntry {
    pub(in crate::directory) fn new(version: Epoch, record: KeyRecord) -> Self {
        Self {
            id: record.id,
            client: record.client,
            version,
            digest: record.digest,
            status: record.status,
            issued_at: record.issued_at,
            expires_at: record.expires_at,
            scopes: (!record.scopes.is_empty()).then(|| record.scopes.into()),
        }
    }

    /// The version of its record.
    #[must_use]
    pub const fn version(&self) -> Epoch {
        self.version
    }

    /// The record, less what a request need not know: when it was made, and what took its place. To
    /// be looked at, never to be written.
    #[must_use]
    pub fn record(&self) -> KeyRecord {
        KeyRecord {
            digest: self.digest,
            status: self.status,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            scopes: self.scopes().to_vec(),
            ..KeyRecord::reserved(self.id, self.client.clone(), UNKNOWN)
        }
    }

    /// What ended it, or will.
    pub(in crate::directory) const fn end(&self) -> KeyEnd {
        KeyEnd {
            status: self.status,
            at: self.expires_at,
        }
    }

    /// The same key with another end.
    pub(in crate::directory) fn with(self, KeyEnd { status, at }: KeyEnd) -> Self {
        Self {
            status,
            expires_at: at,
            ..self
        }
    }

    /// The public id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Whose key it is.
    #[must_use]
    pub const fn client(&self) -> &ClientId {
        &self.client
    }

    /// The digest, once the key was issued.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether a key was ever shown under this id.
    #[must_use]
    pub const fn is_issued(&self) -> bool {
        self.digest.is_some()
    }

    /// What the key may be used for.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        self.scopes.as_deref().map_or(&[], Vec::as_slice)
    }

    pub(in crate::directory) fn shared_scopes(&self) -> Option<Arc<Vec<Scope>>> {
        self.scopes.clone()
    }

    /// Whether it may be used.
    #[must_use]
    pub const fn status(&self) -> KeyStatus {
        self.status
    }

    /// When the key was shown.
    #[must_use]
    pub const fn issued_at(&self) -> Option<Timestamp> {
        self.issued_at
    }

    /// The first moment at which the key is no longer good.
    #[must_use]
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Whether it can be used by somebody who proved to hold it.
    ///
    /// # Errors
    ///
    /// The fault, revocation first.
    pub fn usable(&self, now: Timestamp) -> Result<(), KeyFault> {
        self.status.usable(self.expires_at, now)
    }
}
