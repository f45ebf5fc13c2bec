//! What is kept of a certificate.

use super::client::NOWHERE;
use super::{Number, Second, UNKNOWN, Version};
use crate::certificate::{CertificateRecord, Fingerprint, Mapping, Source};
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::directory::left::Place;
use crate::directory::shards::Row;
use crate::key::KeyId;
use crate::store::Epoch;

/// A certificate.
#[derive(Clone)]
pub(in crate::directory) struct CertificateRow {
    fingerprint: Fingerprint,
    whose: Whose,
    /// What took over from it, or none; of a twin, the beginning of what it is the other form of.
    other: Link,
    not_after: Second,
    authority: Option<Place>,
    version: Version,
}

/// A [`Mapping`].
#[derive(Clone, Copy)]
enum Whose {
    Mapped {
        client: Number,
        key: KeyId,
    },
    Superseded {
        client: Number,
        key: KeyId,
        at: Second,
    },
    Pending,
    Twin {
        rest: [u8; 24],
    },
    Removed {
        at: Second,
    },
}

/// The beginning of a fingerprint. It finds a certificate as well as the whole does: nobody gets two
/// that begin with the same eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::directory) struct Link([u8; 8]);

impl Link {
    const NONE: Self = Self([0; 8]);

    /// Where the certificate stands. A fingerprint is spread evenly by itself.
    pub(in crate::directory) fn place(self) -> u32 {
        let Self([a, b, c, d, ..]) = self;
        u32::from_be_bytes([a, b, c, d]).max(NOWHERE + 1)
    }

    /// A fingerprint that begins so; the rest of it is made up.
    const fn fingerprint(self) -> Fingerprint {
        joined(self, [0; 24])
    }
}

impl From<&Fingerprint> for Link {
    fn from(fingerprint: &Fingerprint) -> Self {
        split(fingerprint).0
    }
}

fn split(fingerprint: &Fingerprint) -> (Link, [u8; 24]) {
    let bytes = fingerprint.as_bytes();
    let (begin, rest) = (bytes.first_chunk(), bytes.last_chunk());
    (Link(*begin.unwrap_or(&[0; 8])), *rest.unwrap_or(&[0; 24]))
}

const fn joined(Link(begin): Link, rest: [u8; 24]) -> Fingerprint {
    let mut bytes = [0; 32];
    let (first, last) = bytes.split_at_mut(8);
    first.copy_from_slice(&begin);
    last.copy_from_slice(&rest);
    Fingerprint::from_bytes(bytes)
}

impl CertificateRow {
    /// `number` gives the number of a client.
    pub(in crate::directory) fn new(
        entry: &CertificateEntry,
        number: impl FnOnce(&ClientId) -> Number,
    ) -> Self {
        let renewed_by = entry.renewed_by.unwrap_or(Link::NONE);
        let (whose, other) = match &entry.mapping {
            Mapping::Mapped { client, key } => (
                Whose::Mapped {
                    client: number(client),
                    key: *key,
                },
                renewed_by,
            ),
            Mapping::Superseded { client, key, at } => (
                Whose::Superseded {
                    client: number(client),
                    key: *key,
                    at: (*at).into(),
                },
                renewed_by,
            ),
            Mapping::Pending => (Whose::Pending, renewed_by),
            Mapping::Removed { at } => (Whose::Removed { at: (*at).into() }, renewed_by),
            Mapping::Twin { of } => {
                let (of, rest) = split(of);
                (Whose::Twin { rest }, of)
            }
        };
        Self {
            fingerprint: entry.fingerprint,
            whose,
            other,
            not_after: entry.not_after.into(),
            authority: entry.authority,
            version: entry.version.into(),
        }
    }

