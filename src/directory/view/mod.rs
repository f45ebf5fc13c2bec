//! What is known: the records, reduced to what a request needs.

mod apply;
mod counted;
mod expected;
mod kept;
#[cfg(test)]
mod model;
mod over;
mod stay;
mod whole;

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;

use super::alike::{Alike, Candidates};
use super::left::Authorities;
use super::phases::{Phases, UNTAGGED};
use super::refused::Doubted;
use super::rows::{
    CertificateEntry, CertificateRow, ClientRow, KeyEntry, KeyRow, Link, Number, place_of_key,
};
use super::shards::{Row, Shards};
use super::shared::Shared;
use crate::certificate::{Alias, AliasState, Facts, Fingerprint, Mapping};
use crate::client::{ClientId, Tags};
use crate::key::{KeyId, Scope};
use crate::phase::InForce;
use crate::store::{Epoch, RecordId};

/// How many certificates that took over from one another are looked at.
const LONGEST_LINEAGE: usize = 64;

/// All identities. Any number of threads read while one applies changes.
#[derive(Default)]
pub struct View {
    clients: Shards<ClientRow>,
    keys: Shards<KeyRow>,
    certificates: Shards<CertificateRow>,
    /// Other names of certificates.
    aliases: Shards<AliasRow>,
    /// Which certificates have the same key or the same names.
    alike: Alike,
    /// Those that issued certificates.
    pub(super) authorities: Authorities,
    /// The tags of clients, and the scopes of keys.
    tags: Shared<Tags>,
    scopes: Shared<Vec<Scope>>,
    /// How many of the certificates are only the other forms of others.
    twins: AtomicUsize,
    pub(super) phases: Phases,
    /// Certificates as they are, where that is needed.
    whole: whole::Kept,
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
    place: u32,
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
    fn place(&self) -> u32 {
        self.place
    }
}

impl View {
    /// The key `id`.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<KeyEntry> {
        let row = self.keys.find(place_of_key(id), |row| {
            (row.id() == *id).then(|| row.clone())
        });
        self.entry_of_key(&row?)
    }

    /// Whom the certificate identifies.
    #[must_use]
    pub fn certificate(&self, fingerprint: &Fingerprint) -> Option<Mapping> {
        self.of_certificate(fingerprint, |found| found.mapping.clone())
    }

    /// Whom the certificate identifies, and whether what it says and who issued it are recorded, and
    /// all of it where that is needed.
    #[must_use]
    pub fn identified(&self, fingerprint: &Fingerprint) -> Option<(Mapping, bool)> {
        self.of_certificate(fingerprint, |found| {
            let is_learned = found.is_learned() && self.whole.is_settled(fingerprint);
            (found.mapping.clone(), is_learned)
        })
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
                let successor = row.renewed_by().filter(|_| row.mapped().is_some());
                each(row.fingerprint(), successor);
            });
        })
    }

    /// Whether the certificate identifies its client and no certificate that took over from it, at
    /// once or by way of others, does. What was superseded or removed is never the newest.
    #[must_use]
    pub fn is_newest(&self, fingerprint: &Fingerprint) -> bool {
        let step = |link: Link| {
            self.certificates.find(link.place(), |row| {
                let is_it = Link::from(&row.fingerprint()) == link;
                is_it.then(|| (row.mapped().is_some(), row.renewed_by()))
            })
        };
        let Some((true, mut next)) = step(fingerprint.into()) else {
            return false;
        };
        for _ in 0..LONGEST_LINEAGE {
            let Some(newer) = next else {
                return true;
            };
            match step(newer) {
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
        self.with_tags(client, |tags| self.phases.of(client, tags))
    }

    /// What `client` is tagged with; nothing where it has no tag.
    #[must_use]
    pub fn tags(&self, client: &ClientId) -> Option<Arc<Tags>> {
        let place = self.of_client(client, |row| row.tags)??;
        self.tags.read(place, Arc::clone)
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
        for place in row.has.get() {
            self.keys.each_at(*place, |key| {
                has.keys
                    .extend((key.client() == row.number).then(|| key.id()));
            });
            self.certificates.each_at(*place, |certificate| {
                let is_own = certificate.owner() == Some(row.number);
                has.certificates
                    .extend(is_own.then(|| certificate.fingerprint()));
            });
        }
        has.keys.sort_unstable();
        has
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

    fn of_client<T>(&self, id: &ClientId, read: impl Fn(&ClientRow) -> T) -> Option<T> {
        self.find_client(id, read).ok()
    }

    /// What `read` makes of the client, or the number to give it: the first that is free from the one
    /// on that its name makes.
    fn find_client<T>(&self, id: &ClientId, read: impl Fn(&ClientRow) -> T) -> Result<T, Number> {
        let mut number = Number::MIN.saturating_add(self.spread(id));
        loop {
            let found = self
                .clients
                .find(number.get(), |row| Some(row.is(id).then(|| read(row))));
            match found {
                Some(Some(found)) => return Ok(found),
                None => return Err(number),
                Some(None) => number = number.checked_add(1).unwrap_or(Number::MIN),
            }
        }
    }

    /// What `read` makes of the client's tags.
    fn with_tags<T>(&self, client: &ClientId, read: impl Fn(&Tags) -> T) -> T {
        let tags = self.tags(client);
        read(tags.as_deref().unwrap_or(UNTAGGED))
    }

    fn name(&self, number: Number) -> Option<ClientId> {
        self.clients.find(number.get(), |row| Some(row.id()))
    }

    fn of_alias<T>(&self, alias: &Alias, read: impl Fn(&AliasRow) -> T) -> Option<T> {
        let place = self.spread(alias);
        self.aliases
            .find(place, |row| (row.alias == *alias).then(|| read(row)))
    }

    fn of_certificate<T>(
        &self,
        id: &Fingerprint,
        read: impl Fn(&CertificateEntry) -> T,
    ) -> Option<T> {
        let row = self.certificates.find(Link::from(id).place(), |row| {
            (row.fingerprint() == *id).then(|| row.clone())
        });
        self.entry_of_certificate(&row?).as_ref().map(read)
    }

    /// Calls `each` with every certificate.
    fn each_certificate(&self, mut each: impl FnMut(CertificateEntry)) {
        self.certificates.each(|row| {
            if let Some(entry) = self.entry_of_certificate(row) {
                each(entry);
            }
        });
    }

    /// Calls `each` with every key.
    fn each_key(&self, mut each: impl FnMut(KeyEntry)) {
        self.keys.each(|row| {
            if let Some(entry) = self.entry_of_key(row) {
                each(entry);
            }
        });
    }

    fn entry_of_certificate(&self, row: &CertificateRow) -> Option<CertificateEntry> {
        row.entry(|number| self.name(number))
    }

    fn entry_of_key(&self, row: &KeyRow) -> Option<KeyEntry> {
        let scopes = |place| self.scopes.read(place, Arc::clone);
        let client = self.name(row.client())?;
        Some(row.entry(client, row.scopes().and_then(scopes)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits of a hash do")]
    fn spread(&self, name: impl Hash) -> u32 {
        self.hasher.hash_one(name) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{CertificateRecord, Source};
    use crate::clock::Timestamp;
    use crate::store::Versioned;

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
