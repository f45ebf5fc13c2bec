//! Claiming: a client fetches its key with the certificate that it has.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};

use super::{ApiKey, Format, KeyId, KeyRecord, KeyStatus, Peppers, Receipt, RevokedBy};
use crate::certificate::{CertificateRecord, Fingerprint, Mapping};
use crate::client::ClientId;
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::{Action, Actor, Change, Epoch, Write};

const RECEIPT_CONTEXT: &[u8] = b"claim.v1\0";
const NONCE_BYTES: usize = 12;

/// What a client sends as `Idempotency-Key`, so that a lost answer can be asked for again: 16 to
/// 255 visible ASCII characters.
pub struct IdempotencyToken(Secret<String>);

/// The text is not an idempotency token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an Idempotency-Key is 16 to 255 visible ASCII characters; a random UUID does well")]
pub struct NotAToken;

impl std::str::FromStr for IdempotencyToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        if (16..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(Secret::new(text.to_owned())))
        } else {
            Err(NotAToken)
        }
    }
}

/// A claim by somebody who proved to hold `certificate`, which is `client`'s.
pub struct Claim<'a> {
    /// The client.
    pub client: &'a ClientId,
    /// The certificate that was proven.
    pub certificate: Fingerprint,
    /// The record of the key id that the certificate maps to, and its version.
    pub key: (Epoch, KeyRecord),
    /// Every certificate of the client that maps to that key id, with versions.
    pub certificates: Vec<(Epoch, CertificateRecord)>,
    /// The client's token, when it sent one.
    pub token: Option<&'a IdempotencyToken>,
    /// Until when the answer can be repeated.
    pub repeat_until: Timestamp,
}

/// What comes of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// This key, once the change is carried out.
    Issued(ApiKey, Box<Change>),
    /// This key, which the client was already shown under the same token.
    Repeated(ApiKey),
    /// Nothing: the client has its key.
    AlreadyIssued {
        /// Which.
        id: KeyId,
        /// Since when.
        at: Option<Timestamp>,
    },
}

