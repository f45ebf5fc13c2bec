//! Records come in.

use std::hash::BuildHasher as _;
use std::sync::atomic::Ordering;

use super::{AliasRow, View};
use crate::certificate::{AliasRecord, CertificateRecord, Mapping};
use crate::client::{ClientId, ClientRecord};
use crate::directory::rows::{CertificateRow, ClientRow, KeyEntry, Places, place_of_certificate};
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
        let known = self.client_row(record.id.clone());
        if known.version < version {
            self.put_client(known.with(version, record));
        }
    }

    fn apply_certificate(&self, version: Epoch, record: &CertificateRecord) {
        let known = self.of_certificate(&record.fingerprint, |row| row.version);
        if known.is_some_and(|known| known >= version) {
            return;
        }
        self.alike.apply(record);
        let authority = self.authorities.place(record.ca.as_deref());
        self.put_certificate(CertificateRow::new(version, record, authority));
    }

    pub(super) fn put_certificate(&self, mut row: CertificateRow) {
        let fingerprint = row.fingerprint;
        let place = place_of_certificate(&fingerprint);
        let was_twin = self.of_certificate(&fingerprint, CertificateRow::is_twin);
        if let Mapping::Mapped { client, .. } | Mapping::Superseded { client, .. } =
            &mut row.mapping
        {
            *client = self.note(client.clone(), |has| &mut has.certificates, place);
        }
        match (was_twin == Some(true), row.is_twin()) {
            (false, true) => _ = self.twins.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.twins.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => {}
        }
        self.certificates
            .put(row, |known| known.fingerprint == fingerprint);
    }

    fn apply_alias(&self, version: Epoch, record: &AliasRecord) {
        let alias = record.alias;
        let known = self.of_alias(&alias, |row| row.version);
        if known.is_none_or(|known| known < version) {
            let row = AliasRow {
                place: self.hasher.hash_one(alias),
                alias,
                version,
                state: record.state,
                client: self.client_row(record.client.clone()).id,
            };
            self.aliases.put(row, |known| known.alias == alias);
        }
    }

    fn apply_key(&self, version: Epoch, record: KeyRecord) {
        let known = self.key(&record.id).map(|known| known.version());
        if known.is_none_or(|known| known < version) {
            self.put_key(KeyEntry::new(version, record));
        }
    }

    pub(super) fn put_key(&self, row: KeyEntry) {
        let (id, place) = (row.id(), row.id().random_bits());
        let client = self.note(row.client().clone(), |has| &mut has.keys, place);
        let is_same = |known: &KeyEntry| known.id() == id;
        self.keys.put(row.of_client(client), is_same);
    }

    /// Notes that what stands at `place` is or was the client's. Gives the client's name as it is
    /// kept: once for everything that is its own.
    fn note(
        &self,
        client: ClientId,
        list: impl Fn(&mut ClientRow) -> &mut Places,
        place: u64,
    ) -> ClientId {
        let mut row = self.client_row(client);
        let id = row.id.clone();
        let places = list(&mut row);
        if !places.get().contains(&place) {
            places.add(place);
            self.put_client(row);
        }
        id
    }

    pub(super) fn client_row(&self, id: ClientId) -> ClientRow {
        self.of_client(&id, ClientRow::clone)
            .unwrap_or_else(|| ClientRow::unknown(self.place_of_client(&id), id))
    }

    pub(super) fn put_client(&self, row: ClientRow) {
        let id = row.id.clone();
        self.clients.put(row, |known| known.id == id);
    }
}
