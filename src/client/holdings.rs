//! A client with everything that is its own.

use super::{ClientId, ClientRecord, CredentialId};
use crate::certificate::{CertificateRecord, Mapping};
use crate::clock::Timestamp;
use crate::key::{KeyId, KeyRecord};
use crate::store::{Epoch, Write};

/// A client, its certificates and its keys, each with the version that was read.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// The client.
    pub client: (Epoch, ClientRecord),
    /// Every certificate that maps to it.
    pub certificates: Vec<(Epoch, CertificateRecord)>,
    /// Every key id that is or was its own.
    pub keys: Vec<(Epoch, KeyRecord)>,
}

/// The client is disabled, so nothing that it is given would be of use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client {0} is disabled; enable it first, with: keyferry client enable {0}")]
pub struct Disabled(pub ClientId);

/// The client has as many keys that can be used as it may have at the same time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the client {client} may have {most} key(s) that can be used at the same time (key.per_client), \
     and has {has}; end one first: keyferry key list --client {client}, then keyferry key revoke"
)]
pub struct TooManyKeys {
    /// Who.
    pub client: ClientId,
    /// How many it has.
    pub has: usize,
    /// How many it may have.
    pub most: usize,
}

impl Holdings {
    /// The client's id.
    #[must_use]
    pub const fn id(&self) -> &ClientId {
        &self.client.1.id
    }

    /// What it can show who it is by, or once could.
    #[must_use]
    pub fn credentials(&self) -> Vec<CredentialId> {
        let certificates = self.certificates.iter();
        let certificates = certificates.map(|(_, one)| CredentialId::Certificate(one.fingerprint));
        let keys = self.keys.iter().map(|(_, key)| CredentialId::Key(key.id));
        certificates.chain(keys).collect()
    }

    /// The keys that were issued and can be used.
    fn issued(&self, now: Timestamp) -> impl Iterator<Item = &(Epoch, KeyRecord)> {
        let keys = self.keys.iter();
        keys.filter(move |(_, key)| key.is_good(now))
    }

    /// The key that was issued last of those that can be used.
    #[must_use]
    pub fn newest_issued(&self, now: Timestamp) -> Option<&(Epoch, KeyRecord)> {
        let issued = self.issued(now);
        issued.max_by_key(|(_, key)| (key.issued_at, key.id))
    }

    /// That there may be one key more that can be used, where `most` may be at the same time.
    ///
    /// # Errors
    ///
    /// [`TooManyKeys`].
    pub fn expect_room(&self, most: usize, now: Timestamp) -> Result<(), TooManyKeys> {
        let has = self.issued(now).count();
        if has < most {
            return Ok(());
        }
        let client = self.id().clone();
        Err(TooManyKeys { client, has, most })
    }

    /// The key id that waits for its key.
    #[must_use]
    pub fn reserved(&self, now: Timestamp) -> Option<&(Epoch, KeyRecord)> {
        let usable = |(_, key): &&(Epoch, KeyRecord)| !key.is_issued() && key.usable(now).is_ok();
        let keys = self.keys.iter().filter(usable);
        keys.max_by_key(|(_, key)| (key.created_at, key.id))
    }

    /// The key id by which a certificate goes that comes to the client by itself: that of its other
    /// certificates, or else of the last key that it had, whether or not that has ended; none when
    /// it never had any. Of several, the one that can be used, or else one by which nothing can be
    /// claimed: a certificate gets no second key by coming late.
    #[must_use]
    pub fn key_of_certificates(&self, now: Timestamp) -> Option<KeyId> {
        let is_named = |id| {
            let mut mappings = self.certificates.iter().map(|(_, record)| &record.mapping);
            mappings.any(|mapping| matches!(mapping, Mapping::Mapped { key, .. } if *key == id))
        };
        let keys = self.keys.iter().map(|(_, key)| key);
        let best = keys.max_by_key(|key| {
            let is_good = key.is_good(now);
            let since = key.issued_at.unwrap_or(key.created_at);
            (
                is_named(key.id),
                is_good,
                !key.is_claimable(),
                since,
                key.id,
            )
        });
        best.map(|key| key.id)
    }

    /// That the client is active.
    ///
    /// # Errors
    ///
    /// [`Disabled`].
    pub fn expect_active(&self) -> Result<(), Disabled> {
        if self.client.1.is_active() {
            Ok(())
        } else {
            Err(Disabled(self.id().clone()))
        }
    }

