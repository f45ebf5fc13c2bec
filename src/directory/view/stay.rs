//! What was known stays known while the history is the same, whatever a load of it leaves out.

use std::collections::HashSet;

use super::View;
use crate::directory::rows::{CertificateEntry, KeyEntry, Link};
use crate::directory::tombstones::is_shut;
use crate::key::KeyStatus;
use crate::store::{Epoch, RecordId};

impl View {
    /// An empty view in which everything has the same place as in `known`.
    pub(in crate::directory) fn like(known: &Self) -> Self {
        Self {
            hasher: known.hasher.clone(),
            alike: known.alike.empty(),
            authorities: known.authorities.clone(),
            tags: known.tags.clone(),
            ..Self::default()
        }
    }

    /// Takes over from `known`, of the same history and [alike](Self::like), what is missing here
    /// or older: no change takes a record away, or makes an older one of it. Only what is revoked
    /// here stays as it is. Calls `each` with what was taken over, and whether something older was
    /// here.
    pub(in crate::directory) fn stay(&self, known: &Self, mut each: impl FnMut(&RecordId, bool)) {
        // What has no version is a place that is kept free.
        let mut wanted = |id: &RecordId, version: Epoch, here: Option<(Epoch, bool)>| {
            let here = here.filter(|(here, _)| *here != Epoch::NONE);
            let wanted = here.is_none_or(|(here, is_shut)| here < version && !is_shut);
            if wanted && version != Epoch::NONE {
                each(id, here.is_some());
            }
            wanted && version != Epoch::NONE
        };
        known.clients.each(|row| {
            let id = row.id();
            let here = self.of_client(&id, |here| (here.version(), !here.is_active));
            if wanted(&RecordId::Client(id.clone()), row.version(), here) {
                let here = self.client_row(&id);
                self.put_client(here.with(row.version(), row.is_active, row.tags));
            }
        });
        let mut certificates = HashSet::new();
        known.each_certificate(|entry| {
            let here = |here: &CertificateEntry| (here.version, is_shut(&here.mapping));
            let fingerprint = entry.fingerprint;
            let here = self.of_certificate(&fingerprint, here);
            if wanted(&RecordId::Certificate(fingerprint), entry.version, here) {
                self.put_certificate(&entry);
                self.whole.stay(&known.whole, &fingerprint);
                certificates.insert(Link::from(&fingerprint).place());
            }
        });
        self.alike.stay(&known.alike, &certificates);
        known.each_key(|entry| {
            let here = |here: KeyEntry| (here.version(), here.status() != KeyStatus::Active);
            let here = self.key(&entry.id()).map(here);
            if wanted(&RecordId::Key(entry.id()), entry.version(), here) {
                self.put_key(&entry);
            }
        });
        known.aliases.each(|row| {
            let here = self.of_alias(&row.alias, |here| (here.version, !here.is_open()));
            if wanted(&RecordId::Alias(row.alias), row.version, here) {
                self.aliases
                    .put(row.clone(), |here| here.alias == row.alias);
            }
        });
        known.phases.records(|version, record| {
            let here = self
                .phases
                .version(&record.target)
                .map(|here| (here, false));
            if wanted(&RecordId::Phase(record.target.clone()), version, here) {
                self.phases.apply(version, record);
            }
        });
    }
}
