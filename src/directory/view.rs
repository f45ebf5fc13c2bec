//! What is known: the records, reduced to what a request needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;
use papaya::HashMap;

use super::alike::{Alike, Candidates};
use super::entry::KeyEntry;
use super::left::{Authorities, Place};
use super::phases::Phases;
use crate::certificate::{Alias, AliasRecord, AliasState, Facts, Fingerprint, Mapping};
use crate::client::{ClientId, Tags};
use crate::clock::Timestamp;
use crate::key::KeyId;
use crate::phase::InForce;
use crate::store::{Epoch, Record, Versioned};

/// How many certificates that took over from one another are looked at.
const LONGEST_LINEAGE: usize = 64;

/// All identities. Any number of threads read while one applies changes.
#[derive(Default)]
pub struct View {
    clients: HashMap<ClientId, ClientEntry, RandomState>,
    keys: HashMap<KeyId, Arc<KeyEntry>, RandomState>,
    certificates: HashMap<Fingerprint, CertificateEntry, RandomState>,
    /// Other names of certificates.
    aliases: HashMap<Alias, AliasEntry, RandomState>,
    /// Which certificates have the same key or the same names.
    alike: Alike,
    /// Those that issued certificates.
    pub(super) authorities: Authorities,
    /// How many of the certificates are only the other forms of others.
    twins: AtomicUsize,
    /// What each client has or had; never fewer than it has.
    belongings: HashMap<ClientId, Belongings, RandomState>,
    pub(super) phases: Phases,
}

/// The keys and certificates that are or were a client's.
#[derive(Clone, Debug, Default)]
pub struct Belongings {
    /// Key ids, oldest first.
    pub keys: Vec<KeyId>,
    /// Certificates.
    pub certificates: Vec<Fingerprint>,
}

struct ClientEntry {
    version: Epoch,
    active: bool,
    tags: Tags,
}

struct CertificateEntry {
    version: Epoch,
    mapping: Mapping,
    not_after: Option<Timestamp>,
    /// Who issued it, when that is recorded.
    authority: Option<Place>,
    /// What it says and who issued it are recorded.
    is_learned: bool,
    renewed_by: Option<Box<Fingerprint>>,
}

struct AliasEntry {
    version: Epoch,
    state: AliasState,
}

