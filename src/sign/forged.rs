//! What is sent past the gateway to try a backend: in the name of nobody, by a stranger who knows
//! everything but the secret, or by the operator, who knows that, too.

use uuid::Uuid;

use super::signer::Covered;
use super::{Algorithm, Message, Names, SignError, Signed, Signer, SigningKey};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// Whom it pretends to be: nobody.
const CLIENT: &str = "keyferry-doctor";
/// Of a form that a backend may check, and older than any gateway.
const KEY_ID: &str = "01800000000070008000000000000000";

/// The secret that it is signed with. Everybody can read it here, so no backend may believe it.
const SECRET: &[u8] = b"a secret that everybody knows, so that it is none";
/// The same as a private key for Ed25519.
const SEED: &[u8; 32] = b"a seed that everybody knows, hm!";

/// The headers of an identity that nobody vouches for, in the form that the gateway gives them, with
/// the signature of a stranger by this algorithm under the key id `key_id`. With them it can be tried
/// whether a backend checks what [`super::Verifier`] does: none may accept them.
///
/// # Errors
///
/// [`SignError`] when `key_id` or the message cannot stand in a signature.
pub fn forged(
    (key_id, algorithm): (&str, Algorithm),
    names: &Names,
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Signed, SignError> {
    let key = match algorithm {
        Algorithm::HmacSha256 => SigningKey::new(key_id, &Secret::new(SECRET.to_vec())),
        Algorithm::Ed25519 => SigningKey::of_seed(key_id, SEED),
    };
    tried(&key?, names, message, now)
}

/// The same, signed with `key`, which a backend may have: to try whether it notices what is altered
/// then, or comes twice. Whatever is signed so, it is in nobody's name.
///
/// # Errors
///
/// [`SignError`] when the message cannot stand in a signature.
pub fn tried(
    key: &SigningKey,
    names: &Names,
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Signed, SignError> {
    let nobody = Covered {
        key_id: KEY_ID.to_owned(),
        client_id: CLIENT,
        scopes: None,
    };
    Signer::new(key.clone(), names.clone()).sign_as(message, &nobody, Uuid::now_v7(), now)
}

/// As what a public key is mistaken for a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confused {
    /// The text of its file.
    Pem,
    /// Its 32 bytes.
    Bytes,
}

/// A key by which somebody signs who knows the public key of `key` alone, and its id: HMAC, and what
/// is public as the secret. A check that goes by `alg` of the request believes it. None when `key` has
/// nothing public.
#[must_use]
pub fn confused(key: &SigningKey, with: Confused) -> Option<SigningKey> {
    let public = key.verifying();
    let secret = match with {
        Confused::Pem => public.to_pem()?.into_bytes(),
        Confused::Bytes => public.public()?.to_vec(),
    };
    Some(SigningKey::shared(key.id().to_owned(), &secret))
}
