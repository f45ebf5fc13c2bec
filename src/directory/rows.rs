//! What is kept of a record: what a request needs, as small as it goes, since there may be millions.

use std::sync::Arc;

use super::left::Place;
use super::shards::Row;
use super::tombstones::KeyEnd;
use crate::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
use crate::client::{ClientId, ClientRecord, ClientStatus, Tags};
use crate::clock::Timestamp;
use crate::key::{Digest, KeyFault, KeyId, KeyRecord, KeyStatus, Scope};
use crate::store::Epoch;

/// When something was made that a request need not know.
pub(super) const UNKNOWN: Timestamp = Timestamp::from_unix(0);

/// A client, with the places of what it has or had.
#[derive(Clone)]
pub(super) struct ClientRow {
    pub(super) place: u32,
    pub(super) is_active: bool,
    pub(super) id: ClientId,
    /// [`Epoch::NONE`] while only something of the client's is known.
    pub(super) version: Epoch,
    pub(super) tags: Option<Arc<Tags>>,
    pub(super) keys: Places,
    pub(super) certificates: Places,
}

impl ClientRow {
    /// A client of which nothing is known.
    pub(super) const fn unknown(place: u32, id: ClientId) -> Self {
        Self {
            place,
            is_active: false,
            id,
            version: Epoch::NONE,
            tags: None,
            keys: Places::NONE,
            certificates: Places::NONE,
        }
    }

    pub(super) fn with(self, version: Epoch, record: ClientRecord) -> Self {
        Self {
            version,
            is_active: record.is_active(),
            tags: (!record.tags.is_empty()).then(|| record.tags.into()),
            ..self
        }
    }

    /// A record that makes this row, once the client is known.
    pub(super) fn record(&self) -> Option<ClientRecord> {
        let mut record = ClientRecord::new(self.id.clone(), None, UNKNOWN);
        if !self.is_active {
            record.status = ClientStatus::Disabled { at: UNKNOWN };
        }
        record.tags = self.tags.as_deref().cloned().unwrap_or_default();
        self.is_known().then_some(record)
    }

    pub(super) const fn is_known(&self) -> bool {
        self.version.0 != Epoch::NONE.0
    }
}

impl Row for ClientRow {
    fn place(&self) -> u64 {
        u64::from(self.place) << u32::BITS
    }
}

/// Where several rows stand; mostly it is one.
#[derive(Clone)]
pub(super) enum Places {
    One(u64),
    Some(Vec<u64>),
}

impl Places {
    const NONE: Self = Self::Some(Vec::new());

    pub(super) fn get(&self) -> &[u64] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Some(some) => some,
        }
    }

    pub(super) fn add(&mut self, place: u64) {
        *self = match self.get() {
            [] => Self::One(place),
            some => Self::Some([some, &[place]].concat()),
        };
    }
}

/// A certificate.
#[derive(Clone)]
pub(super) struct CertificateRow {
    pub(super) fingerprint: Fingerprint,
    pub(super) version: Epoch,
    pub(super) mapping: Mapping,
    pub(super) renewed_by: Option<Box<Fingerprint>>,
    pub(super) not_after: Second,
    /// Who issued it, when that is recorded.
    pub(super) authority: Option<Place>,
    /// What it says and who issued it are recorded.
    pub(super) is_learned: bool,
}

impl CertificateRow {
    pub(super) fn new(
        version: Epoch,
        record: &CertificateRecord,
        authority: Option<Place>,
    ) -> Self {
        Self {
            fingerprint: record.fingerprint,
            version,
            mapping: record.mapping.clone(),
            renewed_by: record.renewed_by.map(Box::new),
            not_after: record.facts.as_ref().map(|facts| facts.not_after).into(),
            authority,
            is_learned: record.is_learned(),
        }
    }

    /// A record that makes this row, less what the certificate says. `ca` is its authority's name.
    pub(super) fn record(&self, ca: Option<&str>) -> CertificateRecord {
        let (fingerprint, mapping) = (self.fingerprint, self.mapping.clone());
        CertificateRecord {
            renewed_by: self.renewed_by.as_deref().copied(),
            ca: ca.map(str::to_owned),
            ..CertificateRecord::new(fingerprint, mapping, Source::FirstSight, UNKNOWN)
        }
    }

    /// A certificate of which nothing is known.
    pub(super) const fn unknown(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            version: Epoch::NONE,
            mapping: Mapping::Pending,
            renewed_by: None,
            not_after: Second(0),
            authority: None,
            is_learned: true,
        }
    }

    /// Whom it identifies, or identified before another took its place.
    pub(super) const fn owner(&self) -> Option<&ClientId> {
        match &self.mapping {
            Mapping::Mapped { client, .. } | Mapping::Superseded { client, .. } => Some(client),
            Mapping::Pending | Mapping::Removed { .. } | Mapping::Twin { .. } => None,
        }
    }

    pub(super) const fn is_mapped(&self) -> bool {
        matches!(self.mapping, Mapping::Mapped { .. })
    }

    pub(super) const fn is_twin(&self) -> bool {
        matches!(self.mapping, Mapping::Twin { .. })
    }
}

