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
        let change = Change::new(Action::KeyClaimed, actor, now, writes);
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
mod tests;
