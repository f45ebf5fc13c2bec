//! What outlives a store that is gone, or that has lost a part: records for the snapshot, and
//! revocations.

use super::View;
use crate::certificate::AliasRecord;
use crate::directory::rows::{CertificateRow, ClientRow, UNKNOWN};
use crate::directory::tombstones::{Tombstone, is_shut};
use crate::key::KeyStatus;
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
            if let Some(client) = row.awaited.clone() {
                let record = AliasRecord::new(row.alias, client, UNKNOWN);
                each(row.version, record.into());
            }
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
        self.keys.each(|row| {
            if row.status() != KeyStatus::Active {
                each(row.version(), Tombstone::Key(row.id(), row.status()));
            }
        });
    }

    /// The version of a client, certificate or key, and whether it is revoked.
    pub(in crate::directory) fn standing(&self, id: &RecordId) -> Option<(Epoch, bool)> {
        match id {
            RecordId::Client(id) => {
                let row = self.of_client(id, ClientRow::clone)?;
                row.is_known().then_some((row.version, !row.is_active))
            }
            RecordId::Certificate(id) => {
                self.of_certificate(id, |row| (row.version, is_shut(&row.mapping)))
            }
            RecordId::Key(id) => {
                let key = self.key(id)?;
                Some((key.version(), key.status() != KeyStatus::Active))
            }
            RecordId::Alias(_) | RecordId::Phase(_) => None,
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
            Tombstone::Key(id, status) => {
                if let Some(key) = self.key(id) {
                    self.keys.put(key.with(*status), |known| known.id() == *id);
                }
            }
        }
    }
}
