//! What outlives a store that is gone, or that has lost a part: records for the snapshot, and
//! revocations.

use super::{AliasRow, View};
use crate::certificate::{AliasRecord, AliasState};
use crate::directory::rows::{CertificateRow, ClientRow, UNKNOWN};
use crate::directory::tombstones::{KeyEnd, Tombstone, is_shut};
use crate::store::{Epoch, RecordId, Versioned};

impl View {
    /// Calls `each` with every record, reduced to what is kept of it.
    pub(in crate::directory) fn records(&self, mut each: impl FnMut(Versioned)) {
        let mut each = |version, record| each(Versioned { version, record });
        self.clients.each(|row| {
            if let Some(record) = row.record() {
                each(row.version, record.into());
            }
        });
        let certificates = &self.certificates;
        certificates.each(|row| {
            let ca = row.authority.and_then(|place| self.authorities.name(place));
            each(row.version, row.record(ca.as_deref()).into());
        });
        self.aliases.each(|row| {
            let record = AliasRecord {
                state: row.state,
                ..AliasRecord::new(row.alias, row.client.clone(), UNKNOWN)
            };
            each(row.version, record.into());
        });
        self.keys
            .each(|row| each(row.version(), row.record().into()));
        self.phases
            .records(|version, record| each(version, record.clone().into()));
    }

    /// Calls `each` with every revocation and its version.
    pub(in crate::directory) fn tombstones(&self, mut each: impl FnMut(Epoch, Tombstone)) {
        self.clients.each(|row| {
            if row.is_known() && !row.is_active {
                each(row.version, Tombstone::Client(row.id.clone()));
            }
        });
        self.certificates.each(|row| {
            if is_shut(&row.mapping) {
                let mapping = row.mapping.clone();
                each(
                    row.version,
                    Tombstone::Certificate(row.fingerprint, mapping),
                );
            }
        });
        self.aliases.each(|row| {
            if let AliasState::Withdrawn { at } = row.state {
                each(row.version, Tombstone::Announcement(row.alias, at));
            }
        });
        self.keys.each(|row| {
            let end = row.end();
            if end != KeyEnd::NONE {
                each(row.version(), Tombstone::Key(row.id(), end));
            }
        });
    }

    /// The version of a record that is known here; of a phase it is not told.
    pub(in crate::directory) fn version(&self, id: &RecordId) -> Option<Epoch> {
        match id {
            RecordId::Client(id) => {
                let version = |row: &ClientRow| row.is_known().then_some(row.version);
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
                row.is_known().then_some((row.version, !row.is_active))
            }
            Tombstone::Certificate(id, _) => {
                self.of_certificate(id, |row| (row.version, is_shut(&row.mapping)))
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
                let row = self.client_row(id.clone());
                if row.is_known() {
                    self.put_client(ClientRow {
                        is_active: false,
                        ..row
                    });
                }
            }
            Tombstone::Certificate(id, mapping) => {
                let row = self.of_certificate(id, CertificateRow::clone);
                let row = row.unwrap_or_else(|| CertificateRow::unknown(*id));
                let mapping = mapping.clone();
                self.certificates
                    .put(CertificateRow { mapping, ..row }, |known| {
                        known.fingerprint == *id
                    });
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
                    self.keys.put(key.with(end), |known| known.id() == *id);
                }
            }
        }
    }
}
