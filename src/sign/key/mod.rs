//! The keys by which signatures are made and checked, each good for one algorithm.

use std::fmt;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519::pkcs8::spki::der::pem::LineEnding;
use ed25519::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _, KeypairBytes,
};
use ed25519_dalek::Signer as _;
use hmac::{Hmac, Mac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::jwks;
use crate::secret::SecretBytes;

/// How identities are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Gateway and backend share a secret (RFC 9421 section 3.3.3).
    #[default]
    HmacSha256,
    /// The gateway has a private key, and the backend the public one, with which nothing can be signed
    /// (RFC 9421 section 3.3.6).
    Ed25519,
}

impl Algorithm {
    /// Its name in `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let all = [Self::HmacSha256, Self::Ed25519];
        all.into_iter().find(|one| one.as_str() == name)
    }
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The id would not stand in a header.
    #[error("a signing key id is 1 to 64 characters of A-Z a-z 0-9 . _ -")]
    Id,
    /// With a public key as the secret, everybody could sign.
    #[error("it is a key in PEM, DER or a JWK, and no secret that only two know")]
    NoSecret,
    /// Not what `openssl genpkey` makes.
    #[error("it is no private key for Ed25519 in PEM")]
    Private,
    /// Not what `openssl pkey -pubout` makes.
    #[error("it is no public key for Ed25519 in PEM")]
    Public,
    /// For such a key, signatures can be made without the private one.
    #[error("it is a public key of small order, which protects nothing")]
    Weak,
}

/// What a public key for Ed25519 begins with in DER (RFC 8410); its 32 bytes follow.
pub(super) const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// What a gateway signs with for a backend, and its public name.
#[derive(Clone)]
pub struct SigningKey {
    id: String,
    signs: Signs,
}

#[derive(Clone)]
enum Signs {
    Hmac(Hmac<Sha256>),
    /// In one place of the heap, which is wiped when the last that signs with it goes. What reads it wipes
    /// what it holds; where the compiler moved it on the stack before it came here, nobody wipes.
    Ed25519(Arc<ed25519_dalek::SigningKey>),
}

/// What a backend checks signatures with: a secret that it shares, or a public key.
#[derive(Clone)]
pub struct VerifyingKey {
    id: String,
    checks: Checks,
}

#[derive(Clone)]
enum Checks {
    Hmac(Hmac<Sha256>),
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl SigningKey {
    /// The secret known to the backend as `id`: 1 to 64 characters of `A-Za-z0-9._-`.
    ///
    /// # Errors
    ///
    /// [`KeyFault::Id`] for another id; [`KeyFault::NoSecret`] for what is published elsewhere.
    pub fn new(id: &str, secret: &SecretBytes) -> Result<Self, KeyFault> {
        let id = fitting(id)?;
        let bytes = secret.expose();
        if is_published(bytes) {
            return Err(KeyFault::NoSecret);
        }
        Ok(Self::shared(id, bytes))
    }

    /// The private key for Ed25519 in `pem` (PKCS #8), whose public one the backend knows as `id`.
    ///
    /// # Errors
    ///
    /// [`KeyFault::Id`] or [`KeyFault::Private`].
    pub fn ed25519(id: &str, pem: &SecretBytes) -> Result<Self, KeyFault> {
        let id = fitting(id)?;
        let key = private_key(pem);
        wipe_stack();
        let signs = Signs::Ed25519(key.ok_or(KeyFault::Private)?);
        Ok(Self { id, signs })
    }

    /// The secret `bytes`, whatever they are.
    pub(super) fn shared(id: String, bytes: &[u8]) -> Self {
        let signs = Signs::Hmac(crate::key::keyed(bytes));
        Self { id, signs }
    }

    /// The private key that `seed` is.
    pub(super) fn of_seed(id: &str, seed: &[u8; 32]) -> Result<Self, KeyFault> {
        Ok(Self {
            id: fitting(id)?,
            signs: Signs::Ed25519(Arc::new(ed25519_dalek::SigningKey::from_bytes(seed))),
        })
    }

    /// Its public name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it signs by.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.signs {
            Signs::Hmac(_) => Algorithm::HmacSha256,
            Signs::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// What checks its signatures.
    #[must_use]
    pub fn verifying(&self) -> VerifyingKey {
        let checks = match &self.signs {
            Signs::Hmac(state) => Checks::Hmac(state.clone()),
            Signs::Ed25519(key) => Checks::Ed25519(key.verifying_key()),
        };
        VerifyingKey {
            id: self.id.clone(),
            checks,
        }
    }

    /// The signature of `base`, in base64.
    pub(super) fn sign(&self, base: &str) -> String {
        match &self.signs {
            Signs::Hmac(state) => {
                let mac = state.clone().chain_update(base.as_bytes());
                BASE64_STANDARD.encode(mac.finalize().into_bytes())
            }
            Signs::Ed25519(key) => BASE64_STANDARD.encode(key.sign(base.as_bytes()).to_bytes()),
        }
    }
}

impl VerifyingKey {
    /// The public key for Ed25519 in `pem`, known as `id`.
    ///
    /// # Errors
    ///
    /// [`KeyFault::Id`], [`KeyFault::Public`], or [`KeyFault::Weak`].
    pub fn ed25519(id: &str, pem: &[u8]) -> Result<Self, KeyFault> {
        let text = std::str::from_utf8(pem).map_err(|_| KeyFault::Public)?;
        let key = ed25519_dalek::VerifyingKey::from_public_key_pem(text);
        Self::strong(id, key.map_err(|_| KeyFault::Public)?)
    }

