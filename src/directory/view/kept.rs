//! What outlives a store that is gone, or that has lost a part: records for the snapshot, and
//! revocations.

use std::sync::Arc;

use super::{AliasRow, View};
use crate::certificate::{AliasRecord, AliasState, CertificateRecord};
use crate::directory::rows::{CertificateEntry, ClientRow, UNKNOWN};
use crate::directory::tombstones::{KeyEnd, Tombstone, is_shut};
use crate::store::{Epoch, RecordId, Versioned};

impl View {
    /// Calls `each` with every record, reduced to what is kept of it.
    pub(in crate::directory) fn records(&self, mut each: impl FnMut(Versioned)) {
        let mut each = |version, record| each(Versioned { version, record });
        self.clients.each(|row| {
            let tags = row.tags.and_then(|place| self.tags.read(place, Arc::clone));
            if let Some(record) = row.record(tags.as_deref().cloned().unwrap_or_default()) {
                each(row.version(), record.into());
            }
        });
        self.each_certificate(|entry| {
            let ca = entry
                .authority
                .and_then(|place| self.authorities.name(place));
            let (version, whole) = (entry.version, self.whole.get(&entry.fingerprint));
            let record = CertificateRecord {
                whole,
                ..entry.record(ca.as_deref())
            };
            each(version, record.into());
        });
        self.aliases.each(|row| {
            let record = AliasRecord {
                state: row.state,
                ..AliasRecord::new(row.alias, row.client.clone(), UNKNOWN)
            };
            each(row.version, record.into());
        });
        self.each_key(|entry| each(entry.version(), entry.record().into()));
        self.phases
            .records(|version, record| each(version, record.clone().into()));
    }

    /// Calls `each` with every revocation and its version.
    pub(in crate::directory) fn tombstones(&self, mut each: impl FnMut(Epoch, Tombstone)) {
        self.clients.each(|row| {
            if row.is_known() && !row.is_active {
                each(row.version(), Tombstone::Client(row.id()));
            }
        });
        self.each_certificate(|entry| {
            if is_shut(&entry.mapping) {
                let tombstone = Tombstone::Certificate(entry.fingerprint, entry.mapping);
                each(entry.version, tombstone);
            }
        });
        self.aliases.each(|row| {
            if let AliasState::Withdrawn { at } = row.state {
                each(row.version, Tombstone::Announcement(row.alias, at));
            }
        });
        self.each_key(|entry| {
            let end = entry.end();
            if end != KeyEnd::NONE {
                each(entry.version(), Tombstone::Key(entry.id(), end));
            }
        });
    }

    /// The version of a record that is known here; of a phase it is not told.
    pub(in crate::directory) fn version(&self, id: &RecordId) -> Option<Epoch> {
        match id {
            RecordId::Client(id) => {
                let version = |row: &ClientRow| row.is_known().then_some(row.version());
                self.of_client(id, version)?
            }
            RecordId::Certificate(id) => self.of_certificate(id, |row| row.version),
            RecordId::Alias(id) => self.of_alias(id, |row| row.version),
            RecordId::Key(id) => self.key(id).map(|key| key.version()),
            RecordId::Phase(_) => None,
        }
    }

    /// The version of what was revoked, and whether it is revoked here.
    pub(in crate::directory) fn standing(&self, tombstone: &Tombstone) -> Option<(Epoch, bool)> {
        match tombstone {
            Tombstone::Client(id) => {
                let row = self.of_client(id, ClientRow::clone)?;
                row.is_known().then_some((row.version(), !row.is_active))
            }
            Tombstone::Certificate(id, _) => {
                self.of_certificate(id, |known| (known.version, is_shut(&known.mapping)))
            }
            Tombstone::Announcement(alias, _) => {
                self.of_alias(alias, |row| (row.version, !row.is_open()))
            }
            Tombstone::Key(id, end) => {
                let key = self.key(id)?;
                Some((key.version(), key.end().is_within(*end)))
            }
        }
    }

    /// Revokes what is known here, whatever the store says of it.
    pub(in crate::directory) fn uphold(&self, tombstone: &Tombstone) {
        match tombstone {
            Tombstone::Client(id) => {
                let mut row = self.client_row(id);
                if row.is_known() {
                    row.is_active = false;
                    self.put_client(row);
                }
            }
            Tombstone::Certificate(id, mapping) => {
                let known = self.of_certificate(id, CertificateEntry::clone);
                let known = known.unwrap_or_else(|| CertificateEntry::unknown(*id));
                let mapping = mapping.clone();
                self.put_certificate(&CertificateEntry { mapping, ..known });
            }
            Tombstone::Announcement(alias, at) => {
                if let Some(row) = self.of_alias(alias, AliasRow::clone) {
                    let state = AliasState::Withdrawn { at: *at };
                    self.aliases
                        .put(AliasRow { state, ..row }, |known| known.alias == *alias);
                }
            }
            Tombstone::Key(id, end) => {
                if let Some(key) = self.key(id) {
                    let end = key.end().or(*end);
                    self.put_key(&key.with(end));
                }
            }
        }
    }
}
