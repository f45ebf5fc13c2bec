//! Claiming: a client fetches its key with the certificate that it has.

use super::receipt::Seal;
use super::{
    ApiKey, Format, IdempotencyToken, KeyFault, KeyId, KeyRecord, KeyStatus, Peppers, Receipt,
};
use crate::certificate::{CertificateRecord, Fingerprint, Mapping};
use crate::client::Holdings;
use crate::clock::Timestamp;
use crate::store::{Action, Actor, Change, Epoch, Write};

const RECEIPT_CONTEXT: &[u8] = b"claim.v1\0";

/// A claim by somebody who proved to hold `certificate`, which is `of`'s.
pub struct Claim<'a> {
    /// The client, with all certificates.
    pub of: Holdings,
    /// The certificate that was proven.
    pub certificate: Fingerprint,
    /// The record of the key id that the certificate maps to, and its version.
    pub key: (Epoch, KeyRecord),
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
        /// When it ended by itself, if it did: there is no other, and the operator must say so.
        ended: Option<Timestamp>,
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
        let (version, before) = &self.key;
        if !before.is_claimable() {
            return Ok(self.repeat(before, format, peppers, now));
        }
        let (expected, record) = match before.status {
            KeyStatus::Active => (*version, before.clone()),
            KeyStatus::Revoked { .. } => {
                let next = KeyRecord::reserved(KeyId::generate(), self.of.id().clone(), now);
                let scopes = before.scopes.clone();
                (Epoch::NONE, KeyRecord { scopes, ..next })
            }
        };
        let key = ApiKey::generate(record.id, format)?;
        let issued = KeyRecord {
            digest: Some(key.digest(peppers)),
            issued_at: Some(now),
            receipt: self.receipt(&key, peppers)?,
            ..record
        };
        let record = issued.into();
        let mut writes = vec![self.of.hold(), Write { expected, record }];
        let mapping = |key| Mapping::Mapped {
            client: self.of.id().clone(),
            key,
        };
        let (old, new) = (mapping(before.id), mapping(key.id()));
        let certificates = self.of.certificates.iter();
        let certificates = certificates.filter(|(_, record)| record.mapping == old);
        // Also when they stay as they are: so a certificate that is taken away meanwhile claims nothing.
        writes.extend(certificates.map(|(version, certificate)| {
            Write::replace(
                *version,
                CertificateRecord {
                    mapping: new.clone(),
                    ..certificate.clone()
                },
            )
        }));
        let actor = Actor::Client {
            id: self.of.id().clone(),
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
            .filter(|_| record.usable(now).is_ok())
            .zip(self.seal(peppers))
            .and_then(|(receipt, seal)| seal.open(receipt, record.id, format, now));
        match opened {
            Some(key) => Claimed::Repeated(key),
            None => Claimed::AlreadyIssued {
                id: record.id,
                at: record.issued_at,
                ended: match record.usable(now) {
                    Err(KeyFault::Expired) => record.expires_at,
                    Ok(()) | Err(_) => None,
                },
            },
        }
    }

    fn receipt(
        &self,
        key: &ApiKey,
        peppers: &Peppers,
    ) -> Result<Option<Receipt>, getrandom::Error> {
        let seal = self.seal(peppers);
        seal.map_or(Ok(None), |seal| seal.close(key, self.repeat_until))
    }

    /// The seal that only this token and this certificate together with the pepper give.
    fn seal(&self, peppers: &Peppers) -> Option<Seal> {
        let proof = self.certificate.as_bytes();
        let token = self.token?;
        Some(Seal::new(RECEIPT_CONTEXT, proof, token, peppers))
    }
}

#[cfg(test)]
mod tests;
