//! What is sent past the gateway to try a backend: in the name of nobody, by a stranger who knows
//! everything but the secret, or by the operator, who knows that, too.

use uuid::Uuid;

use super::signer::Covered;
use super::{Message, Names, SignError, Signed, Signer, SigningKey};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// Whom it pretends to be: nobody.
const CLIENT: &str = "keyferry-doctor";
/// Of a form that a backend may check, and older than any gateway.
const KEY_ID: &str = "01800000000070008000000000000000";

/// The secret that it is signed with. Everybody can read it here, so no backend may believe it.
const SECRET: &[u8] = b"a secret that everybody knows, so that it is none";

/// The headers of an identity that nobody vouches for, in the form that the gateway gives them, with
/// the signature of a stranger under the key id `key_id`. With them it can be tried whether a backend
/// checks what [`super::Verifier`] does: none may accept them.
///
/// # Errors
///
/// [`SignError`] when `key_id` or the message cannot stand in a signature.
pub fn forged(
    key_id: &str,
    names: &Names,
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Signed, SignError> {
    let key = SigningKey::new(key_id, &Secret::new(SECRET.to_vec()))?;
    tried(&key, names, message, now)
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