    /// The public key that `bytes` are (RFC 8032 section 5.1.2), known as `id`.
    pub(super) fn of_bytes(id: &str, bytes: &[u8; 32]) -> Result<Self, KeyFault> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes);
        Self::strong(id, key.map_err(|_| KeyFault::Public)?)
    }

    fn strong(id: &str, key: ed25519_dalek::VerifyingKey) -> Result<Self, KeyFault> {
        if key.is_weak() {
            return Err(KeyFault::Weak);
        }
        Ok(Self {
            id: fitting(id)?,
            checks: Checks::Ed25519(key),
        })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The only algorithm that it is good for.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.checks {
            Checks::Hmac(_) => Algorithm::HmacSha256,
            Checks::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The bytes of a public key; none of a secret.
    #[must_use]
    pub fn public(&self) -> Option<&[u8; 32]> {
        match &self.checks {
            Checks::Hmac(_) => None,
            Checks::Ed25519(key) => Some(key.as_bytes()),
        }
    }

    /// A public key in PEM; none of a secret.
    #[must_use]
    pub fn to_pem(&self) -> Option<String> {
        match &self.checks {
            Checks::Hmac(_) => None,
            Checks::Ed25519(key) => key.to_public_key_pem(LineEnding::LF).ok(),
        }
    }

    /// Whether `next` has the same name and is another key.
    #[must_use]
    pub fn is_renewed_by(&self, next: &Self) -> bool {
        self.id == next.id && !self.is_same(next)
    }

    /// Whether `other` is the same key, whatever its name.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.checks, &other.checks) {
            (Checks::Hmac(ours), Checks::Hmac(theirs)) => crate::key::is_same_key(ours, theirs),
            (Checks::Ed25519(ours), Checks::Ed25519(theirs)) => ours == theirs,
            _ => false,
        }
    }

    /// Whether `signature` is one of `base`. A MAC is compared in constant time. Of Ed25519 there is
    /// one signature that is good: S is below the group's order, and neither R nor the key is of
    /// small order, so that nobody makes a second one of it.
    pub(super) fn fits(&self, base: &str, signature: &[u8]) -> bool {
        match &self.checks {
            Checks::Hmac(state) => { state.clone().chain_update(base.as_bytes()) }
                .verify_slice(signature)
                .is_ok(),
            Checks::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(base.as_bytes(), &signature).is_ok()),
        }
    }
}

impl From<SigningKey> for VerifyingKey {
    fn from(key: SigningKey) -> Self {
        key.verifying()
    }
}

/// The private key in `pem`. Whoever calls it wipes the stack below.
#[inline(never)]
fn private_key(pem: &SecretBytes) -> Option<Arc<ed25519_dalek::SigningKey>> {
    let text = std::str::from_utf8(pem.expose()).ok()?;
    let read = KeypairBytes::from_pkcs8_pem(text).ok()?;
    ed25519_dalek::SigningKey::try_from(&read)
        .map(Arc::new)
        .ok()
}

/// Overwrites what the functions that were called before have left on the stack. Reading a key moves it from
/// one to the next, and nothing else may come so deep for as long as the process runs.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "the stack is what it is for")]
fn wipe_stack() {
    std::hint::black_box([0u8; 32 * 1024]);
}

/// Whether `secret` looks like what is handed on in the open: PEM with anything around it, a public key for
/// Ed25519 in DER, also in base64 or hexadecimal, a JWK or a set. The bytes of a key alone look like any.
fn is_published(secret: &[u8]) -> bool {
    let is_der = [
        &SPKI[..],
        BASE64_STANDARD.encode(SPKI).as_bytes(),
        hex::encode(SPKI).as_bytes(),
    ]
    .iter()
    .any(|beginning| secret.starts_with(beginning));
    is_der || memchr::memmem::find(secret, b"-----BEGIN ").is_some() || jwks::is_like(secret)
}

fn fitting(id: &str) -> Result<String, KeyFault> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if (1..=64).contains(&id.len()) && id.bytes().all(fits) {
        Ok(id.to_owned())
    } else {
        Err(KeyFault::Id)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [redacted])", self.id)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "VerifyingKey({}, {})",
            self.id,
            self.algorithm().as_str()
        )
    }
}

#[cfg(test)]
mod tests;
