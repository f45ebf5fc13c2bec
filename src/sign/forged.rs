//! What somebody sends past the gateway who knows everything but the secret.

use uuid::Uuid;

use super::signer::Covered;
use super::{Message, Names, SignError, Signed, Signer, SigningKey};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// Whom it pretends to be: nobody.
const CLIENT: &str = "keyferry-doctor";

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
    let nobody = Covered {
        key_id: "0".repeat(32),
        client_id: CLIENT,
        scopes: None,
    };
    Signer::new(key, names.clone()).sign_as(message, &nobody, Uuid::nil(), now)
}
