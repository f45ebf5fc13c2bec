//! Records of the store, all or some, as commands look through them.

use std::collections::BTreeMap;

use super::Failure;
use crate::certificate::{Alias, AliasRecord, CertificateRecord, Fingerprint, Handed};
use crate::client::{ClientId, ClientRecord, Holdings};
use crate::key::{KeyId, KeyRecord};
use crate::phase::{PhaseRecord, Target};
use crate::store::{Epoch, Record, RecordId, Versioned};

/// The fewest digits by which a certificate can be named.
const FEWEST_DIGITS: usize = 8;

/// What was read, with versions.
#[derive(Clone, Default)]
pub(crate) struct Records {
    pub(crate) clients: BTreeMap<ClientId, (Epoch, ClientRecord)>,
    pub(crate) certificates: BTreeMap<Fingerprint, (Epoch, CertificateRecord)>,
    pub(crate) aliases: BTreeMap<Alias, (Epoch, AliasRecord)>,
    pub(crate) keys: BTreeMap<KeyId, (Epoch, KeyRecord)>,
    pub(crate) phases: BTreeMap<Target, (Epoch, PhaseRecord)>,
    pub(crate) epoch: Epoch,
}

impl Records {
    pub(crate) fn take(&mut self, Versioned { version, record }: Versioned) {
        match record {
            Record::Client(record) => {
                self.clients.insert(record.id.clone(), (version, record));
            }
            Record::Certificate(record) => {
                self.certificates
                    .insert(record.fingerprint, (version, record));
            }
            Record::Alias(record) => {
                self.aliases.insert(record.alias, (version, record));
            }
            Record::Key(record) => {
                self.keys.insert(record.id, (version, record));
            }
            Record::Phase(record) => {
                self.phases.insert(record.target.clone(), (version, record));
            }
        }
    }

    /// Takes a record in, unless a newer version is there.
    pub(super) fn take_newer(&mut self, record: Versioned) {
        let known = match record.record.id() {
            RecordId::Client(id) => self.clients.get(&id).map(|known| known.0),
            RecordId::Certificate(id) => self.certificates.get(&id).map(|known| known.0),
            RecordId::Alias(id) => self.aliases.get(&id).map(|known| known.0),
            RecordId::Key(id) => self.keys.get(&id).map(|known| known.0),
            RecordId::Phase(id) => self.phases.get(&id).map(|known| known.0),
        };
        if known.is_none_or(|known| known < record.version) {
            self.take(record);
        }
    }

    /// Whether there is such a client and its credentials are accepted.
    pub(crate) fn is_active(&self, client: &ClientId) -> bool {
        let client = self.clients.get(client);
        client.is_some_and(|(_, client)| client.is_active())
    }

    /// The client `id` with everything that is its own.
    pub(crate) fn holdings(&self, id: &ClientId) -> Result<Holdings, Failure> {
        let client = self.clients.get(id).cloned();
        let client = client.ok_or_else(|| no_client(id))?;
        let certificates = self.certificates.values();
        let keys = self.keys.values();
        Ok(Holdings {
            client,
            certificates: certificates
                .filter(|(_, record)| record.is_of(id))
                .cloned()
                .collect(),
            keys: keys.filter(|(_, key)| key.client == *id).cloned().collect(),
        })
    }

    /// The one certificate whose fingerprint is or begins like `text`.
    pub(crate) fn certificate(&self, text: &str) -> Result<&(Epoch, CertificateRecord), Failure> {
        let refused = |why: String| Failure::Refused(why);
        let named = Handed::named(text).map_err(|error| Failure::Usage(error.to_string()))?;
        if let Some(Handed { fingerprint, .. }) = named {
            return self.certificates.get(&fingerprint).ok_or_else(|| {
                refused(format!(
                    "there is no certificate {fingerprint}; see: keyferry certificate list"
                ))
            });
        }
        let begin = text.replace(':', "").to_ascii_lowercase();
        if begin.len() < FEWEST_DIGITS || !begin.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Failure::Usage(format!(
                "{text:?} is no fingerprint: name the 64 hex digits of its SHA-256, or the first \
                 {FEWEST_DIGITS} or more"
            )));
        }
        let mut found = self.certificates.values();
        let mut found = found.by_ref().filter(|(_, record)| {
            let fingerprint = record.fingerprint.to_string();
            fingerprint.starts_with(&begin)
        });
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => Err(refused(format!(
                "several certificates begin with {begin}; name more digits"
            ))),
            (None, _) => Err(refused(format!(
                "there is no certificate that begins with {begin}; see: keyferry certificate list"
            ))),
        }
    }
}

/// There is no such key.
pub(crate) fn no_key(id: KeyId) -> Failure {
    Failure::Refused(format!("there is no key {id}; see: keyferry key list"))
}

/// There is no such client.
pub(crate) fn no_client(id: &ClientId) -> Failure {
    Failure::Refused(format!(
        "there is no client {id}; see: keyferry client list"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Mapping, Source};
    use crate::clock::Timestamp;

    #[test]
    fn a_certificate_is_named_by_a_beginning_that_no_other_has() {
        let mut records = Records::default();
        let fingerprints =
            ["aaaaaaaa1", "aaaaaaaa2", "bbbbbbbb1"].map(|begin| format!("{begin:0<64}"));
        for fingerprint in &fingerprints {
            records.take(Versioned {
                version: Epoch(1),
                record: Record::Certificate(CertificateRecord::new(
                    fingerprint.parse().unwrap(),
                    Mapping::Pending,
                    Source::FirstSight,
                    Timestamp::from_unix(1),
                )),
            });
        }
        for text in ["BB:BB:BB:BB", "bbbbbbbb1", &fingerprints[2], "aaaaaaaa1"] {
            assert!(records.certificate(text).is_ok(), "{text}");
        }
        for text in ["aaaaaaaa", "cccccccc", &"c".repeat(64)] {
            let found = records.certificate(text);
            assert!(matches!(found, Err(Failure::Refused(_))), "{text}");
        }
        for text in ["", "bbbbbbb", "client.pem", &"c".repeat(40)] {
            let found = records.certificate(text);
            assert!(matches!(found, Err(Failure::Usage(_))), "{text}");
        }
    }
}