    /// The certificate, with the name of its client, which `name` gives.
    pub(in crate::directory) fn entry(
        &self,
        name: impl FnOnce(Number) -> Option<ClientId>,
    ) -> Option<CertificateEntry> {
        let at = |at: Second| Option::from(at).unwrap_or(UNKNOWN);
        let mapping = match self.whose {
            Whose::Mapped { client, key } => Mapping::Mapped {
                client: name(client)?,
                key,
            },
            Whose::Superseded {
                client,
                key,
                at: since,
            } => Mapping::Superseded {
                client: name(client)?,
                key,
                at: at(since),
            },
            Whose::Pending => Mapping::Pending,
            Whose::Removed { at: since } => Mapping::Removed { at: at(since) },
            Whose::Twin { rest } => Mapping::Twin {
                of: joined(self.other, rest),
            },
        };
        Some(CertificateEntry {
            fingerprint: self.fingerprint,
            version: self.version(),
            mapping,
            renewed_by: self.renewed_by(),
            not_after: self.not_after(),
            authority: self.authority,
        })
    }

    pub(in crate::directory) const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(in crate::directory) fn version(&self) -> Epoch {
        self.version.into()
    }

    /// When it ends, as far as that is known.
    pub(in crate::directory) fn not_after(&self) -> Option<Timestamp> {
        self.not_after.into()
    }

    /// Who issued it, when that is recorded.
    pub(in crate::directory) const fn authority(&self) -> Option<Place> {
        self.authority
    }

    /// What took over from it.
    pub(in crate::directory) fn renewed_by(&self) -> Option<Link> {
        let is_renewed = !self.is_twin() && self.other != Link::NONE;
        is_renewed.then_some(self.other)
    }

    /// Whom it identifies, or identified before another took its place.
    pub(in crate::directory) const fn owner(&self) -> Option<Number> {
        match self.whose {
            Whose::Mapped { client, .. } | Whose::Superseded { client, .. } => Some(client),
            Whose::Pending | Whose::Removed { .. } | Whose::Twin { .. } => None,
        }
    }

    /// Whom it identifies.
    pub(in crate::directory) const fn mapped(&self) -> Option<Number> {
        match self.whose {
            Whose::Mapped { client, .. } => Some(client),
            Whose::Superseded { .. }
            | Whose::Pending
            | Whose::Removed { .. }
            | Whose::Twin { .. } => None,
        }
    }

    pub(in crate::directory) const fn is_twin(&self) -> bool {
        matches!(self.whose, Whose::Twin { .. })
    }
}

impl Row for CertificateRow {
    fn place(&self) -> u32 {
        Link::from(&self.fingerprint).place()
    }
}

/// What is known of a certificate.
#[derive(Clone)]
pub(in crate::directory) struct CertificateEntry {
    pub(in crate::directory) fingerprint: Fingerprint,
    pub(in crate::directory) version: Epoch,
    pub(in crate::directory) mapping: Mapping,
    pub(in crate::directory) renewed_by: Option<Link>,
    pub(in crate::directory) not_after: Option<Timestamp>,
    /// Who issued it, when that is recorded.
    pub(in crate::directory) authority: Option<Place>,
}

impl CertificateEntry {
    pub(in crate::directory) fn new(
        version: Epoch,
        record: &CertificateRecord,
        authority: Option<Place>,
    ) -> Self {
        Self {
            fingerprint: record.fingerprint,
            version,
            mapping: record.mapping.clone(),
            renewed_by: record.renewed_by.as_ref().map(Link::from),
            not_after: record.facts.as_ref().map(|facts| facts.not_after),
            authority,
        }
    }

    /// A certificate of which nothing is known.
    pub(in crate::directory) const fn unknown(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            version: Epoch::NONE,
            mapping: Mapping::Pending,
            renewed_by: None,
            not_after: None,
            authority: None,
        }
    }

    /// A record that makes this entry, less what the certificate says. `ca` is its authority's
    /// name. What took over from it is named by a fingerprint that only begins as it should.
    pub(in crate::directory) fn record(self, ca: Option<&str>) -> CertificateRecord {
        let Self {
            fingerprint,
            mapping,
            renewed_by,
            ..
        } = self;
        CertificateRecord {
            renewed_by: renewed_by.map(Link::fingerprint),
            ca: ca.map(str::to_owned),
            ..CertificateRecord::new(fingerprint, mapping, Source::FirstSight, UNKNOWN)
        }
    }

    /// Whether what it says and who issued it are recorded.
    pub(in crate::directory) const fn is_learned(&self) -> bool {
        self.not_after.is_some() && self.authority.is_some()
    }
}
