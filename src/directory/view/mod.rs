//! What is known: the records, reduced to what a request needs.

mod apply;
mod expected;
mod kept;
mod stay;

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::alike::{Alike, Candidates};
use super::left::Authorities;
use super::phases::{Phases, UNTAGGED};
use super::refused::Doubted;
use super::rows::{CertificateRow, ClientRow, KeyEntry, place_of_certificate};
use super::shards::{Row, Shards};
use crate::certificate::{Alias, AliasState, Facts, Fingerprint, Mapping};
use crate::client::{ClientId, CredentialId};
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyStatus, PepperVersion};
use crate::phase::InForce;
use crate::store::{Epoch, RecordId};

/// For how long after its end it still matters when a credential was used.
const OVER_AFTER: Duration = Duration::from_hours(24);

/// How many certificates that took over from one another are looked at.
const LONGEST_LINEAGE: usize = 64;

/// All identities. Any number of threads read while one applies changes.
#[derive(Default)]
pub struct View {
    clients: Shards<ClientRow>,
    keys: Shards<KeyEntry>,
    certificates: Shards<CertificateRow>,
    /// Other names of certificates.
    aliases: Shards<AliasRow>,
    /// Which certificates have the same key or the same names.
    alike: Alike,
    /// Those that issued certificates.
    pub(super) authorities: Authorities,
    /// How many of the certificates are only the other forms of others.
    twins: AtomicUsize,
    pub(super) phases: Phases,
    /// What may be known to the store and is not known here.
    pub(super) doubted: Doubted,
    /// Spreads names. It is another one in every process, so that nobody can choose names that
    /// meet.
    hasher: RandomState,
}

/// The keys and certificates that are or were a client's.
#[derive(Clone, Debug, Default)]
pub struct Belongings {
    /// Key ids, oldest first.
    pub keys: Vec<KeyId>,
    /// Certificates that identify it, or did before others took their place.
    pub certificates: Vec<Fingerprint>,
}

#[derive(Clone)]
struct AliasRow {
    place: u64,
    alias: Alias,
    version: Epoch,
    state: AliasState,
    client: ClientId,
}

impl AliasRow {
    fn is_open(&self) -> bool {
        self.state == AliasState::Open
    }

    /// Whose certificate is waited for, while it is open.
    fn awaited(&self) -> Option<&ClientId> {
        self.is_open().then_some(&self.client)
    }
}

impl Row for AliasRow {
    fn place(&self) -> u64 {
        self.place
    }
}