impl View {
    /// The key `id`.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<Arc<KeyEntry>> {
        self.keys.pin().get(id).cloned()
    }

    /// Whom the certificate identifies.
    #[must_use]
    pub fn certificate(&self, fingerprint: &Fingerprint) -> Option<Mapping> {
        self.identified(fingerprint).map(|(mapping, _)| mapping)
    }

    /// Whom the certificate identifies, and whether what it says and who issued it are recorded.
    #[must_use]
    pub fn identified(&self, fingerprint: &Fingerprint) -> Option<(Mapping, bool)> {
        self.certificates
            .pin()
            .get(fingerprint)
            .map(|entry| (entry.mapping.clone(), entry.is_learned))
    }

    /// What became of an alias; nothing when there is none.
    #[must_use]
    pub fn alias(&self, alias: &Alias) -> Option<AliasState> {
        self.aliases.pin().get(alias).map(|entry| entry.state)
    }

    /// The certificates that may have the key or the names of one with these facts.
    #[must_use]
    pub fn alike(&self, facts: &Facts) -> Candidates {
        let certificates = self.certificates.pin();
        self.alike.to(facts, |one| {
            let entry = certificates.get(one)?;
            let is_mapped = matches!(entry.mapping, Mapping::Mapped { .. });
            entry.renewed_by.as_deref().copied().filter(|_| is_mapped)
        })
    }

    /// Whether the certificate identifies its client and no certificate that took over from it, at
    /// once or by way of others, does. What was superseded or removed is never the newest.
    #[must_use]
    pub fn is_newest(&self, fingerprint: &Fingerprint) -> bool {
        let certificates = self.certificates.pin();
        let is_mapped = |entry: &CertificateEntry| matches!(entry.mapping, Mapping::Mapped { .. });
        let Some(mut entry) = certificates
            .get(fingerprint)
            .filter(|entry| is_mapped(entry))
        else {
            return false;
        };
        for _ in 0..LONGEST_LINEAGE {
            let Some(next) = &entry.renewed_by else {
                return true;
            };
            match certificates.get(&**next) {
                Some(newer) if !is_mapped(newer) => entry = newer,
                Some(_) | None => return false,
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
        self.clients.pin().get(id).map(|entry| entry.active)
    }

    /// The setting that holds for `client`; none where nothing was set.
    #[must_use]
    pub fn phase_of(&self, client: &ClientId) -> Option<Arc<InForce>> {
        let clients = self.clients.pin();
        let tags = clients.get(client).map(|entry| &entry.tags);
        self.phases.of(client, tags)
    }

    /// Calls `each` with the client of every certificate that identifies one, and its authority.
    pub(super) fn mapped(&self, mut each: impl FnMut(&ClientId, Option<Place>)) {
        for certificate in self.certificates.pin().values() {
            if let Mapping::Mapped { client, .. } = &certificate.mapping {
                each(client, certificate.authority);
            }
        }
    }

    /// Calls `each` with every setting.
    pub fn phases(&self, each: impl FnMut(&Arc<InForce>)) {
        self.phases.each(each);
    }

    /// What `client` has or had.
    #[must_use]
    pub fn belongings(&self, client: &ClientId) -> Belongings {
        self.belongings
            .pin()
            .get(client)
            .cloned()
            .unwrap_or_default()
    }

    /// When the certificate ends, as far as that is known.
    pub(super) fn not_after(&self, fingerprint: &Fingerprint) -> Option<Timestamp> {
        self.certificates.pin().get(fingerprint)?.not_after
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
        let keys = self.keys.pin();
        let issued: std::collections::HashSet<&ClientId> = keys
            .iter()
            .filter(|(_, key)| key.record.is_issued() && key.usable(now).is_ok())
            .map(|(_, key)| key.client())
            .collect();
        for (id, client) in &self.clients.pin() {
            each(id, client.active, issued.contains(id));
        }
    }

    /// Takes in a record, unless a later version of it is known. Only one task does this.
    pub fn apply(&self, Versioned { version, record }: Versioned) {
        match record {
            Record::Client(client) => {
                let clients = self.clients.pin();
                if clients
                    .get(&client.id)
                    .is_none_or(|known| known.version < version)
                {
                    let active = client.is_active();
                    let tags = client.tags;
                    clients.insert(
                        client.id,
                        ClientEntry {
                            version,
                            active,
                            tags,
                        },
                    );
                }
            }
            Record::Certificate(certificate) => {
                let certificates = self.certificates.pin();
                let known = certificates.get(&certificate.fingerprint);
                if known.is_none_or(|known| known.version < version) {
                    let was =
                        known.is_some_and(|known| matches!(known.mapping, Mapping::Twin { .. }));
                    match (was, matches!(certificate.mapping, Mapping::Twin { .. })) {
                        (false, true) => _ = self.twins.fetch_add(1, Ordering::Relaxed),
                        (true, false) => _ = self.twins.fetch_sub(1, Ordering::Relaxed),
                        (true, true) | (false, false) => {}
                    }
                    if let Mapping::Mapped { client, .. } | Mapping::Superseded { client, .. } =
                        &certificate.mapping
                    {
                        self.note(client, |has| &mut has.certificates, certificate.fingerprint);
                    }
                    self.alike.apply(&certificate);
                    let entry = CertificateEntry {
                        version,
                        is_learned: certificate.is_learned(),
                        authority: self.authorities.place(certificate.ca.as_deref()),
                        not_after: certificate.facts.map(|facts| facts.not_after),
                        mapping: certificate.mapping,
                        renewed_by: certificate.renewed_by.map(Box::new),
                    };
                    certificates.insert(certificate.fingerprint, entry);
                }
            }
            Record::Alias(AliasRecord { alias, state, .. }) => {
                let aliases = self.aliases.pin();
                if aliases
                    .get(&alias)
                    .is_none_or(|known| known.version < version)
                {
                    aliases.insert(alias, AliasEntry { version, state });
                }
            }
            Record::Key(mut record) => {
                let keys = self.keys.pin();
                if keys
                    .get(&record.id)
                    .is_none_or(|known| known.version < version)
                {
                    record.receipt = None;
                    self.note(&record.client, |has| &mut has.keys, record.id);
                    keys.insert(record.id, Arc::new(KeyEntry { version, record }));
                }
            }
            Record::Phase(record) => self.phases.apply(version, &record),
        }
    }

    fn note<T: Copy + PartialEq>(
        &self,
        client: &ClientId,
        list: impl Fn(&mut Belongings) -> &mut Vec<T>,
        id: T,
    ) {
        let mut belongings = self.belongings(client);
        let ids = list(&mut belongings);
        if !ids.contains(&id) {
            ids.push(id);
            self.belongings.pin().insert(client.clone(), belongings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{CertificateRecord, Source};

    const NOW: Timestamp = Timestamp::from_unix(1_795_418_999);

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