impl Row for CertificateRow {
    fn place(&self) -> u64 {
        place_of_certificate(&self.fingerprint)
    }
}

/// A fingerprint is spread evenly by itself.
pub(super) fn place_of_certificate(fingerprint: &Fingerprint) -> u64 {
    let first = fingerprint.as_bytes().first_chunk();
    u64::from_be_bytes(*first.unwrap_or(&[0; 8]))
}

/// What a request needs to know of a key.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    id: KeyId,
    client: ClientId,
    version: Epoch,
    digest: Option<Digest>,
    issued_at: Second,
    /// [`NEVER`] when it does not.
    expires_at: Timestamp,
    seldom: Option<Arc<Seldom>>,
}

/// What most keys have not.
#[derive(Debug)]
struct Seldom {
    status: KeyStatus,
    scopes: Vec<Scope>,
}

const NEVER: Timestamp = Timestamp::from_unix(i64::MAX);

impl KeyEntry {
    pub(super) fn new(version: Epoch, record: KeyRecord) -> Self {
        let is_usual = record.status == KeyStatus::Active && record.scopes.is_empty();
        Self {
            id: record.id,
            client: record.client,
            version,
            digest: record.digest,
            issued_at: record.issued_at.into(),
            expires_at: record.expires_at.unwrap_or(NEVER),
            seldom: (!is_usual).then(|| {
                Arc::new(Seldom {
                    status: record.status,
                    scopes: record.scopes,
                })
            }),
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
            status: self.status(),
            issued_at: self.issued_at(),
            expires_at: self.expires_at(),
            scopes: self.scopes().to_vec(),
            ..KeyRecord::reserved(self.id, self.client.clone(), UNKNOWN)
        }
    }

    /// The same key, with its client's name as it is kept.
    pub(super) fn of_client(self, client: ClientId) -> Self {
        Self { client, ..self }
    }

    /// What ended it, or will.
    pub(super) fn end(&self) -> KeyEnd {
        KeyEnd {
            status: self.status(),
            at: self.expires_at(),
        }
    }

    /// The same key with another end.
    pub(super) fn with(self, KeyEnd { status, at }: KeyEnd) -> Self {
        let scopes = self.scopes().to_vec();
        Self {
            expires_at: at.unwrap_or(NEVER),
            seldom: Some(Arc::new(Seldom { status, scopes })),
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
        self.seldom.as_ref().map_or(&[], |seldom| &seldom.scopes)
    }

    /// Whether it may be used.
    #[must_use]
    pub fn status(&self) -> KeyStatus {
        let seldom = self.seldom.as_ref();
        seldom.map_or(KeyStatus::Active, |seldom| seldom.status)
    }

    /// When the key was shown.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.issued_at.into()
    }

    /// The first moment at which the key is no longer good.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at).filter(|end| *end != NEVER)
    }

    /// Whether it can be used by somebody who proved to hold it.
    ///
    /// # Errors
    ///
    /// The fault, revocation first.
    pub fn usable(&self, now: Timestamp) -> Result<(), KeyFault> {
        self.status().usable(self.expires_at(), now)
    }
}

impl Row for KeyEntry {
    fn place(&self) -> u64 {
        self.id.random_bits()
    }
}

/// A moment of which only the second matters, up to the year 2106; or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Second(u32);

impl From<Option<Timestamp>> for Second {
    fn from(at: Option<Timestamp>) -> Self {
        Self(at.map_or(0, |at| {
            u32::try_from(at.as_unix().max(1)).unwrap_or(u32::MAX)
        }))
    }
}

impl From<Second> for Option<Timestamp> {
    fn from(Second(second): Second) -> Self {
        (second != 0).then(|| Timestamp::from_unix(second.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each there are as many as there are identities: a field more is a million times that.
    #[test]
    fn rows_are_small() {
        assert!(size_of::<ClientRow>() <= 88, "{}", size_of::<ClientRow>());
        let certificate = size_of::<CertificateRow>();
        assert!(certificate <= 104, "{certificate}");
        assert!(size_of::<KeyEntry>() <= 104, "{}", size_of::<KeyEntry>());
    }

    #[test]
    fn a_second_is_kept_or_none_is() {
        let kept = |at| Option::<Timestamp>::from(Second::from(Some(Timestamp::from_unix(at))));
        for (at, second) in [
            (1_800_000_000, 1_800_000_000),
            (-5, 1),
            (i64::MAX, u32::MAX.into()),
        ] {
            assert_eq!(kept(at), Some(Timestamp::from_unix(second)));
        }
        assert_eq!(Option::<Timestamp>::from(Second::from(None)), None);
    }
}