impl View {
    /// The key `id`.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<KeyEntry> {
        self.keys.find(id.random_bits(), |row| {
            (row.id() == *id).then(|| row.clone())
        })
    }

    /// Whom the certificate identifies.
    #[must_use]
    pub fn certificate(&self, fingerprint: &Fingerprint) -> Option<Mapping> {
        self.of_certificate(fingerprint, |row| row.mapping.clone())
    }

    /// Whom the certificate identifies, and whether what it says and who issued it are recorded.
    #[must_use]
    pub fn identified(&self, fingerprint: &Fingerprint) -> Option<(Mapping, bool)> {
        self.of_certificate(fingerprint, |row| (row.mapping.clone(), row.is_learned))
    }

    /// What became of an alias; nothing when there is none.
    #[must_use]
    pub fn alias(&self, alias: &Alias) -> Option<AliasState> {
        self.of_alias(alias, |row| row.state)
    }

    /// Whether the store holds in the place of this record what is not believed, or is being
    /// restored, so that nobody knows whether there is one. Ask when none is known here.
    #[must_use]
    pub fn is_doubted(&self, id: &RecordId) -> bool {
        self.doubted.has(id)
    }

    /// The certificates that may have the key or the names of one with these facts.
    #[must_use]
    pub fn alike(&self, facts: &Facts) -> Candidates {
        self.alike.to(facts, |place, each| {
            self.certificates.each_at(place, |row| {
                let successor = row.renewed_by.as_deref().filter(|_| row.is_mapped());
                each(row.fingerprint, successor.copied());
            });
        })
    }

    /// Whether the certificate identifies its client and no certificate that took over from it, at
    /// once or by way of others, does. What was superseded or removed is never the newest.
    #[must_use]
    pub fn is_newest(&self, fingerprint: &Fingerprint) -> bool {
        let step = |fingerprint: &Fingerprint| {
            self.of_certificate(fingerprint, |row| {
                (row.is_mapped(), row.renewed_by.as_deref().copied())
            })
        };
        let Some((true, mut next)) = step(fingerprint) else {
            return false;
        };
        for _ in 0..LONGEST_LINEAGE {
            let Some(newer) = next else {
                return true;
            };
            match step(&newer) {
                Some((false, after)) => next = after,
                Some((true, _)) | None => return false,
            }
        }
        false
    }

    /// Whose certificate it is, in whichever of its two forms, good or not.
    #[must_use]
    pub fn owner(&self, fingerprint: &Fingerprint) -> Option<ClientId> {
        let mapping = match self.certificate(fingerprint)? {
            Mapping::Twin { of } => self.certificate(&of)?,
            other => other,
        };
        match mapping {
            Mapping::Mapped { client, .. } | Mapping::Superseded { client, .. } => Some(client),
            Mapping::Pending | Mapping::Removed { .. } | Mapping::Twin { .. } => None,
        }
    }

    /// Whether the client's credentials are accepted; nothing when there is no such client.
    #[must_use]
    pub fn is_client_active(&self, id: &ClientId) -> Option<bool> {
        self.of_client(id, |row| row.is_known().then_some(row.is_active))?
    }

    /// The setting that holds for `client`; none where nothing was set.
    #[must_use]
    pub fn phase_of(&self, client: &ClientId) -> Option<Arc<InForce>> {
        if self.phases.is_nothing_set() {
            return None;
        }
        let tags = self.of_client(client, |row| row.tags.clone()).flatten();
        self.phases.of(client, tags.as_deref().unwrap_or(UNTAGGED))
    }

    /// Calls `each` with every setting.
    pub fn phases(&self, each: impl FnMut(&Arc<InForce>)) {
        self.phases.each(each);
    }

    /// What `client` has or had.
    #[must_use]
    pub fn belongings(&self, client: &ClientId) -> Belongings {
        self.of_client(client, |row| self.belongings_of(row))
            .unwrap_or_default()
    }

    fn belongings_of(&self, row: &ClientRow) -> Belongings {
        let mut has = Belongings::default();
        for place in row.keys.get() {
            self.keys.each_at(*place, |key| {
                has.keys.extend((*key.client() == row.id).then(|| key.id()));
            });
        }
        for place in row.certificates.get() {
            self.certificates.each_at(*place, |certificate| {
                let is_own = certificate.owner() == Some(&row.id);
                has.certificates
                    .extend(is_own.then_some(certificate.fingerprint));
            });
        }
        has.keys.sort_unstable();
        has
    }

    /// When the certificate ends, as far as that is known.
    pub(super) fn not_after(&self, fingerprint: &Fingerprint) -> Option<Timestamp> {
        self.of_certificate(fingerprint, |row| row.not_after.into())?
    }

    /// How many certificates there are.
    #[must_use]
    pub fn certificates_known(&self) -> usize {
        let twins = self.twins.load(Ordering::Relaxed);
        self.certificates.len().saturating_sub(twins)
    }

    /// How many clients, certificates and keys there are.
    #[must_use]
    pub fn len(&self) -> [(&'static str, usize); 3] {
        [
            ("client", self.clients.len()),
            ("certificate", self.certificates_known()),
            ("key", self.keys.len()),
        ]
    }

    /// Calls `each` with every client: its id, whether it is active, and whether any key of it
    /// was issued and can still be used.
    pub fn clients(&self, now: Timestamp, mut each: impl FnMut(&ClientId, bool, bool)) {
        self.clients.each(|row| {
            let usable = |key: &KeyEntry| {
                (*key.client() == row.id && key.is_issued() && key.usable(now).is_ok())
                    .then_some(())
            };
            let mut keys = row.keys.get().iter();
            if row.is_known() {
                let has_key = keys.any(|place| self.keys.find(*place, usable).is_some());
                each(&row.id, row.is_active, has_key);
            }
        });
    }

    /// How many keys that can still be used need which pepper.
    #[must_use]
    pub fn keys_by_pepper(&self, now: Timestamp) -> BTreeMap<PepperVersion, u64> {
        let mut needed = BTreeMap::new();
        self.keys.each(|key| {
            if let Some(digest) = key.digest().filter(|_| key.usable(now).is_ok()) {
                let keys: &mut u64 = needed.entry(digest.pepper()).or_default();
                *keys = keys.saturating_add(1);
            }
        });
        needed
    }

    /// Whether the credential ended more than [`OVER_AFTER`] ago, or is none. What expired may still
    /// claim a key, so for a certificate only what shut it counts.
    #[must_use]
    pub fn is_over(&self, credential: &CredentialId, now: Timestamp) -> bool {
        let end = match credential {
            CredentialId::Key(id) => self.key(id).map(|key| match key.status() {
                KeyStatus::Revoked { at, .. } => Some(at),
                KeyStatus::Active => key.expires_at(),
            }),
            CredentialId::Certificate(id) => self.certificate(id).map(|mapping| match mapping {
                Mapping::Removed { at } | Mapping::Superseded { at, .. } => Some(at),
                Mapping::Mapped { .. } | Mapping::Pending | Mapping::Twin { .. } => None,
            }),
        };
        end.is_none_or(|end| end.is_some_and(|end| end.plus(OVER_AFTER) <= now))
    }

    fn of_client<T>(&self, id: &ClientId, read: impl Fn(&ClientRow) -> T) -> Option<T> {
        let place = u64::from(self.place_of_client(id)) << u32::BITS;
        self.clients
            .find(place, |row| (row.id == *id).then(|| read(row)))
    }

    fn of_alias<T>(&self, alias: &Alias, read: impl Fn(&AliasRow) -> T) -> Option<T> {
        let place = self.hasher.hash_one(alias);
        self.aliases
            .find(place, |row| (row.alias == *alias).then(|| read(row)))
    }

    fn of_certificate<T>(
        &self,
        id: &Fingerprint,
        read: impl Fn(&CertificateRow) -> T,
    ) -> Option<T> {
        let place = place_of_certificate(id);
        self.certificates
            .find(place, |row| (row.fingerprint == *id).then(|| read(row)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits of a hash do")]
    fn place_of_client(&self, id: &ClientId) -> u32 {
        self.hasher.hash_one(id) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{CertificateRecord, Source};
    use crate::key::KeyRecord;
    use crate::store::{Record, Versioned};

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

    #[test]
    fn a_credential_is_over_a_day_after_its_end_but_for_certificates_that_only_expired() {
        let view = View::default();
        let key = KeyId::generate();
        let client: ClientId = "acme".parse().unwrap();
        let put = |version, record: Record| {
            let version = Epoch(version);
            view.apply(Versioned { version, record });
        };
        let over = |id| [NOW, NOW.plus(OVER_AFTER)].map(|now| view.is_over(&id, now));
        assert_eq!(over(CredentialId::Key(key)), [true; 2], "there is none");
        let record = KeyRecord::reserved(key, client.clone(), NOW);
        put(1, record.clone().into());
        assert_eq!(over(CredentialId::Key(key)), [false; 2]);
        let expires_at = Some(NOW);
        put(
            2,
            KeyRecord {
                expires_at,
                ..record
            }
            .into(),
        );
        assert_eq!(over(CredentialId::Key(key)), [false, true]);

        let certificate = Fingerprint::of(b"a");
        for (version, mapping, is_over) in [
            (3, Mapping::Mapped { client, key }, [false; 2]),
            (4, Mapping::Removed { at: NOW }, [false, true]),
        ] {
            let record = CertificateRecord::new(certificate, mapping, Source::FirstSight, NOW);
            put(version, record.into());
            assert_eq!(over(CredentialId::Certificate(certificate)), is_over);
        }
    }

    #[test]
    fn the_newest_of_a_lineage_is_the_last_that_identifies_its_client() {
        let view = View::default();
        let client: ClientId = "acme".parse().unwrap();
        let key = KeyId::generate();
        let mapped = Mapping::Mapped {
            client: client.clone(),
            key,
        };
        let [a, b, c] = ["a", "b", "c"].map(|name| Fingerprint::of(name.as_bytes()));
        let mut epoch = 0;
        let mut put = |fingerprint, mapping: &Mapping, renewed_by| {
            epoch += 1;
            let record = CertificateRecord {
                renewed_by,
                ..CertificateRecord::new(fingerprint, mapping.clone(), Source::FirstSight, NOW)
            };
            view.apply(Versioned {
                version: Epoch(epoch),
                record: record.into(),
            });
            [a, b, c].map(|fingerprint| view.is_newest(&fingerprint))
        };
        assert_eq!(put(a, &mapped, None), [true, false, false]);
        // Its successor is not known here yet: rather too strict.
        assert_eq!(put(a, &mapped, Some(b)), [false; 3]);
        assert_eq!(put(b, &mapped, None), [false, true, false]);
        put(b, &mapped, Some(c));
        assert_eq!(put(c, &mapped, None), [false, false, true]);
        let removed = Mapping::Removed { at: NOW };
        assert_eq!(put(b, &removed, Some(c)), [false, false, true]);
        assert_eq!(put(c, &removed, None), [true, false, false]);
        let superseded = Mapping::Superseded {
            client,
            key,
            at: NOW,
        };
        assert_eq!(put(a, &superseded, Some(b)), [false; 3]);
    }
}
