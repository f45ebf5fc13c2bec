//! Records come in.

use std::sync::atomic::Ordering;

use super::{AliasRow, View};
use crate::certificate::{AliasRecord, CertificateRecord};
use crate::client::{ClientId, ClientRecord};
use crate::directory::rows::{
    CertificateEntry, CertificateRow, ClientRow, KeyEntry, KeyRow, Link, Number, place_of_key,
};
use crate::key::KeyRecord;
use crate::store::{Epoch, Record, Versioned};

impl View {
    /// Takes in a record, unless a later version of it is known. Only one task does this.
    pub fn apply(&self, Versioned { version, record }: Versioned) {
        match record {
            Record::Client(record) => self.apply_client(version, record),
            Record::Certificate(record) => self.apply_certificate(version, &record),
            Record::Alias(record) => self.apply_alias(version, &record),
            Record::Key(record) => self.apply_key(version, record),
            Record::Phase(record) => self.phases.apply(version, &record),
        }
    }

    /// From now on others read while changes are applied.
    pub fn share(&self) {
        self.clients.share();
        self.keys.share();
        self.certificates.share();
        self.aliases.share();
        self.alike.share();
    }

    fn apply_client(&self, version: Epoch, record: ClientRecord) {
        let known = self.client_row(&record.id);
        if known.version() < version {
            let is_active = record.is_active();
            let tags = (!record.tags.is_empty()).then_some(record.tags);
            let tags = tags.and_then(|tags| self.tags.place(tags.into()));
            self.put_client(known.with(version, is_active, tags));
        }
    }

    fn apply_certificate(&self, version: Epoch, record: &CertificateRecord) {
        let known = self.of_certificate(&record.fingerprint, |known| known.version);
        if known.is_some_and(|known| known >= version) {
            return;
        }
        self.alike.apply(record);
        self.whole.apply(record);
        let authority = self.authorities.place(record.ca.as_deref());
        self.put_certificate(&CertificateEntry::new(version, record, authority));
    }

    pub(super) fn put_certificate(&self, entry: &CertificateEntry) {
        let fingerprint = entry.fingerprint;
        let place = Link::from(&fingerprint).place();
        let row = CertificateRow::new(entry, |client| self.note(client, place));
        let is_same = |known: &CertificateRow| known.fingerprint() == fingerprint;
        let was_twin = self
            .certificates
            .find(place, |known| is_same(known).then(|| known.is_twin()));
        match (was_twin == Some(true), row.is_twin()) {
            (false, true) => _ = self.twins.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.twins.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => {}
        }
        self.certificates.put(row, is_same);
    }

    fn apply_alias(&self, version: Epoch, record: &AliasRecord) {
        let alias = record.alias;
        let known = self.of_alias(&alias, |row| row.version);
        if known.is_none_or(|known| known < version) {
            let row = AliasRow {
                place: self.spread(alias),
                alias,
                version,
                state: record.state,
                client: record.client.clone(),
            };
            self.aliases.put(row, |known| known.alias == alias);
        }
    }

    fn apply_key(&self, version: Epoch, record: KeyRecord) {
        let known = self.key(&record.id).map(|known| known.version());
        if known.is_none_or(|known| known < version) {
            self.put_key(&KeyEntry::new(version, record));
        }
    }

    pub(super) fn put_key(&self, entry: &KeyEntry) {
        let id = entry.id();
        let client = self.note(entry.client(), place_of_key(&id));
        let scopes = entry.shared_scopes();
        let scopes = scopes.and_then(|scopes| self.scopes.place(scopes));
        let row = KeyRow::new(entry, client, scopes);
        self.keys.put(row, |known| known.id() == id);
    }

    /// Notes that what stands at `place` is or was the client's. Gives the client's number.
    fn note(&self, client: &ClientId, place: u32) -> Number {
        let mut row = self.client_row(client);
        let number = row.number;
        if !row.has.get().contains(&place) {
            row.has.add(place);
            self.put_client(row);
        }
        number
    }

    pub(super) fn client_row(&self, id: &ClientId) -> ClientRow {
        self.find_client(id, ClientRow::clone)
            .unwrap_or_else(|number| ClientRow::unknown(number, id))
    }

    pub(super) fn put_client(&self, row: ClientRow) {
        self.clients.put(row, |_| true);
    }
}
