//! A key, as a request reads it.

use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::key::{Digest, KeyFault, KeyRecord, Scope};
use crate::store::Epoch;

/// What a request needs to know of a key.
#[derive(Debug)]
pub struct KeyEntry {
    pub(super) version: Epoch,
    /// The key, without what only records need.
    pub(super) record: KeyRecord,
}

impl KeyEntry {
    /// The version of its record.
    #[must_use]
    pub const fn version(&self) -> Epoch {
        self.version
    }

    /// Whose key it is.
    #[must_use]
    pub const fn client(&self) -> &ClientId {
        &self.record.client
    }

    /// The digest, once the key was issued.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.record.digest.as_ref()
    }

    /// What the key may be used for.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.record.scopes
    }

    /// The whole record, less what only claims need.
    #[must_use]
    pub const fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// Whether it can be used by somebody who proved to hold it.
    ///
    /// # Errors
    ///
    /// The fault, revocation first.
    pub fn usable(&self, now: Timestamp) -> Result<(), KeyFault> {
        self.record.usable(now)
    }
}