    /// Writes the client again as it is. Whatever gives a client a certificate or a key does so: of
    /// two such changes that are decided at the same time only one then passes, though they write
    /// different records, and none is decided without what the client was just given.
    pub(crate) fn hold(&self) -> Write {
        Write::replace(self.client.0, self.client.1.clone())
    }

    /// Lets all certificates of the client map to `key`.
    pub(crate) fn map_to(&self, key: KeyId) -> Vec<Write> {
        let mapping = Mapping::Mapped {
            client: self.id().clone(),
            key,
        };
        let others = self.certificates.iter();
        let others = others.filter(|(_, certificate)| certificate.mapping != mapping);
        others
            .map(|(version, certificate)| {
                let mapping = mapping.clone();
                Write::replace(
                    *version,
                    CertificateRecord {
                        mapping,
                        ..certificate.clone()
                    },
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Fingerprint, Source};
    use crate::key::{KeyStatus, RevokedBy};

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn reserved(at: i64) -> KeyRecord {
        let at = Timestamp::from_unix(at);
        KeyRecord::reserved(KeyId::generate(), "acme".parse().unwrap(), at)
    }

    fn issued(at: i64) -> KeyRecord {
        let digest = serde_json::json!({ "pepper": 1, "bytes": "00".repeat(32) });
        let key = reserved(at);
        KeyRecord {
            digest: serde_json::from_value(digest).unwrap(),
            issued_at: Some(key.created_at),
            ..key
        }
    }

    fn revoked(by: RevokedBy, key: KeyRecord) -> KeyRecord {
        let status = KeyStatus::Revoked { at: NOW, by };
        KeyRecord { status, ..key }
    }

    fn expired(key: KeyRecord) -> KeyRecord {
        let expires_at = Some(NOW);
        KeyRecord { expires_at, ..key }
    }

    /// Which of the keys of a client a new certificate goes by, when others go by `named`.
    fn chosen(keys: &[KeyRecord], named: &[&KeyRecord]) -> Option<usize> {
        let certificate = |key: &KeyRecord| {
            let (client, key) = (key.client.clone(), key.id);
            let fingerprint = Fingerprint::of(key.to_string().as_bytes());
            let mapping = Mapping::Mapped { client, key };
            CertificateRecord::new(fingerprint, mapping, Source::Operator, NOW)
        };
        let of = Holdings {
            client: (
                Epoch(1),
                ClientRecord::new("acme".parse().unwrap(), None, NOW),
            ),
            certificates: named
                .iter()
                .map(|key| (Epoch(2), certificate(key)))
                .collect(),
            keys: keys.iter().map(|key| (Epoch(2), key.clone())).collect(),
        };
        let chosen = of.key_of_certificates(NOW)?;
        keys.iter().position(|key| key.id == chosen)
    }

    #[test]
    fn a_certificate_that_comes_by_itself_goes_by_the_key_of_the_others_or_the_last_one() {
        assert_eq!(chosen(&[], &[]), None);
        for key in [
            reserved(0),
            issued(0),
            expired(issued(0)),
            revoked(RevokedBy::Client, issued(0)),
            revoked(RevokedBy::Operator, issued(0)),
        ] {
            assert_eq!(chosen(std::slice::from_ref(&key), &[]), Some(0), "{key:?}");
            let keys = [issued(9), key, issued(8)];
            assert_eq!(chosen(&keys, &[&keys[1]]), Some(1), "{keys:?}");
        }
        assert_eq!(
            chosen(&[expired(issued(0)), expired(issued(1))], &[]),
            Some(1)
        );
    }

    #[test]
    fn c6_of_several_keys_it_goes_by_the_good_one_or_by_one_that_claims_nothing() {
        for ended in [expired(issued(0)), revoked(RevokedBy::Client, issued(0))] {
            let keys = [issued(1), ended.clone(), reserved(3)];
            let all: Vec<_> = keys.iter().collect();
            assert_eq!(chosen(&keys, &all), Some(0));
            assert_eq!(chosen(&keys, &all[1..]), Some(1));
            assert_eq!(chosen(&keys, &[]), Some(0));
            assert_eq!(chosen(&keys[1..], &[]), Some(0));
        }
        // After the operator revoked one, whoever has a certificate may claim the next.
        let keys = [revoked(RevokedBy::Operator, issued(0)), reserved(3)];
        assert_eq!(chosen(&keys, &[]), Some(1));
    }
}
