//! Receipts: an answer that showed a key, and was lost, can be asked for again.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};

use super::{ApiKey, Format, KeyId, Peppers, Receipt};
use crate::clock::Timestamp;
use crate::secret::Secret;

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

/// Closes and opens receipts. Only a pepper, the client's token and what it proved to hold together
/// give it. The first closes; all of them open, since the pepper may have changed meanwhile.
pub(super) struct Seal(Vec<ChaCha20Poly1305>);

impl Seal {
    /// The seal for one use, which `context` names. All proofs of one use have one length.
    pub(super) fn new(
        context: &[u8],
        proof: &[u8],
        token: &IdempotencyToken,
        peppers: &Peppers,
    ) -> Self {
        let parts = [proof, token.0.expose().as_bytes()];
        let keys = peppers.derive(context, &parts);
        Self(keys.map(|key| ChaCha20Poly1305::new(&key.into())).collect())
    }

    /// A receipt for `key`, to be opened before `until`.
    pub(super) fn close(
        &self,
        key: &ApiKey,
        until: Timestamp,
    ) -> Result<Option<Receipt>, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let id = key.id().to_string();
        let payload = Payload {
            msg: key.reveal().as_bytes(),
            aad: id.as_bytes(),
        };
        let first = self.0.first();
        let sealed = first.and_then(|seal| seal.encrypt(&Nonce::from(nonce), payload).ok());
        Ok(sealed.map(|sealed| Receipt {
            sealed: BASE64_STANDARD.encode([nonce.as_slice(), sealed.as_slice()].concat()),
            until,
        }))
    }

    /// The key `id` of a receipt that this seal closed, until its window ends.
    pub(super) fn open(
        &self,
        receipt: &Receipt,
        id: KeyId,
        format: &Format,
        now: Timestamp,
    ) -> Option<ApiKey> {
        if now >= receipt.until {
            return None;
        }
        let sealed = BASE64_STANDARD.decode(&receipt.sealed).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let id = id.to_string();
        let opened = |seal: &ChaCha20Poly1305| {
            let payload = Payload {
                msg: sealed,
                aad: id.as_bytes(),
            };
            seal.decrypt(&Nonce::from(*nonce), payload).ok()
        };
        let text = self.0.iter().find_map(opened).map(Secret::new)?;
        ApiKey::parse(text.expose(), format).ok()
    }
}