impl Claim<'_> {
    /// Decides the claim at `now`. A reserved key id gets its key. A key that the operator revoked
    /// is followed by one with a new id, to which the client's certificates then map. Every other
    /// key that was fetched stays the only one: whoever holds an old certificate gets none.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn decide(
        self,
        format: &Format,
        peppers: &Peppers,
        now: Timestamp,
    ) -> Result<Claimed, getrandom::Error> {
        let (version, record) = &self.key;
        let (expected, record) = match record.status {
            KeyStatus::Revoked {
                by: RevokedBy::Operator,
                ..
            } => {
                let next = KeyRecord::reserved(KeyId::generate(), self.client.clone(), now);
                (
                    Epoch::NONE,
                    KeyRecord {
                        scopes: record.scopes.clone(),
                        ..next
                    },
                )
            }
            KeyStatus::Active if !record.is_issued() => (*version, record.clone()),
            KeyStatus::Active
            | KeyStatus::Revoked {
                by: RevokedBy::Client,
                ..
            } => {
                return Ok(self.repeat(record, format, peppers, now));
            }
        };
        let key = ApiKey::generate(record.id, format)?;
        let issued = KeyRecord {
            digest: Some(key.digest(peppers)),
            issued_at: Some(now),
            receipt: self.receipt(&key, peppers)?,
            ..record
        };
        let mut writes = vec![Write {
            expected,
            record: issued.into(),
        }];
        // Also when they stay as they are: so a certificate that is taken away meanwhile claims nothing.
        let mapping = Mapping::Mapped {
            client: self.client.clone(),
            key: key.id(),
        };
        writes.extend(self.certificates.iter().map(|(version, certificate)| {
            Write::replace(
                *version,
                CertificateRecord {
                    mapping: mapping.clone(),
                    ..certificate.clone()
                },
            )
        }));
        let actor = Actor::Client {
            id: self.client.clone(),
        };
        let change = Change {
            action: Action::KeyClaimed,
            actor,
            at: now,
            writes,
        };
        Ok(Claimed::Issued(key, Box::new(change)))
    }

    fn repeat(
        &self,
        record: &KeyRecord,
        format: &Format,
        peppers: &Peppers,
        now: Timestamp,
    ) -> Claimed {
        let opened = record
            .receipt
            .as_ref()
            .filter(|receipt| now < receipt.until && record.usable(now).is_ok())
            .zip(self.token)
            .and_then(|(receipt, token)| self.open(receipt, record.id, token, peppers))
            .and_then(|text| ApiKey::parse(text.expose(), format).ok());
        match opened {
            Some(key) => Claimed::Repeated(key),
            None => Claimed::AlreadyIssued {
                id: record.id,
                at: record.issued_at,
            },
        }
    }

    fn receipt(
        &self,
        key: &ApiKey,
        peppers: &Peppers,
    ) -> Result<Option<Receipt>, getrandom::Error> {
        let Some(token) = self.token else {
            return Ok(None);
        };
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let id = key.id().to_string();
        let payload = Payload {
            msg: key.reveal().as_bytes(),
            aad: id.as_bytes(),
        };
        let sealed = self
            .cipher(token, peppers)
            .encrypt(&Nonce::from(nonce), payload);
        Ok(sealed.ok().map(|sealed| Receipt {
            sealed: BASE64_STANDARD.encode([nonce.as_slice(), sealed.as_slice()].concat()),
            until: self.repeat_until,
        }))
    }

    fn open(
        &self,
        receipt: &Receipt,
        id: KeyId,
        token: &IdempotencyToken,
        peppers: &Peppers,
    ) -> Option<Secret<Vec<u8>>> {
        let sealed = BASE64_STANDARD.decode(&receipt.sealed).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let id = id.to_string();
        let payload = Payload {
            msg: sealed,
            aad: id.as_bytes(),
        };
        self.cipher(token, peppers)
            .decrypt(&Nonce::from(*nonce), payload)
            .ok()
            .map(Secret::new)
    }

    /// The cipher that only this token and this certificate together with the pepper give.
    fn cipher(&self, token: &IdempotencyToken, peppers: &Peppers) -> ChaCha20Poly1305 {
        let parts = [
            self.certificate.as_bytes().as_slice(),
            token.0.expose().as_bytes(),
        ];
        ChaCha20Poly1305::new(&peppers.derive(RECEIPT_CONTEXT, &parts).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Source;
    use crate::key::Pepper;
    use crate::store::Record;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const LATER: Timestamp = Timestamp::from_unix(1_800_000_600);

    struct World {
        client: ClientId,
        format: Format,
        peppers: Peppers,
    }

    impl World {
        fn new() -> Self {
            Self {
                client: "acme".parse().unwrap(),
                format: Format::new("kf", "live").unwrap(),
                peppers: Peppers::new(Pepper::new(1, &Secret::new(vec![9; 32])), []),
            }
        }

        fn reserved(&self) -> KeyRecord {
            KeyRecord::reserved(KeyId::generate(), self.client.clone(), NOW)
        }

        fn claim(
            &self,
            key: &KeyRecord,
            certificate: &[u8],
            token: Option<&str>,
            now: Timestamp,
        ) -> Claimed {
            let token: Option<IdempotencyToken> = token.map(|token| token.parse().unwrap());
            let own = CertificateRecord {
                fingerprint: Fingerprint::of(certificate),
                mapping: Mapping::Mapped {
                    client: self.client.clone(),
                    key: key.id,
                },
                source: Source::FirstSight,
                facts: None,
                created_at: NOW,
            };
            let claim = Claim {
                client: &self.client,
                certificate: own.fingerprint,
                key: (Epoch(3), key.clone()),
                certificates: vec![(Epoch(4), own)],
                token: token.as_ref(),
                repeat_until: LATER,
            };
            claim.decide(&self.format, &self.peppers, now).unwrap()
        }

        /// The key and the records that a claim which must succeed writes.
        fn issue(&self, key: &KeyRecord, token: Option<&str>) -> (ApiKey, Vec<Write>) {
            match self.claim(key, b"certificate", token, NOW) {
                Claimed::Issued(key, change) => (key, change.writes),
                other => panic!("not issued: {other:?}"),
            }
        }
    }

    fn written(writes: &[Write]) -> KeyRecord {
        match &writes[0].record {
            Record::Key(record) => record.clone(),
            other => panic!("not a key: {other:?}"),
        }
    }

    #[test]
    fn a_reserved_id_gets_its_key_and_keeps_its_name() {
        let world = World::new();
        let reserved = world.reserved();
        let (key, writes) = world.issue(&reserved, None);
        assert_eq!(
            (key.id(), writes.len(), writes[0].expected),
            (reserved.id, 2, Epoch(3))
        );
        assert!(key.matches(written(&writes).digest.as_ref(), &world.peppers));
    }

    #[test]
    fn c6_a_key_that_was_fetched_is_not_shown_again() {
        let world = World::new();
        let (_, writes) = world.issue(&world.reserved(), None);
        let again = world.claim(&written(&writes), b"certificate", None, NOW);
        assert!(matches!(again, Claimed::AlreadyIssued { .. }));
    }

    #[test]
    fn c4_the_same_token_and_certificate_see_the_same_key_until_the_window_ends() {
        let world = World::new();
        let token = "0123456789abcdef";
        let (key, writes) = world.issue(&world.reserved(), Some(token));
        let issued = written(&writes);
        match world.claim(&issued, b"certificate", Some(token), NOW) {
            Claimed::Repeated(again) => assert_eq!(again.reveal(), key.reveal()),
            other => panic!("not repeated: {other:?}"),
        }
        for (certificate, token, now) in [
            (&b"certificate"[..], Some("another-token-0123"), NOW),
            (b"certificate", None, NOW),
            (b"another", Some(token), NOW),
            (b"certificate", Some(token), LATER),
        ] {
            let refused = world.claim(&issued, certificate, token, now);
            assert!(
                matches!(refused, Claimed::AlreadyIssued { .. }),
                "{token:?} {now}"
            );
        }
    }

    #[test]
    fn after_the_operator_revoked_a_key_a_new_id_takes_the_certificates_along() {
        let world = World::new();
        let mut revoked = world.reserved();
        revoked.status = KeyStatus::Revoked {
            at: NOW,
            by: RevokedBy::Operator,
        };
        let (key, writes) = world.issue(&revoked, None);
        assert_ne!(key.id(), revoked.id);
        assert_eq!(
            (writes[0].expected, writes[1].expected),
            (Epoch::NONE, Epoch(4))
        );
        let Record::Certificate(certificate) = &writes[1].record else {
            panic!("no certificate")
        };
        let mapping = Mapping::Mapped {
            client: world.client.clone(),
            key: key.id(),
        };
        assert_eq!(certificate.mapping, mapping);
    }

    #[test]
    fn c6_a_certificate_alone_gets_no_key_after_one_that_its_client_gave_up_or_that_expired() {
        let world = World::new();
        let (_, writes) = world.issue(&world.reserved(), None);
        let fetched = written(&writes);
        let given_up = KeyRecord {
            status: KeyStatus::Revoked {
                at: NOW,
                by: RevokedBy::Client,
            },
            ..fetched.clone()
        };
        let expired = KeyRecord {
            expires_at: Some(NOW),
            ..fetched
        };
        for record in [given_up, expired] {
            let refused = world.claim(&record, b"certificate", None, NOW);
            assert!(
                matches!(refused, Claimed::AlreadyIssued { .. }),
                "{record:?}"
            );
        }
    }

    #[test]
    fn a_token_is_long_enough_not_to_be_guessed() {
        for bad in [
            "",
            "short",
            "0123456789abcde",
            "0123456789abcde\n",
            "0123456789 abcdef",
        ] {
            assert!(bad.parse::<IdempotencyToken>().is_err(), "{bad:?}");
        }
    }
}
